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
    narrower = math.sqrt(1 - away**2) if isinstance(region, Sphere | Ellipsoid) else 1.0
    turns = [2 * math.pi * k / CORNERS for k in range(CORNERS)]
    ring = [(math.cos(t), math.sin(t)) for t in turns]
    unit = ring if round_here else [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    right, up = plane.right, plane.up
    middle = region.centre_mm
    return [
        (middle[right] + x * narrower * half[right], middle[up] + y * narrower * half[up])
        for x, y in unit
    ]
