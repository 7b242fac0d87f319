"""The object as the simulation sees it: coarse images, and points where photons scatter.

The object is cut into cells of about ``spacing_mm``; each cell that holds matter gets one point,
drawn within it in proportion to µ by a Kronecker sequence, with the cell's whole ∫µ dV as its
weight: the total is exact whatever the spacing, and no lattice shows in the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.core.grid import Image, ImageGrid

LEAST_MU_PER_MM = 2e-4
"""Thinner matter (air) scatters nothing worth a point."""


@dataclass(frozen=True)
class CoarseImage:
    """An image [x, y, z] f4 of larger voxels with a border of zeros (so that linear interpolation
    keeps all of the outer voxels' content); the centre of the first is at ``origin_mm``."""

    values: Image
    voxel_mm: npt.NDArray[np.float64]
    origin_mm: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScatterPoints:
    """Where photons scatter: (p, 3) f8 mm, and the ∫µ dV (mm²) that each point represents."""

    position_mm: npt.NDArray[np.float64]
    weight_mm2: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.weight_mm2)


def coarse_image(image: npt.NDArray[np.floating], grid: ImageGrid, cell_mm: float) -> CoarseImage:
    """Return the mean of ``image`` over cells of whole voxels of at most ``cell_mm`` each way."""
    factor = cell_factors(grid, cell_mm)
    voxel = np.array(grid.voxel_mm)
    values = _pooled(image, factor) / np.float32(np.prod(factor))
    origin = grid.origin_mm + (factor - 1) / 2 * voxel - voxel * factor
    return CoarseImage(np.pad(values.astype(np.float32), 1), voxel * factor, origin)


def cell_factors(grid: ImageGrid, cell_mm: float) -> npt.NDArray[np.int64]:
    """Return the number of voxels per cell along x, y and z."""
    return np.maximum(1, np.floor(cell_mm / np.array(grid.voxel_mm) + 1e-6)).astype(np.int64)


def scatter_points(mu_per_mm: Image, grid: ImageGrid, spacing_mm: float) -> ScatterPoints:
    """Return the scatter points of a µ map; none if it is empty."""
    mu = np.where(mu_per_mm > LEAST_MU_PER_MM, mu_per_mm, 0.0).astype(np.float64)
    factor = cell_factors(grid, spacing_mm)
    cells = _cells(mu, factor)
    weight = cells.sum(axis=1)
    filled = np.flatnonzero(weight > 0)
    chosen = _drawn_voxels(cells[filled])
    whole = [-(-n // f) for n, f in zip(mu.shape, factor, strict=True)]
    cell = np.stack(np.unravel_index(filled, whole), axis=1)
    within = np.stack(np.unravel_index(chosen, tuple(factor)), axis=1)
    position = grid.origin_mm + (cell * factor + within) * np.array(grid.voxel_mm)
    return ScatterPoints(position, weight[filled] * grid.voxel_volume_mm3)


def _drawn_voxels(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return a voxel of each cell, drawn in proportion to µ."""
    golden = 0.6180339887498949
    draw = np.modf((np.arange(len(cells)) + 0.5) * golden)[0]
    below = np.cumsum(cells, axis=1)
    return np.asarray((below < (draw * below[:, -1])[:, None]).sum(axis=1), dtype=np.int64)


def _cells(
    image: npt.NDArray[np.floating], factor: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the image's voxels by cell, (cells, voxels per cell), 0 beyond its edge."""
    padded = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, factor, strict=True)])
    x, y, z = (n // f for n, f in zip(padded.shape, factor, strict=True))
    split = padded.reshape(x, factor[0], y, factor[1], z, factor[2])
    return np.asarray(split.transpose(0, 2, 4, 1, 3, 5).reshape(x * y * z, -1))


def _pooled(
    image: npt.NDArray[np.floating], factor: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    whole = [-(-n // f) for n, f in zip(image.shape, factor, strict=True)]
    return np.asarray(_cells(image, factor).sum(axis=1, dtype=np.float64).reshape(whole))
