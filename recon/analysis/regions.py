"""Regions of interest: spheres, cylinders along z and boxes, and their statistics in an image.

A voxel crossed by a region's surface counts by the share of it that lies inside (found on a grid of
points within the voxel), so that results for small regions do not jump with voxel position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hw.arrays import F8
from recon.analysis.picture import AnalysisError, Picture, Triple

KINDS = {"sphere": 1, "cylinder": 2, "box": 3}
"""Kinds and their number of sizes: diameter; diameter and length; widths along x, y, z."""

_OVER = 4  # points along each side of a voxel


@dataclass(frozen=True)
class Region:
    """A region: its kind, its centre and its sizes (see :data:`KINDS`), all in mm."""

    name: str
    kind: str
    centre_mm: Triple
    size_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise AnalysisError(f"region {self.name}: {self.kind} is not one of {', '.join(KINDS)}")
        wanted = KINDS[self.kind]
        fits = len(self.size_mm) == wanted and all(0 < size < 1e4 for size in self.size_mm)
        if not fits or not all(map(math.isfinite, self.centre_mm)):
            raise AnalysisError(
                f"region {self.name}: a {self.kind} has a centre x,y,z and {wanted} "
                f"size{'s' * (wanted > 1)} above 0 mm, not {self.centre_mm} and {self.size_mm}"
            )

    @property
    def half_mm(self) -> Triple:
        """Half its extent along x, y and z."""
        x, y, z = {
            "sphere": self.size_mm * 3,
            "cylinder": (self.size_mm[0],) * 2 + self.size_mm[1:],
            "box": self.size_mm,
        }[self.kind]
        return x / 2, y / 2, z / 2

    def holds(self, x: F8, y: F8, z: F8) -> np.ndarray:
        """Return which points (mm) lie inside, as bool of the broadcast shape."""
        dx, dy, dz = (
            (place - centre) / half
            for place, centre, half in zip((x, y, z), self.centre_mm, self.half_mm, strict=True)
        )
        if self.kind == "sphere":
            return np.asarray(dx**2 + dy**2 + dz**2 <= 1)
        if self.kind == "cylinder":
            return np.asarray((dx**2 + dy**2 <= 1) & (np.abs(dz) <= 1))
        return np.asarray((np.abs(dx) <= 1) & (np.abs(dy) <= 1) & (np.abs(dz) <= 1))


@dataclass(frozen=True)
class RegionValues:
    """Statistics of an image in a region, in the image's unit.

    volume_mL : of the region within the image
    sd : standard deviation of the voxels, weighted by their shares
    """

    name: str
    volume_mL: float
    mean: float
    sd: float
    least: float
    most: float

    @property
    def variation(self) -> float:
        """Standard deviation over the mean."""
        return self.sd / self.mean if self.mean else math.nan


def parse_region(text: str) -> Region:
    """Return the region that ``NAME:KIND:x,y,z:size[,size…]`` describes.

    Raises
    ------
    AnalysisError
        if it is malformed; the message says how.
    """
    try:
        name, kind, centre, size = text.split(":")
        x, y, z = (float(word) for word in centre.split(","))
        sizes = tuple(float(word) for word in size.split(","))
    except ValueError as error:
        raise AnalysisError(
            f"region {text!r}: needs NAME:KIND:x,y,z:SIZE in mm, such as hot:sphere:0,30,0:12 or "
            f"warm:cylinder:0,0,0:150,80 ({error})"
        ) from error
    return Region(name, kind, (x, y, z), sizes)


def shares(region: Region, picture: Picture) -> tuple[tuple[slice, slice, slice], F8]:
    """Return the block of voxels that a region touches, and each voxel's share inside (0..1).

    Raises
    ------
    AnalysisError
        if the region is not wholly within the image.
    """
    block, places = [], []
    sides = zip(region.centre_mm, region.half_mm, strict=True)
    for axis, (centre, half) in enumerate(sides):
        middle = (centre - picture.origin_mm[axis]) / picture.voxel_mm[axis]
        reach = half / picture.voxel_mm[axis]
        first, last = math.floor(middle - reach + 0.5), math.ceil(middle + reach - 0.5)
        if first < 0 or last >= picture.values.shape[axis]:
            raise AnalysisError(
                f"region {region.name} extends beyond the image along {'xyz'[axis]}: "
                f"{centre - half:g} to {centre + half:g} mm, the image from "
                f"{picture.axis_mm(axis)[0]:g} to {picture.axis_mm(axis)[-1]:g} mm"
            )
        block.append(slice(first, last + 1))
        steps = (np.arange((last + 1 - first) * _OVER) + 0.5) / _OVER - 0.5 + first
        places.append(picture.origin_mm[axis] + steps * picture.voxel_mm[axis])
    inside = region.holds(*np.ix_(*places)).astype(np.float64)
    n = [part.stop - part.start for part in block]
    blocked = inside.reshape(n[0], _OVER, n[1], _OVER, n[2], _OVER)
    return (block[0], block[1], block[2]), blocked.mean(axis=(1, 3, 5))


def measure(region: Region, picture: Picture) -> RegionValues:
    """Return the statistics of ``picture`` in ``region``."""
    block, share = shares(region, picture)
    values = picture.values[block]
    total = share.sum()
    if total <= 0:
        raise AnalysisError(f"region {region.name} is smaller than the image can show")
    mean = float((share * values).sum() / total)
    variance = float((share * (values - mean) ** 2).sum() / total)
    whole = values[share > 0.5] if (share > 0.5).any() else values[share > 0]
    return RegionValues(
        name=region.name,
        volume_mL=float(total * picture.voxel_volume_mL),
        mean=mean,
        sd=math.sqrt(variance),
        least=float(whole.min()),
        most=float(whole.max()),
    )
