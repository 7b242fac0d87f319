"""The sensitivity image: the probability that an emission in a voxel becomes a coincidence.

    s_j = Σ_lines m_i a_ij,     m = g · n · c · l      (see recon.lines.model for why)

The sum over all lines is an integral over pairs of blocks, done with quasi-random lines
(:mod:`recon.em.sensitivity_lines`). Photopeak fraction and energy window are not included:
calibration finds that constant.

Near the axis the gaps between blocks that face each other line up and s changes within a few mm, so
the geometric image is made on the full grid; the scanner's mirror planes and quarter turns multiply
its samples by up to 16. The effect of normalisation, live shares and attenuation is smooth: the
ratio of the images with and without n c l, from the same lines, is computed on a grid of at least
``RATIO_MM`` and interpolated (:class:`SensitivityRatio`). It must not be too smooth: with 3 % too
little over a cavity of 28 mm, a third of what is around the cavity appears in it; with 2 % too much
at the rim of a cylinder, the rim reads 2 % lower than it should
(docs/reconstruction/attenuation.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.arrays import F4
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import check_mu
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity_lines import SampledLines, sampled_lines
from recon.lines.model import LineFactor
from recon.projector.operator import Projector

COARSE_MM = 4.0
RATIO_MM, RATIO_FWHM_MM = 2.0, 6.0
RATIO_PASSES = 3
"""Of smoothing what is left of the ratio."""

GEOMETRIC_FWHM_MM = 3.0
SAMPLES = 2_500_000
RATIO_SAMPLES = 800_000
LEAST_RELATIVE = 0.01
"""Voxels below this share of the greatest sensitivity are masked."""

Stopped = Callable[[], bool]


class SensitivityStopped(Exception):
    """The computation was told to stop."""


def geometric_sensitivity(
    system: ReconSystem,
    *,
    samples: int = SAMPLES,
    threads: int = 1,
    stopped: Stopped = lambda: False,
) -> Image:
    """Return the sensitivity (probability per emission) of each voxel, for n = c = l = 1.

    Parameters
    ----------
    samples : total number of lines, spread evenly over the allowed pairs
    stopped : polled regularly; True raises :class:`SensitivityStopped`
    """
    grid = system.grid
    projector = Projector(grid, threads=threads)
    total = np.zeros(grid.shape, dtype=np.float64)
    try:
        for lines in sampled_lines(system, samples=samples):
            _check(stopped)
            total += projector.back(lines.weight, lines.lors)
    finally:
        projector.close()
    symmetric = _symmetrised(total, system.scanner)
    return _smoothed(symmetric, grid, fwhm_mm=GEOMETRIC_FWHM_MM).astype(np.float32)


class SensitivityRatio:
    """The factor by which n, c and l lower each voxel's sensitivity; unchanged parts are cached.

    The lines, their sum without factors, and each line's last factors and attenuation stay in
    memory (35 MB for 800,000 lines): a new µ map costs its projection and one back projection, a
    new normalisation the back projection only.
    """

    def __init__(
        self,
        system: ReconSystem,
        *,
        samples: int = RATIO_SAMPLES,
        threads: int = 1,
        stopped: Stopped = lambda: False,
    ) -> None:
        self.system = system
        self._coarse = coarse_grid(system.grid, least_mm=RATIO_MM)
        self._threads = threads
        self._stopped = stopped
        self._lines = list(sampled_lines(system, samples=samples))
        self._without = self._backed([lines.weight for lines in self._lines])
        self._through: tuple[bytes, list[F4]] = (b"", [])
        self._seen: tuple[str, list[F4]] = ("", [])

    def of(self, factors: Sequence[LineFactor] = (), mu_per_mm: Image | None = None) -> Image:
        """Return the ratio on the system's grid: 1 for no factors and no µ map."""
        values = [lines.weight for lines in self._lines]
        if factors:
            values = [v * f for v, f in zip(values, self._factors(factors), strict=True)]
        if mu_per_mm is not None:
            values = [v * c for v, c in zip(values, self._attenuation(mu_per_mm), strict=True)]
        ratio = _smooth_ratio(self._backed(values), self._without, self._coarse)
        return refined(ratio, self._coarse, self.system.grid)

    def _factors(self, factors: Sequence[LineFactor]) -> list[F4]:
        name = ",".join(factor.content_hash for factor in factors)
        if self._seen[0] != name:
            self._seen = (name, [_product(factors, lines) for lines in self._lines])
        return self._seen[1]

    def _attenuation(self, mu_per_mm: Image) -> list[F4]:
        self.system.grid.check(mu_per_mm, what="µ map")
        check_mu(mu_per_mm)
        name = np.ascontiguousarray(mu_per_mm, dtype=np.float32).tobytes()
        if self._through[0] != name:
            self._through = (name, self._survival(mu_per_mm))
        return self._through[1]

    def _survival(self, mu_per_mm: Image) -> list[F4]:
        projector = Projector(self.system.grid, threads=self._threads)
        survival = []
        try:
            for lines in self._lines:
                _check(self._stopped)
                survival.append(np.exp(-projector.forward(mu_per_mm, lines.lors)))
        finally:
            projector.close()
        return survival

    def _backed(self, values: list[F4]) -> npt.NDArray[np.float64]:
        projector = Projector(self._coarse, threads=self._threads)
        total = np.zeros(self._coarse.shape, dtype=np.float64)
        try:
            for value, lines in zip(values, self._lines, strict=True):
                _check(self._stopped)
                total += projector.back(np.ascontiguousarray(value, np.float32), lines.lors)
        finally:
            projector.close()
        return total


def coarse_grid(grid: ImageGrid, *, least_mm: float = COARSE_MM) -> ImageGrid:
    """Return a centred grid of voxels of at least ``least_mm`` that covers ``grid``."""
    factor = [max(1, math.floor(least_mm / size + 1e-6)) for size in grid.voxel_mm]
    shape = [math.ceil(n / f) + 1 for n, f in zip(grid.shape, factor, strict=True)]
    voxel = [size * f for size, f in zip(grid.voxel_mm, factor, strict=True)]
    return ImageGrid((shape[0], shape[1], shape[2]), (voxel[0], voxel[1], voxel[2]))


def refined(image: npt.NDArray[np.floating], coarse: ImageGrid, grid: ImageGrid) -> Image:
    """Return ``image`` interpolated from ``coarse`` onto ``grid``, constant beyond its edge."""
    ratio = np.array(grid.voxel_mm) / np.array(coarse.voxel_mm)
    offset = (np.array(coarse.shape) - 1) / 2 - ratio * (np.array(grid.shape) - 1) / 2
    return np.asarray(
        ndimage.affine_transform(
            image, ratio, offset, output_shape=grid.shape, order=1, mode="nearest"
        ),
        dtype=np.float32,
    )


def support_mask(sensitivity: Image, grid: ImageGrid) -> npt.NDArray[np.bool_]:
    """Return the voxels that may hold activity: in the image's cylinder, sensitive enough."""
    radius = min(n * size / 2 for n, size in zip(grid.shape[:2], grid.voxel_mm[:2], strict=True))
    seen = sensitivity > LEAST_RELATIVE * float(sensitivity.max(initial=0.0))
    return grid.cylinder(radius) & seen & np.isfinite(sensitivity)


def _check(stopped: Stopped) -> None:
    if stopped():
        raise SensitivityStopped


def _product(factors: Sequence[LineFactor], lines: SampledLines) -> F4:
    value = np.ones(len(lines.weight), dtype=np.float32)
    for factor in factors:
        value *= factor.of_lines(lines.crystal_a, lines.crystal_b)
    return value


def _smoothed(
    image: npt.NDArray[np.float64], grid: ImageGrid, *, fwhm_mm: float
) -> npt.NDArray[np.float64]:
    sigma = [fwhm_mm / FWHM_PER_SIGMA / size for size in grid.voxel_mm]
    return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest"))


def _smooth_ratio(
    over: npt.NDArray[np.float64], under: npt.NDArray[np.float64], grid: ImageGrid
) -> npt.NDArray[np.float64]:
    """Return the ratio of the smoothed sums, and what smoothing its residual adds, some times.

    That follows curvature (P. Bühlmann and B. Yu, J. Amer. Statist. Assoc. 98 (2003) 324; once is
    J. W. Tukey's "twicing").
    """

    def smooth(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return _smoothed(image, grid, fwhm_mm=RATIO_FWHM_MM)

    below = np.maximum(smooth(under), 1e-30)
    ratio = smooth(over) / below
    for _ in range(RATIO_PASSES):
        ratio += smooth(over - ratio * under) / below
    return np.asarray(ratio.clip(0.0))


def _symmetrised(image: npt.NDArray[np.float64], scanner: Scanner) -> npt.NDArray[np.float64]:
    """Return the mean over the scanner's symmetries that map the grid onto itself.

    Sector k of a whole ring stands at 2πk/sectors from +x: y and z mirrors always hold, the x
    mirror for an even number of sectors, the quarter turn for a multiple of four. An arc has the z
    mirror only.
    """
    sectors = scanner.ring.modules_per_ring
    image = (image + image[:, :, ::-1]) / 2
    if scanner.ring.arc_deg != 360.0:
        return image
    image = (image + image[:, ::-1]) / 2
    if sectors % 2 == 0:
        image = (image + image[::-1]) / 2
    if sectors % 4 == 0 and image.shape[0] == image.shape[1]:
        image = (image + image.swapaxes(0, 1)) / 2
    return image
