"""How open a collimator is, by formulas."""

from __future__ import annotations

import math

from hw.scanner.description import Collimator


def open_share(collimator: Collimator) -> float:
    """Return the open share of the collimator's face: (hole/pitch)² for both shapes."""
    return (collimator.hole_mm / (collimator.hole_mm + collimator.septum_mm)) ** 2


def hole_area_mm2(collimator: Collimator) -> float:
    """Return the area of one hole, mm²."""
    shape = math.sqrt(3) / 2 if collimator.hole == "hexagonal" else 1.0
    return shape * collimator.hole_mm**2
