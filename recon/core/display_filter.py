"""Gaussian post-filters: for display only, never part of the estimate."""

from __future__ import annotations

import numpy as np

from hw.arrays import F4
from hw.physics.constants import FWHM_PER_SIGMA
from recon.core.grid import Image, ImageGrid
from recon.core.separable_blur import blurred


def gaussian(image: Image, grid: ImageGrid, *, fwhm_mm: float) -> Image:
    """Return ``image`` smoothed with an isotropic Gaussian of ``fwhm_mm`` (0 for none).

    The kernel is cut at 3 σ and normalised there; outside, the image is 0.
    """
    if fwhm_mm <= 0:
        return image
    along_x, along_y, along_z = (gaussian_weights(fwhm_mm, size) for size in grid.voxel_mm)
    return blurred(image, along_x, along_y, along_z)


def gaussian_weights(fwhm_mm: float, voxel_mm: float) -> F4:
    """Return the weights of a Gaussian from its centre outwards; both sides sum to 1."""
    sigma = fwhm_mm / FWHM_PER_SIGMA / voxel_mm
    reach = int(3.0 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]), dtype=np.float32)
