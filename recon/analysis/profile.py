"""Profiles: values along a line through the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hw.arrays import F8
from recon.analysis.picture import AnalysisError, Picture, Triple


@dataclass(frozen=True)
class Profile:
    """Values (k,) at positions (k,) mm along an image axis, through ``through_mm``."""

    axis: str
    through_mm: Triple
    place_mm: F8
    value: F8
    width_mm: float


def axis_profile(
    picture: Picture, axis: str, through_mm: Triple, *, width_mm: float = 0.0
) -> Profile:
    """Return the profile along ``axis`` ("x", "y" or "z") through a point.

    width_mm : side of the square over which values are averaged; 0 for a single line, linearly
        interpolated between voxels

    Raises
    ------
    AnalysisError
        if the line misses the image.
    """
    along = "xyz".index(axis)
    index = picture.index_of(through_mm)
    across = [k for k in range(3) if k != along]
    for k in across:
        if not 0 <= index[k] <= picture.values.shape[k] - 1:
            raise AnalysisError(
                f"{picture.name}: a profile along {axis} through {through_mm} mm passes beside it"
            )
    steps = _steps(picture, index, across, width_mm)
    n = picture.values.shape[along]
    total = np.zeros(n)
    for one, two in steps:
        points = np.empty((3, n))
        points[along] = np.arange(n)
        points[across[0]], points[across[1]] = one, two
        total += ndimage.map_coordinates(picture.values, points, order=1, mode="nearest")
    value = total / len(steps)
    return Profile(axis, through_mm, picture.axis_mm(along), value, width_mm)


def _steps(
    picture: Picture, index: F8, across: list[int], width_mm: float
) -> list[tuple[float, float]]:
    """Return the lines' transverse positions in voxels: one per voxel of width."""
    sides = []
    for k in across:
        count = max(1, round(width_mm / picture.voxel_mm[k]))
        sides.append(index[k] + np.arange(count) - (count - 1) / 2)
    return [(float(one), float(two)) for one in sides[0] for two in sides[1]]
