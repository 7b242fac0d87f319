"""Regions of an image: sphere, ellipsoid, cylinder along z, box, and threshold.

One definition for console, analysis and imager. A region is geometry in mm in the scanner's frame,
so it fits an image of any voxel size. A voxel crossed by a region's surface counts by the share of
it that lies inside (found on a grid of points within the voxel), so that results for small regions
do not jump with voxel position. A threshold takes whole voxels of the image: those within its box
(by share) that reach a share of the greatest value there.

Regions are frozen, compared by value, and go to JSON and back with :func:`regions_to_json` and
:func:`regions_from_json`. A run keeps its own: :mod:`daq.folder.region_file`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.bounded_files import FileRefused, json_in
from hw.errors import TomoshibiError

Triple: TypeAlias = tuple[float, float, float]
Block: TypeAlias = tuple[slice, slice, slice]

POINTS = 4
"""Points along each side of a voxel, to find its share inside."""

MOST_MM = 1e4
VERSION = 1


class RegionError(TomoshibiError):
    """A region that cannot be, or does not fit the image; the message says which and why."""


class _Shape(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What all regions have: a name and a centre."""

    name: str
    centre_mm: Triple

    @property
    @abstractmethod
    def sizes_mm(self) -> Triple:
        """Its whole extent along x, y and z."""

    def __post_init__(self) -> None:
        fits = all(0 < size < MOST_MM for size in self.sizes_mm)
        if not fits or not all(abs(place) < MOST_MM for place in self.centre_mm):
            raise RegionError(
                f"region {self.name}: centre {self.centre_mm} and sizes {self.sizes_mm} mm: "
                f"sizes must lie above 0 and everything below {MOST_MM:g} mm"
            )

    @property
    def half_mm(self) -> Triple:
        """Half its extent along x, y and z."""
        x, y, z = self.sizes_mm
        return x / 2, y / 2, z / 2

    def holds(self, x: F8, y: F8, z: F8) -> npt.NDArray[np.bool_]:
        """Return which points (mm) lie inside, as bool of the broadcast shape."""
        away = zip((x, y, z), self.centre_mm, self.half_mm, strict=True)
        dx, dy, dz = ((place - centre) / half for place, centre, half in away)
        return np.asarray(self._inside(dx, dy, dz), dtype=np.bool_)

    def _inside(self, x: F8, y: F8, z: F8) -> npt.NDArray[np.bool_]:
        """Return which points lie inside; in units of the half extents, from the centre."""
        return np.asarray((np.abs(x) <= 1) & (np.abs(y) <= 1) & (np.abs(z) <= 1))


class Sphere(_Shape, frozen=True, tag="sphere"):
    """A sphere."""

    diameter_mm: float

    @property
    def sizes_mm(self) -> Triple:
        """Its whole extent along x, y and z."""
        return (self.diameter_mm,) * 3

    def _inside(self, x: F8, y: F8, z: F8) -> npt.NDArray[np.bool_]:
        return np.asarray(x**2 + y**2 + z**2 <= 1)


class Ellipsoid(_Shape, frozen=True, tag="ellipsoid"):
    """An ellipsoid with its axes along x, y and z."""

    diameters_mm: Triple

    @property
    def sizes_mm(self) -> Triple:
        """Its whole extent along x, y and z."""
        return self.diameters_mm

    def _inside(self, x: F8, y: F8, z: F8) -> npt.NDArray[np.bool_]:
        return np.asarray(x**2 + y**2 + z**2 <= 1)


class Cylinder(_Shape, frozen=True, tag="cylinder"):
    """A cylinder along z."""

    diameter_mm: float
    length_mm: float

    @property
    def sizes_mm(self) -> Triple:
        """Its whole extent along x, y and z."""
        return self.diameter_mm, self.diameter_mm, self.length_mm

    def _inside(self, x: F8, y: F8, z: F8) -> npt.NDArray[np.bool_]:
        return np.asarray((x**2 + y**2 <= 1) & (np.abs(z) <= 1))


class Box(_Shape, frozen=True, tag="box"):
    """A box with its sides along x, y and z."""

    sides_mm: Triple

    @property
    def sizes_mm(self) -> Triple:
        """Its whole extent along x, y and z."""
        return self.sides_mm


class Threshold(_Shape, frozen=True, tag="threshold"):
    """The voxels of a box that reach ``share`` of the greatest value within it."""

    sides_mm: Triple
    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise RegionError(f"region {self.name}: share = {self.share:g}: must lie in 0..1")

    @property
    def sizes_mm(self) -> Triple:
        """Its whole extent along x, y and z."""
        return self.sides_mm


Region: TypeAlias = Sphere | Ellipsoid | Cylinder | Box | Threshold


class _Regions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the JSON holds."""

    regions: list[Region]
    version: int = VERSION


def regions_to_json(regions: Sequence[Region]) -> bytes:
    """Return regions as JSON, indented, for a person to read."""
    return msgspec.json.format(msgspec.json.encode(_Regions(list(regions))), indent=2) + b"\n"


def regions_from_json(text: bytes) -> list[Region]:
    """Return the regions of a JSON text.

    Raises
    ------
    RegionError
        if it is no list of regions, is of a later version, or two have one name.
    """
    try:
        made = msgspec.convert(json_in(text), _Regions)
    except (FileRefused, msgspec.MsgspecError) as error:
        # of RegionError too: msgspec wraps it, with the place
        raise RegionError(f"not a list of regions: {error}") from error
    if made.version != VERSION:
        raise RegionError(f"regions of version {made.version}: this software reads {VERSION}")
    names = [one.name for one in made.regions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RegionError(f"two regions are named {twice[0]}: give each a name of its own")
    return made.regions


def shares(
    region: Region, axes_mm: tuple[F8, F8, F8], values: npt.NDArray[np.floating] | None = None
) -> tuple[Block, F8]:
    """Return the block of voxels that a region touches, and each voxel's share inside (0..1).

    Parameters
    ----------
    axes_mm : the voxels' centres along x, y and z, evenly spaced and rising
    values : the image, needed for a threshold only

    Raises
    ------
    RegionError
        if the region is not wholly within the image.
    """
    block, places = [], []
    for axis, centres in enumerate(axes_mm):
        part, steps = _along(region, axis, np.asarray(centres, dtype=np.float64).reshape(-1))
        block.append(part)
        places.append(steps)
    inside = region.holds(*np.ix_(*places)).astype(np.float64)
    n = [part.stop - part.start for part in block]
    share = inside.reshape(n[0], POINTS, n[1], POINTS, n[2], POINTS).mean(axis=(1, 3, 5))
    where = (block[0], block[1], block[2])
    if isinstance(region, Threshold):
        if values is None:
            raise RegionError(f"region {region.name}: a threshold needs the image's values")
        here = np.where(share > 0, values[where], -math.inf)
        share = np.where(here >= region.share * here.max(), share, 0.0)
    return where, np.asarray(share)


def mean_in(found: tuple[Block, F8], values: npt.NDArray[np.floating]) -> float:
    """Return the mean of an image within what :func:`shares` found; NaN where that is nothing."""
    block, share = found
    total = float(share.sum())
    return float((share * values[block]).sum() / total) if total > 0 else math.nan


def _along(region: Region, axis: int, centres_mm: F8) -> tuple[slice, F8]:
    """Return the voxels that a region touches along an axis, and the points within them, mm."""
    voxel_mm = float(centres_mm[1] - centres_mm[0]) if len(centres_mm) > 1 else MOST_MM
    centre, half = region.centre_mm[axis], region.half_mm[axis]
    middle, reach = (centre - centres_mm[0]) / voxel_mm, half / voxel_mm
    first, last = math.floor(middle - reach + 0.5), math.ceil(middle + reach - 0.5)
    if first < 0 or last >= len(centres_mm):
        raise RegionError(
            f"region {region.name} extends beyond the image along {'xyz'[axis]}: "
            f"{centre - half:g} to {centre + half:g} mm, the image from "
            f"{centres_mm[0]:g} to {centres_mm[-1]:g} mm"
        )
    steps = (np.arange((last + 1 - first) * POINTS) + 0.5) / POINTS - 0.5 + first
    return slice(first, last + 1), np.asarray(centres_mm[0] + steps * voxel_mm)
