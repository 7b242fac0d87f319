"""Outlines enclose what a region holds in a cut: asked of the region itself, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from gui.image.outlines import outline
from gui.image.slices import PLANES, Plane
from hw.regions import Box, Cylinder, Ellipsoid, Region, Sphere, Threshold

CENTRE = (5.0, -8.0, 12.0)
REGIONS: list[Region] = [
    Sphere("s", CENTRE, 30.0),
    Ellipsoid("e", CENTRE, (20.0, 30.0, 40.0)),
    Cylinder("c", CENTRE, 24.0, 50.0),
    Box("b", CENTRE, (10.0, 20.0, 30.0)),
    Threshold("t", CENTRE, (10.0, 20.0, 30.0), 0.4),
]


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: type(region).__name__)
@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_outline_holds_what_the_region_holds_there(region: Region, plane: Plane) -> None:
    at_mm = CENTRE[plane.through] + 4.0
    steps = np.arange(-40.0, 40.0, 1.37)
    right, up = np.meshgrid(steps, steps, indexing="ij")
    places = [np.full_like(right, at_mm) for _ in range(3)]
    places[plane.right], places[plane.up] = right, up
    held = region.holds(places[0], places[1], places[2])
    within = Polygon(outline(region, plane, at_mm)).contains_points(
        np.stack([right.ravel(), up.ravel()], axis=1)
    )
    assert held.any()
    assert (within.reshape(held.shape) != held).mean() < 0.002  # a polygon of 48 corners


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_a_cut_that_misses_has_no_outline_a_projection_the_greatest(plane: Plane) -> None:
    sphere = Sphere("s", CENTRE, 30.0)
    assert outline(sphere, plane, CENTRE[plane.through] + 15.1) == []
    widths = np.ptp(np.array(outline(sphere, plane, None)), axis=0)
    assert widths == pytest.approx([30.0, 30.0])
