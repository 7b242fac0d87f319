"""The µ map: linear attenuation coefficients at 511 keV in 1/mm, brought onto the image grid."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon.grid import Image, ImageGrid, ReconError

MAX_MU_PER_MM = 0.05
"""Above any tissue or implant of plastic (cortical bone 0.0172/mm, NIST XCOM at 511 keV); water in
1/cm would be 0.096, so a map in the wrong unit is caught."""


class MuMapError(ReconError):
    """A µ map that cannot be used; says file, value and bound."""


def check_mu(mu: npt.NDArray[np.floating], *, source: str = "µ map") -> None:
    """Raise :class:`MuMapError` unless ``mu`` is a plausible map in 1/mm."""
    if mu.ndim != 3 or not mu.size:
        raise MuMapError(f"{source}: mu_per_mm has shape {mu.shape}, must be 3-D [x, y, z]")
    if not np.isfinite(mu).all():
        raise MuMapError(f"{source}: {int((~np.isfinite(mu)).sum())} voxels are not finite")
    if mu.min() < 0 or mu.max() > MAX_MU_PER_MM:
        raise MuMapError(
            f"{source}: µ ranges {mu.min():.4g}..{mu.max():.4g}, must lie in 0..{MAX_MU_PER_MM} "
            "per mm (water 0.0096); a map in 1/cm must be divided by 10"
        )


def load_mu_map(path: Path, grid: ImageGrid) -> Image:
    """Return the µ map of an npz file (``mu_per_mm``, ``voxel_mm``) on ``grid``.

    Both grids are centred on the scanner; outside the map µ is 0.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            mu = np.asarray(content["mu_per_mm"], dtype=np.float32)
            voxel = tuple(float(size) for size in np.ravel(content["voxel_mm"]))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MuMapError(f"{path}: no µ map (npz with mu_per_mm, voxel_mm): {error}") from error
    check_mu(mu, source=str(path))
    if len(voxel) != 3 or min(voxel) <= 0:
        raise MuMapError(f"{path}: voxel_mm = {voxel}, needs three sizes > 0 mm")
    return resample(mu, voxel, grid)


def resample(mu: Image, voxel_mm: tuple[float, ...], grid: ImageGrid) -> Image:
    """Return a centred image of another voxel size on ``grid`` (trilinear, 0 outside)."""
    if mu.shape == grid.shape and np.allclose(voxel_mm, grid.voxel_mm):
        return np.ascontiguousarray(mu, dtype=np.float32)
    ratio = np.array(grid.voxel_mm) / np.array(voxel_mm)
    offset = (np.array(mu.shape) - 1) / 2 - ratio * (np.array(grid.shape) - 1) / 2
    on_grid = ndimage.affine_transform(
        mu, ratio, offset, output_shape=grid.shape, order=1, mode="constant", output=np.float32
    )
    return np.ascontiguousarray(on_grid)
