"""Orthogonal cuts through an image and their display window; no Qt here.

The display convention is the scanner's frame, not the patient's. Where the run was told how the
patient lies, the ends of the axes are named R, L, A, P, H, F; else −x, +x and so on. Transaxial
cuts are seen from +z (x to the right, y up), coronal ones from −y, sagittal ones from +x (z up in
both).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gui.kit.colour_maps import Image
from gui.kit.words import mark


@dataclass(frozen=True)
class Plane:
    """A family of parallel cuts: the axis that runs to the right, up, and through."""

    name: str
    right: int
    up: int
    through: int


TRANSAXIAL = Plane(mark("Transaxial"), right=0, up=1, through=2)
CORONAL = Plane(mark("Coronal"), right=0, up=2, through=1)
SAGITTAL = Plane(mark("Sagittal"), right=1, up=2, through=0)
PLANES = (TRANSAXIAL, CORONAL, SAGITTAL)
AXES = "xyz"


def cut(image: Image, plane: Plane, index: int) -> Image:
    """Return one cut as rows from top to bottom, columns from left to right.

    Parameters
    ----------
    image : float32, (x, y, z)
    index : voxel index along ``plane.through``
    """
    flat = np.take(image, index, axis=plane.through)
    return np.ascontiguousarray(flat[:, ::-1].T)


def maximum_along(image: Image, plane: Plane) -> Image:
    """Return the maximum intensity projection through all cuts, laid out as :func:`cut`."""
    return np.ascontiguousarray(image.max(axis=plane.through)[:, ::-1].T)


def centre_mm(index: int, size: int, voxel_mm: float) -> float:
    """Return a voxel centre's coordinate in mm; the image's centre is the scanner's origin."""
    return (index - 0.5 * (size - 1)) * voxel_mm


def hottest(image: Image) -> tuple[int, int, int]:
    """Return the indices of the hottest voxel."""
    x, y, z = np.unravel_index(int(np.nanargmax(image)), image.shape)
    return int(x), int(y), int(z)


class LevelReference:
    """The level that counts as 100 %: a percentile of the image, held steady against flicker.

    The percentile is that of the voxels above zero among every second voxel along each axis: an
    eighth of the image, in a millisecond. The level moves only when it has changed by more than 4
    %.
    """

    def __init__(self) -> None:
        self.percentile = 99.5
        self.value = 0.0

    def follow(self, image: Image, *, at_once: bool = False) -> float:
        """Return the reference level after a new image."""
        thinned = image[::2, ::2, ::2]
        positive = thinned[thinned > 0]
        if positive.size:
            level = float(np.percentile(positive, self.percentile))
            if at_once or abs(level - self.value) > 0.04 * self.value:
                self.value = level
        return self.value
