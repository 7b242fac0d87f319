"""The positron range as part of the resolution model: emissions are annihilations, activity is not.

The distribution of a nuclide in water (:class:`hw.physics.positron_range.PositronRange`) is a sum
of Gaussians Σ w_k G_k with Σ w_k = 1, each separable and with its exact adjoint
(:class:`recon.core.resolution.GaussianResolution`). A uniform Gaussian blur is added to each G_k in
quadrature; a blur that varies with place follows it (:class:`FollowedBy`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.physics.constants import FWHM_PER_SIGMA
from recon.core.grid import Image, ImageGrid
from recon.core.resolution import GaussianResolution, Resolution, ResolutionError

LEAST_VOXELS = 0.2
"""A σ below this part of the smallest voxel leaves 98 % of a voxel's middle in it: no blur."""


@dataclass(frozen=True)
class RangeBlur:
    """Gaussians that stand for a positron range.

    weights : of each, sum 1
    sigmas_mm : the same along all axes
    """

    weights: tuple[float, ...]
    sigmas_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.sigmas_mm) or abs(sum(self.weights) - 1) > 1e-6:
            raise ResolutionError(
                f"positron range: {len(self.weights)} weights of sum {sum(self.weights):g} for "
                f"{len(self.sigmas_mm)} widths; one each and a sum of 1 are needed"
            )

    def scaled(self, factor: float) -> RangeBlur:
        """Return the blur in matter in which ranges are ``factor`` times as long."""
        return RangeBlur(self.weights, tuple(factor * sigma for sigma in self.sigmas_mm))

    @property
    def rms_mm(self) -> float:
        """Root mean square along one axis."""
        return float(np.sqrt(np.dot(self.weights, np.square(self.sigmas_mm))))


class RangeResolution:
    """A positron range and a Gaussian, the same everywhere.

    Parameters
    ----------
    fwhm_mm : of the Gaussian, along x, y and z; 0 for none
    """

    def __init__(
        self, grid: ImageGrid, blur: RangeBlur, fwhm_mm: tuple[float, float, float] = (0, 0, 0)
    ) -> None:
        least = LEAST_VOXELS * min(grid.voxel_mm)
        total: dict[float, float] = {}
        for weight, sigma in zip(blur.weights, blur.sigmas_mm, strict=True):
            seen = sigma if sigma >= least else 0.0
            total[seen] = total.get(seen, 0.0) + weight
        self._parts = [(np.float32(w), _widened(grid, s, fwhm_mm)) for s, w in total.items()]

    def apply(self, image: Image) -> Image:
        """Return G image: annihilations, blurred, from decays."""
        return self._sum([weight * part.apply(image) for weight, part in self._parts])

    def adjoint(self, image: Image) -> Image:
        """Return Gᵀ image."""
        return self._sum([weight * part.adjoint(image) for weight, part in self._parts])

    @staticmethod
    def _sum(images: list[Image]) -> Image:
        out = images[0]
        for image in images[1:]:
            out += image
        return np.asarray(out, dtype=np.float32)


def uniform_resolution(
    grid: ImageGrid, fwhm_mm: float, positrons: RangeBlur | None
) -> Resolution | None:
    """Return a Gaussian and a positron range, the same everywhere; None for neither."""
    widths = (fwhm_mm, fwhm_mm, fwhm_mm)
    if positrons is not None:
        return RangeResolution(grid, positrons, widths)
    return GaussianResolution(grid, widths) if fwhm_mm > 0 else None


class FollowedBy:
    """One blur after another."""

    def __init__(self, first: Resolution, then: Resolution) -> None:
        self.first, self.then = first, then

    def apply(self, image: Image) -> Image:
        """Return G image."""
        return self.then.apply(self.first.apply(image))

    def adjoint(self, image: Image) -> Image:
        """Return Gᵀ image."""
        return self.first.adjoint(self.then.adjoint(image))


def _widened(
    grid: ImageGrid, sigma_mm: float, fwhm_mm: tuple[float, float, float]
) -> GaussianResolution:
    x, y, z = (float(np.hypot(fwhm, FWHM_PER_SIGMA * sigma_mm)) for fwhm in fwhm_mm)
    return GaussianResolution(grid, (x, y, z))
