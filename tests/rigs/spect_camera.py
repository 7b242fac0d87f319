"""A small camera for SPECT tests, its views, and independently written oracles."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from scipy import ndimage, special

from hw.arrays import F8
from hw.physics.energy_windows import spect_windows
from hw.scanner.description import Scanner
from hw.scanner.geometry import module_poses
from hw.scanner.preset_file import load_scanner
from recon.core.grid import ImageGrid
from recon.spect.peaks import Peak, peaks_of
from recon.spect.projector import SpectProjector
from recon.spect.views import View


def small_head(
    *, pixels: int = 16, shape: tuple[int, int, int] = (16, 16, 8), voxel_mm: float = 16.0,
    preset: str = "gamma_head_lehr",
) -> Scanner:  # fmt: skip
    """Return the LEHR head with few pixels and a coarse image."""
    scanner = load_scanner(preset)
    module = msgspec.structs.replace(scanner.module, n_u=pixels, n_v=pixels)
    image = msgspec.structs.replace(scanner.image, shape=shape, voxel_mm=(voxel_mm,) * 3)
    return msgspec.structs.replace(scanner, module=module, image=image)


def grid_of(scanner: Scanner) -> ImageGrid:
    """Return the scanner's image grid."""
    return ImageGrid(scanner.image.shape, scanner.image.voxel_mm)


def peak_of(scanner: Scanner, nuclide: str = "Tc-99m", number: int = 0) -> Peak:
    """Return a standard photopeak."""
    return peaks_of(scanner, spect_windows(nuclide))[number]


def view_at(scanner: Scanner, angle_deg: float, *, module: int = 0, seconds: float = 1.0) -> View:
    """Return a view without decay or dead time."""
    centre, axes = module_poses(scanner, angle_deg)
    u, w = axes[module, 0], axes[module, 2]
    x, y, z = map(float, centre[module])
    return View(
        module, angle_deg, (float(u[0]), float(u[1])), (float(w[0]), float(w[1])), (x, y, z),
        seconds, seconds,
    )  # fmt: skip


def dense_row(projector: SpectProjector, view: View, mu: F8 | None) -> F8:
    """Return the system matrix of a view of a Gaussian camera, (n_u · n_v, voxels), float64.

    Voxel by voxel: its tent is sampled with scipy on the planes in front of the camera, attenuated
    by the trapezium rule along its own column, and blurred by integrals of erf.
    """
    grid, scanner = projector.grid, projector.scanner
    module, collimator = scanner.module, scanner.collimator
    assert collimator is not None
    angle = math.atan2(view.w[1], view.w[0])
    lateral = projector._lateral_mm
    depth = projector._depth_mm
    step = float(depth[1] - depth[0])
    a, s = np.meshgrid(lateral, depth, indexing="ij")
    place = [
        (-a * math.sin(angle) + s * math.cos(angle)) / grid.voxel_mm[0] + (grid.shape[0] - 1) / 2,
        (a * math.cos(angle) + s * math.sin(angle)) / grid.voxel_mm[1] + (grid.shape[1] - 1) / 2,
    ]
    survive = np.ones((grid.shape[2], *a.shape))
    if mu is not None:
        for z in range(grid.shape[2]):
            sampled = ndimage.map_coordinates(
                np.pad(mu[:, :, z], 1), [p + 1 for p in place], order=1, mode="constant"
            )
            beyond = np.cumsum(sampled[:, ::-1], axis=1)[:, ::-1] - sampled / 2
            survive[z] = np.exp(-beyond * step)
    face = scanner.bore_mm
    u = (np.arange(module.n_u) - (module.n_u - 1) / 2) * module.pitch_u_mm
    v = (np.arange(module.n_v) - (module.n_v - 1) / 2) * module.pitch_v_mm
    z_mm = (np.arange(grid.shape[2]) - (grid.shape[2] - 1) / 2) * grid.voxel_mm[2]
    h = float(lateral[1] - lateral[0])
    across, upward = [], []
    for d in depth:
        sigma = float(projector.peak.response.sigma_mm(face - d))
        across.append(box_in_box(u[:, None] - lateral, module.pitch_u_mm, h, sigma))
        upward.append(box_in_box(v[:, None] - z_mm, module.pitch_v_mm, grid.voxel_mm[2], sigma))
    matrix = np.zeros((module.n_u * module.n_v, math.prod(grid.shape)))
    scale = view.exposure_s * projector.peak.counts_per_decay
    scale *= h * step / (grid.voxel_mm[0] * grid.voxel_mm[1])
    for column in range(matrix.shape[1]):
        ix, iy, iz = np.unravel_index(column, grid.shape)
        unit = np.zeros(tuple(n + 2 for n in grid.shape[:2]))
        unit[ix + 1, iy + 1] = 1.0
        tent = ndimage.map_coordinates(unit, [p + 1 for p in place], order=1, mode="constant")
        seen = np.zeros((module.n_u, module.n_v))
        for k in np.flatnonzero(tent.any(axis=0)):
            seen += np.outer(across[k] @ (tent[:, k] * survive[iz][:, k]), upward[k][:, iz])
        matrix[:, column] = scale * seen.ravel()
    return matrix


def box_in_box(distance: F8, pixel: float, source: float, sigma: float) -> F8:
    """Return a pixel's share of a blurred box, by Gauss–Legendre over the box."""
    node, weight = np.polynomial.legendre.leggauss(24)
    shifted = distance[..., None] + node * source / 2
    inside = special.erf((shifted + pixel / 2) / (sigma * math.sqrt(2)))
    inside -= special.erf((shifted - pixel / 2) / (sigma * math.sqrt(2)))
    return np.asarray((inside / 2 * weight).sum(axis=-1) / 2)
