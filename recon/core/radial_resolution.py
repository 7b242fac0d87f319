"""A point spread that varies with distance from the axis: radial, tangential and axial widths.

Each transaxial column (x, y) has its own Gaussian with a radial and a tangential σ, integrated over
the voxels around it (``SAMPLES``² points each), cut at ``CUT_SIGMAS`` and divided by its sum over
the grid: every emission keeps its mass of 1, even at the edge. Along z the Gaussian is the same
everywhere (:class:`recon.core.resolution.GaussianResolution`); the two work on different axes and
commute. ``adjoint`` applies the transpose of the same table of weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, F8
from hw.jit import bare_kernel
from hw.physics.constants import FWHM_PER_SIGMA
from recon.core.grid import Image, ImageGrid
from recon.core.resolution import GaussianResolution, ResolutionError

CUT_SIGMAS = 3.0
SAMPLES = 5
MOST_REACH = 12


class RadialResolution:
    """Blur with widths (σ, mm) per column of the grid.

    Parameters
    ----------
    grid : voxels of the images that are blurred
    radial_mm : (nx, ny), σ along the line to the axis, mm
    tangential_mm : (nx, ny), σ across that line in the transaxial plane, mm
    axial_mm : σ along z, mm
    threads : that share the rows of the image
    """

    def __init__(
        self,
        grid: ImageGrid,
        *,
        radial_mm: F8,
        tangential_mm: F8,
        axial_mm: float,
        threads: int = 1,
    ) -> None:
        self.grid = grid
        self.threads = threads
        widest = float(max(np.max(radial_mm), np.max(tangential_mm)))
        least = float(min(np.min(radial_mm), np.min(tangential_mm)))
        if not (least >= 0 and math.isfinite(widest)):
            raise ResolutionError("widths of the point spread must be finite and not negative")
        reach = math.ceil(CUT_SIGMAS * widest / min(grid.voxel_mm[:2]))
        if reach > MOST_REACH:
            raise ResolutionError(
                f"point spread of σ = {widest:.3g} mm reaches over {reach} voxels, at most "
                f"{MOST_REACH}: use larger voxels or GaussianResolution"
            )
        self.weights = _weights(grid, radial_mm, tangential_mm, reach)
        self._axial = GaussianResolution(grid, (0.0, 0.0, axial_mm * FWHM_PER_SIGMA))

    def apply(self, image: Image) -> Image:
        """Return G image: the image as the scanner sees it."""
        out = np.zeros(self.grid.shape, dtype=np.float32)
        seen = self._axial.apply(np.asarray(image, dtype=np.float32))
        self._run(lambda first, stop: spread_columns(seen, self.weights, first, stop, out))
        return out

    def adjoint(self, image: Image) -> Image:
        """Return Gᵀ image."""
        self.grid.check(image)
        out = np.zeros(self.grid.shape, dtype=np.float32)
        flat = np.asarray(image, dtype=np.float32)
        self._run(lambda first, stop: collect_columns(flat, self.weights, first, stop, out))
        return self._axial.adjoint(out)

    def _run(self, rows: Callable[[int, int], None]) -> None:
        edges = np.linspace(0, self.grid.shape[0], self.threads + 1).astype(int)
        spans = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        if self.threads == 1:
            rows(*spans[0])
            return
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda span: rows(*span), spans))


def _weights(grid: ImageGrid, radial_mm: F8, tangential_mm: F8, reach: int) -> F4:
    """Return where each column's emissions land, (x, y, 2 reach + 1, 2 reach + 1), sums 1."""
    x, y, _ = (axis.astype(np.float64) for axis in grid.axes_mm())
    radius = np.maximum(np.hypot(x, y), 1e-9)[:, :, 0]
    cosine = np.where(radius > 1e-6, x[:, :, 0] / radius, 1.0)
    sine = y[:, :, 0] / radius
    size = 2 * reach + 1
    weights = np.zeros((*grid.shape[:2], size, size))
    # a voxel of finite size: a width of 0 means "stays in its voxel"
    radial, tangential = np.maximum(radial_mm, 1e-3), np.maximum(tangential_mm, 1e-3)
    shifts = (np.arange(SAMPLES) - (SAMPLES - 1) / 2) / SAMPLES
    for a in range(-reach, reach + 1):
        for b in range(-reach, reach + 1):
            for shift_a in shifts:
                for shift_b in shifts:
                    dx, dy = (a + shift_a) * grid.voxel_mm[0], (b + shift_b) * grid.voxel_mm[1]
                    along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
                    square = (along / radial) ** 2 + (across / tangential) ** 2
                    weights[:, :, a + reach, b + reach] += np.where(
                        square <= CUT_SIGMAS**2, np.exp(-square / 2), 0.0
                    )
    weights *= _inside(grid.shape[0], reach)[:, None, :, None]
    weights *= _inside(grid.shape[1], reach)[None, :, None, :]
    total = weights.sum(axis=(2, 3), keepdims=True)
    return np.ascontiguousarray(weights / total, dtype=np.float32)


def _inside(size: int, reach: int) -> npt.NDArray[np.bool_]:
    """Return whether voxel i + step lies on an axis of ``size``, (size, 2 reach + 1)."""
    place = np.arange(size)[:, None] + np.arange(-reach, reach + 1)
    return np.asarray((place >= 0) & (place < size))


@bare_kernel
def spread_columns(image: F4, weights: F4, first: int, stop: int, out: F4) -> None:
    """Add to ``out[u, v]`` what every column (u - a, v - b) sends there, for rows u first..stop.

    Parameters
    ----------
    image, out : (nx, ny, nz) f4; ``out`` is added to
    weights : (nx, ny, 2 reach + 1, 2 reach + 1) f4, by the column that sends and the step from it
    first, stop : range of rows along x
    """
    n_x, n_y, n_z = image.shape
    reach = weights.shape[2] // 2
    for u in range(first, stop):
        for v in range(n_y):
            for a in range(max(-reach, u - n_x + 1), min(reach, u) + 1):
                for b in range(max(-reach, v - n_y + 1), min(reach, v) + 1):
                    weight = weights[u - a, v - b, a + reach, b + reach]
                    if weight > 0.0:
                        for z in range(n_z):
                            out[u, v, z] += weight * image[u - a, v - b, z]


@bare_kernel
def collect_columns(image: F4, weights: F4, first: int, stop: int, out: F4) -> None:
    """The adjoint: add to ``out[x, y]`` what lies where its emissions land, rows first..stop.

    Parameters
    ----------
    image, weights, first, stop, out : as in :func:`spread_columns`
    """
    n_x, n_y, n_z = image.shape
    reach = weights.shape[2] // 2
    for x in range(first, stop):
        for y in range(n_y):
            for a in range(max(-reach, -x), min(reach, n_x - 1 - x) + 1):
                for b in range(max(-reach, -y), min(reach, n_y - 1 - y) + 1):
                    weight = weights[x, y, a + reach, b + reach]
                    if weight > 0.0:
                        for z in range(n_z):
                            out[x, y, z] += weight * image[x + a, y + b, z]
