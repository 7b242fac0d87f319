"""Multiple scatter relative to single scatter, per module pair.

Of a head's scatter above 350 keV a quarter has scattered twice or more, and its distribution is
narrower than that of single scatter: with the single-scatter shape the middle of the image gets too
little. So some ten thousand decays are followed by Monte Carlo; at each collision the probability
that the photon leaves towards every module, and is counted there, is added in full (forced
detection: F. J. Beekman, H. W. A. M. de Jong, S. van Geloven, IEEE Trans. Med. Imaging 21 (2002)
867). Collisions are forced too: a photon's weight is their probability.

- *directed* chains: one photon reaches a module unscattered, the other scatters k ≥ 1 times;
- the rest: both photons scatter, each at least once.

Photons interact anywhere in a module, at a new place and depth in each chain.

Directed chains with k = 1 are single scatter, the same integral as in
:mod:`recon.scatter.simulation`; a test compares them. Used are the ratio of all others to it, by
module pair, smoothed over nearby modules (a single pair's has 10 % noise), and the total of single
scatter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.arrays import F8
from hw.physics.compton import attenuation_scale, klein_nishina
from hw.physics.constants import ELECTRON_REST_KEV
from recon.core.grid import Image, ImageGrid
from recon.core.scanner_tables import ReconSystem
from recon.scatter.detector import BlockResponse
from recon.scatter.multiple_kernels import follow_chains
from recon.scatter.points import CoarseImage, coarse_image

CELL_MM, CELLS_ACROSS = 8.0, 24
"""Photons cross cubes of this size, or smaller ones if the image is small."""

MOST_COLLISIONS = 3
MOST_MODULES = 400
"""The modules of both photons are combined: with more modules the chains take too long."""

SMOOTH_OVER = 0.25
"""Inradii over which the ratio of multiple to single scatter of module pairs is smoothed."""

_ROWS = 256
_PARTS = 16
_CLASSICAL_UNITS = 2.0


def scattered_pairs(
    system: ReconSystem,
    response: BlockResponse,
    activity: Image,
    mu: Image,
    *,
    chains: int,
    threads: int = 1,
    seed: int = 1,
    check: Callable[[], None] = lambda: None,
) -> tuple[F8, F8]:
    """Return pairs per decay and (mm² of face)² of module pairs: scattered once, and more.

    Both (modules, modules) f8, filled for a < b.

    Parameters
    ----------
    activity, mu : on the system's grid, any scale, and 1/mm at 511 keV
    chains : decays followed, for each of the two kinds
    check : called regularly; may raise to stop
    """
    lit, matter = (cubes(image, system.grid) for image in (activity, mu))
    sums = np.cumsum(lit.values, dtype=np.float64)
    n = system.scanner.n_modules
    once, again = np.zeros((_PARTS, n, n)), np.zeros((_PARTS, n, n))
    if sums[-1] <= 0 or not matter.values.any():
        return once[0], again[0]
    detection, module = system.detection, system.scanner.module
    size = np.array([module.width_mm, module.height_mm, module.thickness_mm])
    table, least, per_keV = _by_energy(response)
    seen = detection.efficiency
    about = (
        sums / sums[-1], matter.values, matter.origin_mm, float(matter.voxel_mm[0]),
        system.geometry.module_centre_mm, detection.axes, seen.along_u, seen.along_v, size, table,
        least, per_keV,
    )  # fmt: skip

    def part(number: int) -> None:
        check()
        for directed in (True, False):
            drawn = (2 * number + directed + 1) * 1_000_003 + seed
            follow_chains(
                *about, directed, max(chains // _PARTS, 1), MOST_COLLISIONS, drawn,
                once[number], again[number],
            )  # fmt: skip

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        list(pool.map(part, range(_PARTS)))
    return once.mean(axis=0), again.mean(axis=0)


def smooth_ratio(system: ReconSystem, rows: npt.NDArray[np.int64], over: F8, under: F8) -> F8:
    """Return ``over`` / ``under`` of module pairs ``rows`` (n, 2), with the noise smoothed.

    The ratio of Gaussian-weighted sums over nearby module pairs; the residual is smoothed and added
    again, so that curvature is followed ("twicing": J. W. Tukey, Exploratory Data Analysis (1977),
    chapter 16).
    """
    centre, n = system.geometry.module_centre_mm, system.scanner.n_modules
    width_mm = SMOOTH_OVER * system.scanner.ring.inradius_mm
    square = ((centre[:, None] - centre[None]) ** 2).sum(axis=2)
    near = np.exp(-0.5 * square / width_mm**2)
    a, b = rows.T

    def smooth(values: F8) -> F8:
        full = np.zeros((n, n))
        full[a, b] = full[b, a] = values
        return np.asarray((near @ full @ near)[a, b])

    below = np.maximum(smooth(under), 1e-300)
    ratio = smooth(over) / below
    return np.asarray(ratio + smooth(over - ratio * under) / below)


def cubes(image: Image, grid: ImageGrid) -> CoarseImage:
    """Return an image in cubes of at most ``CELL_MM``, with a border of zeros."""
    across = max(n * size for n, size in zip(grid.shape, grid.voxel_mm, strict=True))
    coarse = coarse_image(image, grid, min(CELL_MM, across / CELLS_ACROSS))
    side = float(coarse.voxel_mm.min())
    scale = side / coarse.voxel_mm
    if (scale == 1.0).all():
        return coarse
    shape = tuple(int(n) for n in np.ceil((np.array(coarse.values.shape) - 1) / scale) + 1)
    values = ndimage.affine_transform(coarse.values, scale, output_shape=shape, order=1)
    return CoarseImage(np.ascontiguousarray(values), np.full(3, side), coarse.origin_mm)


def least_counted_keV(response: BlockResponse) -> float:
    """Return the least energy at which photons are counted at all."""
    every = np.linspace(60.0, ELECTRON_REST_KEV, 1000)
    return float(every[np.argmax(response.recorded_share(every) > 1e-3)])


def collision_norm(energy_keV: F8) -> F8:
    """Return 2 / ∫ dσ/dΩ in units of r_e², which the kernels' angular density is divided by."""
    cosine = np.linspace(-1.0, 1.0, 401)
    density = np.array([klein_nishina(cosine, float(e)) for e in energy_keV])
    total = 2 * np.pi * np.trapezoid(density, cosine, axis=1)
    # the kernel's density is in units of r_e²/2, which is klein_nishina's forward value over 2
    unit = klein_nishina(np.ones(1), ELECTRON_REST_KEV)[0] / _CLASSICAL_UNITS
    return np.asarray(unit / total)


def _by_energy(response: BlockResponse) -> tuple[F8, float, float]:
    """Return the kernel's table over energy, its first energy, and its rows per keV."""
    least = least_counted_keV(response)
    energy = np.linspace(least, ELECTRON_REST_KEV, _ROWS)
    columns = (
        response.recorded_share(energy),
        attenuation_scale(energy),
        response.attenuation_per_mm(energy),
        collision_norm(energy),
    )
    table = np.ascontiguousarray(np.stack(columns, axis=1))
    return table, least, (_ROWS - 1) / (ELECTRON_REST_KEV - least)
