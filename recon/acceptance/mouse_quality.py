"""Image quality of a small-animal scanner: NEMA NU 4-2008, section 6.

- uniformity: mean, extremes and SD of the voxels in the middle of the warm part (22.5 mm across,
  10 mm long)
- recovery: the central 10 mm of the rods are averaged to one slice; the largest pixel within a disc
  of twice the rod's diameter is where the rod is; the mean of the axial profile there over the
  uniform mean is the recovery coefficient, and its relative SD is

      √((SD_profile/mean_profile)² + (SD_uniform/mean_uniform)²)

- spill-over: the mean in each cold chamber (4 mm across, 7.5 mm long) over the uniform mean
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hw.regions import Cylinder
from recon.analysis.picture import Picture, Triple
from recon.analysis.regions import RegionValues, measure

UNIFORM_MM, UNIFORM_LENGTH_MM = 22.5, 10.0
ROD_LENGTH_MM = 10.0
COLD_MM, COLD_LENGTH_MM = 4.0, 7.5


@dataclass(frozen=True)
class MousePhantom:
    """Where the parts of the phantom are, in the image's frame, mm."""

    uniform_z_mm: float
    rods: dict[float, tuple[float, float]]
    rods_z_mm: float
    cold: dict[str, Triple]


@dataclass(frozen=True)
class RodRecovery:
    """Recovery coefficient of a rod, with its relative standard deviation."""

    diameter_mm: float
    recovery: float
    relative_sd: float


@dataclass(frozen=True)
class MouseQuality:
    """The figures of the mouse phantom; ``spill_over`` by chamber: ratio and relative SD."""

    uniform: RegionValues
    rods: list[RodRecovery]
    spill_over: dict[str, tuple[float, float]]


def mouse_quality(picture: Picture, phantom: MousePhantom) -> MouseQuality:
    """Return uniformity, recovery coefficients and spill-over ratios of an image.

    Raises
    ------
    RegionError
        if the phantom is not wholly within the image.
    """
    middle = Cylinder("uniform", (0.0, 0.0, phantom.uniform_z_mm), UNIFORM_MM, UNIFORM_LENGTH_MM)
    uniform = measure(middle, picture)
    rods = [
        _rod(picture, diameter, place, phantom.rods_z_mm, uniform)
        for diameter, place in sorted(phantom.rods.items())
    ]
    spill = {}
    for name, place in phantom.cold.items():
        cold = measure(Cylinder(name, place, COLD_MM, COLD_LENGTH_MM), picture)
        both = math.hypot(cold.variation, uniform.variation)
        spill[name] = (cold.mean / uniform.mean, both)
    return MouseQuality(uniform, rods, spill)


def _rod(
    picture: Picture, diameter_mm: float, place_mm: tuple[float, float], z_mm: float,
    uniform: RegionValues,
) -> RodRecovery:  # fmt: skip
    x, y, z = (picture.axis_mm(axis) for axis in range(3))
    block = picture.values[:, :, np.abs(z - z_mm) <= ROD_LENGTH_MM / 2]
    away = np.hypot(x[:, None] - place_mm[0], y[None, :] - place_mm[1])
    mean = np.where(away <= diameter_mm, block.mean(axis=2), -np.inf)
    i, j = np.unravel_index(int(mean.argmax()), mean.shape)
    along = block[i, j]
    level = float(along.mean())
    spread = math.hypot(float(along.std(ddof=1)) / max(level, 1e-300), uniform.variation)
    return RodRecovery(diameter_mm, level / uniform.mean, spread)
