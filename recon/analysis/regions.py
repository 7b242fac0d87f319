"""Statistics of an image in a region (:mod:`hw.regions`), with the noise of its mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hw.regions import (
    Box,
    Cylinder,
    Ellipsoid,
    Region,
    RegionError,
    Sphere,
    Threshold,
    mean_in,
    shares,
)
from recon.analysis.picture import AnalysisError, Picture

KINDS = {"sphere": 1, "ellipsoid": 3, "cylinder": 2, "box": 3, "threshold": 4}
"""Kinds and how many numbers describe each: diameter; diameters; diameter and length; sides along
x, y, z; sides and the share of the maximum."""


@dataclass(frozen=True)
class RegionValues:
    """Statistics of an image in a region, in the image's unit.

    volume_mL : of the region within the image
    sd : standard deviation of the voxels, weighted by their shares
    sigma : standard deviation of the mean from counting noise, None if the image has no parts
    """

    name: str
    volume_mL: float
    mean: float
    sd: float
    least: float
    most: float
    sigma: float | None = None

    @property
    def variation(self) -> float:
        """Standard deviation over the mean."""
        return self.sd / self.mean if self.mean else math.nan


def parse_region(text: str) -> Region:
    """Return the region that ``NAME:KIND:x,y,z:size[,size…]`` describes.

    Raises
    ------
    AnalysisError, RegionError
        if it is malformed, or has sizes that cannot be; the message says how.
    """
    try:
        name, kind, centre, size = text.split(":")
        x, y, z = (float(word) for word in centre.split(","))
        sizes = [float(word) for word in size.split(",")]
    except ValueError as error:
        raise AnalysisError(
            f"region {text!r}: needs NAME:KIND:x,y,z:SIZE in mm, such as hot:sphere:0,30,0:12 or "
            f"warm:cylinder:0,0,0:150,80 ({error})"
        ) from error
    if kind not in KINDS:
        raise AnalysisError(f"region {name}: {kind} is not one of {', '.join(KINDS)}")
    if len(sizes) != KINDS[kind]:
        raise AnalysisError(
            f"region {name}: a {kind} has a centre x,y,z and {KINDS[kind]} "
            f"number{'s' * (KINDS[kind] > 1)}, not {len(sizes)}"
        )
    return _region(name, kind, (x, y, z), sizes)


def _region(
    name: str, kind: str, centre_mm: tuple[float, float, float], sizes: list[float]
) -> Region:
    if kind == "sphere":
        return Sphere(name, centre_mm, sizes[0])
    if kind == "cylinder":
        return Cylinder(name, centre_mm, sizes[0], sizes[1])
    sides_mm = (sizes[0], sizes[1], sizes[2])
    if kind == "ellipsoid":
        return Ellipsoid(name, centre_mm, sides_mm)
    return (
        Box(name, centre_mm, sides_mm)
        if kind == "box"
        else Threshold(name, centre_mm, sides_mm, sizes[3])
    )


def measure(region: Region, picture: Picture) -> RegionValues:
    """Return the statistics of ``picture`` in ``region``.

    Raises
    ------
    RegionError
        if it is not wholly within the image, or too small to hold any of it.
    """
    axes_mm = (picture.axis_mm(0), picture.axis_mm(1), picture.axis_mm(2))
    found = block, share = shares(region, axes_mm, picture.values)
    mean = mean_in(found, picture.values)
    if math.isnan(mean):
        raise RegionError(f"region {region.name} is smaller than the image can show")
    values, total = picture.values[block], share.sum()
    variance = float((share * (values - mean) ** 2).sum() / total)
    whole = values[share > 0.5] if (share > 0.5).any() else values[share > 0]
    parts = picture.parts
    return RegionValues(
        name=region.name,
        volume_mL=float(total * picture.voxel_volume_mL),
        mean=mean,
        sd=math.sqrt(variance),
        least=float(whole.min()),
        most=float(whole.max()),
        sigma=None if parts is None else parts.sigma_of_mean(block, share, mean),
    )
