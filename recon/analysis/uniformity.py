"""Uniformity of a uniform cylinder's image: noise, slices, rings.

Within the central part of the cylinder (``share`` of its radius, and 10 mm from its ends):

* noise: standard deviation of the voxels over their mean;
* slices: each slice's mean over the overall mean;
* rings: means of rings of equal width over the overall mean, which show cupping (attenuation,
  scatter) hidden in the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arrays import F8
from recon.analysis.contrast import Warm
from recon.analysis.picture import AnalysisError, Picture

RINGS = 8
END_MM = 10.0


@dataclass(frozen=True)
class Uniformity:
    """Mean (the image's unit), noise (1 = 100 %), and slices and rings relative to the mean.

    slice_z_mm, slices : (k,) positions of the slices, and their means
    ring_mm, rings : (RINGS,) mid-radii of the rings, and their means
    """

    mean: float
    noise: float
    slice_z_mm: F8
    slices: F8
    ring_mm: F8
    rings: F8

    @property
    def worst_ring(self) -> float:
        """The largest deviation of a ring's mean (0.03 is 3 %)."""
        return float(np.abs(self.rings - 1).max())

    @property
    def worst_slice(self) -> float:
        """The largest deviation of a slice's mean."""
        return float(np.abs(self.slices - 1).max())


def uniformity(picture: Picture, warm: Warm, *, share: float = 0.8) -> Uniformity:
    """Return the uniformity of the warm cylinder's image within ``share`` of its radius.

    Raises
    ------
    AnalysisError
        if no part of the cylinder lies in the image, or it is empty.
    """
    x, y = np.ix_(*(picture.axis_mm(k) - warm.centre_mm[k] for k in range(2)))
    z = picture.axis_mm(2)
    radius = np.hypot(x, y)
    reach = share * warm.diameter_mm / 2
    inside = np.abs(z - warm.centre_mm[2]) <= warm.length_mm / 2 - END_MM
    disc = radius <= reach
    if not inside.any() or not disc.any():
        raise AnalysisError(f"{picture.name}: the cylinder does not lie in the image")
    part = picture.values[:, :, inside]
    mean = float(part[disc].mean())
    if mean <= 0:
        raise AnalysisError(f"{picture.name}: the cylinder is empty (mean {mean:g})")
    edges = np.linspace(0, reach, RINGS + 1)
    which = np.digitize(radius[disc], edges[1:-1])
    of_columns = part[disc].mean(axis=1)
    counts = np.bincount(which, minlength=RINGS)
    rings = np.bincount(which, of_columns, RINGS) / np.maximum(counts, 1) / mean
    return Uniformity(
        mean=mean,
        noise=float(part[disc].std()) / mean,
        slice_z_mm=z[inside],
        slices=part[disc].mean(axis=0) / mean,
        ring_mm=((edges[1:] + edges[:-1]) / 2)[counts > 0],
        rings=rings[counts > 0],
    )
