"""Gaussian post-filters: what is done to an image for the eye, never inside the estimate."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon.grid import Image, ImageGrid
from recon.tof import FWHM_PER_SIGMA


def gaussian(
    image: Image,
    grid: ImageGrid,
    *,
    fwhm_mm: float,
    mask: npt.NDArray[np.bool_] | None = None,
) -> Image:
    """Return ``image`` smoothed with an isotropic Gaussian of ``fwhm_mm`` (0 for none).

    With ``mask`` the result is 0 outside of it.
    """
    if fwhm_mm <= 0:
        return image
    sigma = [fwhm_mm / FWHM_PER_SIGMA / size for size in grid.voxel_mm]
    smooth = ndimage.gaussian_filter(image, sigma, mode="constant", truncate=3.0)
    if mask is None:
        return np.asarray(smooth)
    return np.where(mask, smooth, np.float32(0.0))


def noise_estimate(image: Image, mask: npt.NDArray[np.bool_], *, least: float = 0.25) -> float:
    """Return a voxel's relative noise: median |difference along z| where the image is bright.

    Two neighbours of equal mean and standard deviation σ differ by σ√2 on the average square;
    the median of |difference| of a normal law is 0.6745 of that. Edges make it an upper bound.
    """
    if not mask.any():
        return 0.0
    bright = image > least * float(np.percentile(image[mask], 99))
    both = bright[:, :, 1:] & bright[:, :, :-1] & mask[:, :, 1:] & mask[:, :, :-1]
    if np.count_nonzero(both) < 10:
        return 0.0
    difference = np.abs(np.diff(image, axis=2)[both])
    mean = float(image[:, :, :-1][both].mean())
    return float(np.median(difference)) / 0.6745 / math.sqrt(2.0) / max(mean, 1e-30)
