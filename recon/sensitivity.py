"""The sensitivity image: the probability that an emission in a voxel becomes a coincidence.

    s_j = Σ_lines g_i c_i a_ij  (see recon.background for why it has this form)

The sum over all lines is an integral over pairs of blocks, done with quasi-random points. A photon
that crosses a slab at angle θ interacts at depth t with density (µ / cosθ) exp(-µ t / cosθ) and
the flux through the face carries cosθ, so the cosines cancel: a pair of points inside two blocks
has the weight µ² exp(-µ t_a / cosθ_a - µ t_b / cosθ_b) / (2π d² V). Depths are drawn from
exp(-µ t), which leaves a weight near constant. Photopeak fraction and energy window are not in it:
a constant that calibration finds.

Near the axis the gaps between blocks that face each other line up and s changes within a few mm, so
the geometric image is made on the full grid; the scanner's mirror planes and quarter turns multiply
its samples by up to 16. What attenuation does to it is smooth: the ratio of the images with and
without exp(-∫µ), of the same lines, is found on a grid of at least ``COARSE_MM`` and interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.geometry import Geometry
from recon.events import Lors
from recon.grid import Image, ImageGrid
from recon.lors import Detection
from recon.mu_map import check_mu
from recon.projector import Projector
from recon.tof import FWHM_PER_SIGMA

COARSE_MM = 4.0
RATIO_FWHM_MM = 6.0
GEOMETRIC_FWHM_MM = 3.0
SAMPLES = 2_500_000
RATIO_SAMPLES = 800_000
SAMPLES_PER_CHUNK = 200_000
LEAST_RELATIVE = 0.05
"""Voxels seen with less than this share of the greatest sensitivity are masked."""

Stopped = Callable[[], bool]


class SensitivityStopped(Exception):
    """The computation was told to stop."""


def geometric_sensitivity(
    detection: Detection,
    geometry: Geometry,
    allowed: npt.NDArray[np.bool_],
    grid: ImageGrid,
    *,
    samples: int = SAMPLES,
    threads: int = 1,
    stopped: Stopped = lambda: False,
) -> Image:
    """Return the sensitivity (probability per emission) of each voxel without attenuation.

    Parameters
    ----------
    allowed : (modules, modules) bool, pairs that may form a coincidence
    samples : lines in all, spread evenly over the allowed pairs
    stopped : asked now and then; True raises :class:`SensitivityStopped`
    """
    projector = Projector(grid, threads=threads)
    total = np.zeros(grid.shape, dtype=np.float64)
    for lors, weight in sampled_lines(detection, geometry, allowed, grid, samples=samples):
        if stopped():
            raise SensitivityStopped
        total += projector.back(weight, lors)
    projector.close()
    symmetric = _symmetrised(total, sectors=detection.modules_per_ring)
    return _smoothed(symmetric, grid, fwhm_mm=GEOMETRIC_FWHM_MM).astype(np.float32)


def attenuation_ratio(
    detection: Detection,
    geometry: Geometry,
    allowed: npt.NDArray[np.bool_],
    grid: ImageGrid,
    mu_per_mm: Image,
    *,
    samples: int = RATIO_SAMPLES,
    threads: int = 1,
    stopped: Stopped = lambda: False,
) -> Image:
    """Return by which factor the µ map (1/mm, on ``grid``) lowers each voxel's sensitivity."""
    grid.check(mu_per_mm, what="µ map")
    check_mu(mu_per_mm)
    coarse = coarse_grid(grid)
    back = Projector(coarse, threads=threads)
    through = Projector(grid, threads=threads)
    with_mu = np.zeros(coarse.shape, dtype=np.float64)
    without = np.zeros(coarse.shape, dtype=np.float64)
    for lors, weight in sampled_lines(detection, geometry, allowed, coarse, samples=samples):
        if stopped():
            raise SensitivityStopped
        without += back.back(weight, lors)
        with_mu += back.back(weight * np.exp(-through.forward(mu_per_mm, lors)), lors)
    back.close()
    through.close()
    lowered = _smoothed(with_mu, coarse, fwhm_mm=RATIO_FWHM_MM)
    ratio = lowered / np.maximum(_smoothed(without, coarse, fwhm_mm=RATIO_FWHM_MM), 1e-30)
    return refined(ratio, coarse, grid)


def coarse_grid(grid: ImageGrid) -> ImageGrid:
    """Return a centred grid of voxels of at least ``COARSE_MM`` that covers ``grid``."""
    factor = [max(1, math.floor(COARSE_MM / size + 1e-6)) for size in grid.voxel_mm]
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
    """Return the voxels that may hold activity: in the image's cylinder, and seen well enough."""
    radius = min(n * size / 2 for n, size in zip(grid.shape[:2], grid.voxel_mm[:2], strict=True))
    seen = sensitivity > LEAST_RELATIVE * float(sensitivity.max(initial=0.0))
    return grid.cylinder(radius) & seen & np.isfinite(sensitivity)


def sampled_lines(
    detection: Detection,
    geometry: Geometry,
    allowed: npt.NDArray[np.bool_],
    grid: ImageGrid,
    *,
    samples: int,
) -> Iterator[tuple[Lors, npt.NDArray[np.float32]]]:
    """Yield chunks of quasi-random lines with their weights (detection per emission and mm)."""
    pairs = np.argwhere(np.triu(allowed, 1))
    if not len(pairs):
        return
    each = max(64, samples // len(pairs))
    at_once = max(1, SAMPLES_PER_CHUNK // each)
    for first in range(0, len(pairs), at_once):
        chosen = pairs[first : first + at_once]
        points = _quasi_random(np.arange(first, first + len(chosen)), each)
        yield _lines(detection, geometry, chosen, points, grid.voxel_volume_mm3)


def _quasi_random(pair_number: npt.NDArray[np.int64], each: int) -> npt.NDArray[np.float64]:
    """Return points (pairs, each, 6) in [0, 1): Kronecker sequence, rotated per pair.

    Generators are powers of the root of x⁷ = x + 1, the generalised golden ratio of M. Roberts,
    "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    root = 1.1127756842787055
    steps = (1.0 / root) ** np.arange(1, 7)
    shift = np.modf(pair_number[:, None] * np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0]))[0]
    return np.asarray(np.modf(shift[:, None, :] + np.arange(each)[None, :, None] * steps)[0])


def _lines(
    detection: Detection,
    geometry: Geometry,
    pairs: npt.NDArray[np.int64],
    points: npt.NDArray[np.float64],
    voxel_volume_mm3: float,
) -> tuple[Lors, npt.NDArray[np.float32]]:
    mu, thickness = detection.mu_per_mm, detection.thickness_mm
    stopping = -math.expm1(-mu * thickness)
    start, depth_a = _points_in(detection, geometry, pairs[:, 0], points[..., :3])
    end, depth_b = _points_in(detection, geometry, pairs[:, 1], points[..., 3:])
    along = end - start
    distance = np.sqrt((along**2).sum(axis=-1))
    outward = geometry.module_axes[:, 2, :]
    cos_a = -np.einsum("pki,pi->pk", along, outward[pairs[:, 0]]) / distance
    cos_b = np.einsum("pki,pi->pk", along, outward[pairs[:, 1]]) / distance
    facing = (cos_a > 0.01) & (cos_b > 0.01)
    path = depth_a * (1 / np.maximum(cos_a, 0.01) - 1) + depth_b * (1 / np.maximum(cos_b, 0.01) - 1)
    each = points.shape[1]
    scale = (detection.module_area_mm2 * stopping) ** 2 / (2 * math.pi * voxel_volume_mm3 * each)
    weight = np.where(facing, scale * np.exp(-mu * path) / distance**2, 0.0)
    lors = Lors(
        np.ascontiguousarray(start.reshape(-1, 3), dtype=np.float32),
        np.ascontiguousarray(end.reshape(-1, 3), dtype=np.float32),
    )
    return lors, np.ascontiguousarray(weight.reshape(-1), dtype=np.float32)


def _points_in(
    detection: Detection,
    geometry: Geometry,
    module: npt.NDArray[np.int64],
    points: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return positions (pairs, each, 3) in the blocks and their depths (pairs, each), mm."""
    mu = detection.mu_per_mm
    stopping = -math.expm1(-mu * detection.thickness_mm)
    depth = -np.log1p(-points[..., 2] * stopping) / mu
    local = np.stack(
        [
            (points[..., 0] - 0.5) * detection.width_mm,
            (points[..., 1] - 0.5) * detection.height_mm,
            depth,
        ],
        axis=-1,
    )
    axes = geometry.module_axes[module]
    position = geometry.module_centre_mm[module][:, None, :] + np.einsum(
        "pki,pij->pkj", local, axes
    )
    return position, depth


def _smoothed(
    image: npt.NDArray[np.float64], grid: ImageGrid, *, fwhm_mm: float
) -> npt.NDArray[np.float64]:
    sigma = [fwhm_mm / FWHM_PER_SIGMA / size for size in grid.voxel_mm]
    return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest"))


def _symmetrised(image: npt.NDArray[np.float64], *, sectors: int) -> npt.NDArray[np.float64]:
    """Return the mean over the scanner's symmetries that map the grid onto itself.

    Sector k stands at 2πk/sectors from +x: y and z mirrors always hold, the x mirror for an even
    number of sectors, the quarter turn where it is a multiple of four.
    """
    image = (image + image[:, ::-1]) / 2
    image = (image + image[:, :, ::-1]) / 2
    if sectors % 2 == 0:
        image = (image + image[::-1]) / 2
    if sectors % 4 == 0 and image.shape[0] == image.shape[1]:
        image = (image + image.swapaxes(0, 1)) / 2
    return image
