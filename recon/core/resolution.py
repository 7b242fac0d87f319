"""Image-space resolution: the blur between an emission and its recorded line.

The expectation becomes ȳ = A G λ + b with G a blur of the image, so EM needs Gᵀ as well and the
sensitivity Gᵀ s (A. J. Reader et al., IEEE Trans. Nucl. Sci. 50 (2003) 1392).

:class:`GaussianResolution` is separable. Along each axis an emission in voxel j lands in voxel i
with the Gaussian's integral over voxel i, cut at 4 σ and divided by its sum over the voxels of the
grid: every emission keeps its mass of 1 even at the edge, and Gᵀ is the exact transpose.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from hw.arrays import F4
from hw.physics.constants import FWHM_PER_SIGMA
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.separable_blur import blurred

CUT_SIGMAS = 4.0


class ResolutionError(ReconError):
    """A resolution that cannot be modelled."""


class Resolution(Protocol):
    """A linear blur of images and its exact adjoint."""

    def apply(self, image: Image) -> Image:
        """Return G image."""

    def adjoint(self, image: Image) -> Image:
        """Return Gᵀ image."""


class GaussianResolution:
    """The same Gaussian everywhere.

    Parameters
    ----------
    fwhm_mm : along x, y and z; 0 for no blur along an axis
    """

    def __init__(self, grid: ImageGrid, fwhm_mm: tuple[float, float, float]) -> None:
        if len(fwhm_mm) != 3 or not all(0.0 <= fwhm < 1e3 for fwhm in fwhm_mm):
            raise ResolutionError(f"FWHM {fwhm_mm} mm: needs three widths in 0..1000 mm")
        self.grid = grid
        self.fwhm_mm = fwhm_mm
        self._taps = [
            _taps(fwhm / FWHM_PER_SIGMA / size, n)
            for fwhm, size, n in zip(fwhm_mm, grid.voxel_mm, grid.shape, strict=True)
        ]
        inside = blurred(np.ones(grid.shape, dtype=np.float32), *self._taps)
        self._share = np.float32(1.0) / inside

    def apply(self, image: Image) -> Image:
        """Return G image: the image as the scanner sees it."""
        self.grid.check(image)
        return blurred(image * self._share, *self._taps)

    def adjoint(self, image: Image) -> Image:
        """Return Gᵀ image."""
        self.grid.check(image)
        return blurred(image, *self._taps) * self._share


def _taps(sigma: float, size: int) -> F4:
    """Return the share of an emission that lands in each voxel, from its own outwards."""
    reach = min(math.ceil(CUT_SIGMAS * sigma), size - 1)
    if sigma <= 0 or reach < 1:
        return np.ones(1, dtype=np.float32)
    edges = (np.arange(reach + 2) - 0.5) / sigma
    taps = np.diff(ndtr(edges))
    return np.asarray(taps / (2 * taps.sum() - taps[0]), dtype=np.float32)
