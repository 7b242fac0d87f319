"""Where a region's surface meets a cut, as a polygon in mm; no Qt."""

from __future__ import annotations

import math

from gui.image.slices import Plane
from hw.regions import Cylinder, Ellipsoid, Region, Sphere

CORNERS = 48
"""Of the polygon that stands for an ellipse: off by 0.2 % of its radius."""


def outline(region: Region, plane: Plane, at_mm: float | None) -> list[tuple[float, float]]:
    """Return the outline (to the right, up; mm) in a cut; [] where the cut misses the region.

    Parameters
    ----------
    at_mm : place of the cut along ``plane.through``; None for the greatest outline of all cuts
    """
    half = region.half_mm
    away = 0.0 if at_mm is None else (at_mm - region.centre_mm[plane.through]) / half[plane.through]
    if abs(away) > 1:
        return []
    round_here = isinstance(region, Sphere | Ellipsoid) or (
        isinstance(region, Cylinder) and plane.through == 2
    )
    narrow = [_narrowing(region, plane, axis, away) for axis in (plane.right, plane.up)]
    turns = [2 * math.pi * k / CORNERS for k in range(CORNERS)]
    ring = [(math.cos(t), math.sin(t)) for t in turns]
    unit = ring if round_here else [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    right, up = plane.right, plane.up
    middle = region.centre_mm
    return [
        (middle[right] + x * narrow[0] * half[right], middle[up] + y * narrow[1] * half[up])
        for x, y in unit
    ]


def _narrowing(region: Region, plane: Plane, axis: int, away: float) -> float:
    """Return by how much the surface is nearer along an axis than in the middle."""
    lengthwise = isinstance(region, Cylinder) and 2 in (plane.through, axis)
    if lengthwise or not isinstance(region, Sphere | Ellipsoid | Cylinder):
        return 1.0
    return math.sqrt(1 - away**2)
