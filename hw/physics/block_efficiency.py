"""Block efficiency: the share of arriving photons that a block counts, by direction and place.

An infinite slab of the block's thickness stops 1 − exp(−µ T / cosθ) of the photons. A block counts
fewer: photons scattered in it escape with part of their energy, so that the rest is outside the
energy window, more often near the edge of the face or the back. At a slant it also catches photons
through its sides, and is shadowed by its neighbours. So

    η(direction, u, v) = area counted in the energy window / area that the slab stops photons of

which is found by tracking photons (:mod:`hw.physics.block_tracking`) through a block and its
neighbours in the scanner, once for each scanner and energy window. For each direction η is kept as
a function of u times one of v: at corners that is a few per cent off, elsewhere within the noise.

The same photons give the *apparent depth*. The measured place (an energy-weighted mean, or that of
the largest deposit) lies beside the photon's ray, since photons that scatter towards the back
escape more easily than those that scatter towards the front; the apparent depth is that at which it
lies on the ray on average.

The crystals of a block are treated as one body, as in the emulator; light guides, fluorescence and
the spread of gains in an uncalibrated scanner are left out.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import ndtr

from hw.arrays import F4, F8
from hw.errors import FileWriteError
from hw.jit import bare_kernel, cache_root, kernel
from hw.physics.block_tracking import ABSORBED_BELOW_KEV, counts_from
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA
from hw.physics.scintillator import photo_share, relative_attenuation
from hw.scanner.description import Scanner
from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM, Geometry
from hw.whole_file import whole_file

STEPS, FINE = 12, 4
"""Directions are followed in steps of 1/12 of their components along u and v, and tabled in steps
of 1/48, of which the nearest is taken."""

STEEPEST = 0.95
"""sin²θ beyond which a block's face is seen edge-on: the nearest direction's values are taken."""

PHOTONS = 40_000
"""Per direction: η is then known to 0.4 %."""

MOST_PLACES = 32
MARGIN_MM = 10.0
"""Beyond it photons that scatter over have turned too far to be counted: they lose 1/4 or more."""

NEIGHBOURS = 15

SOURCES = (
    "block_efficiency",
    "block_tracking",
    "photon_kernels",
    "random_numbers",
    "scintillator",
    "compton",
)
"""Files whose change makes what is kept useless."""


@dataclass(frozen=True)
class BlockEfficiency:
    """η of a scanner's blocks; make it with :meth:`of`, and :meth:`none` for η = 1.

    along_u : (directions, directions, places) f4, η averaged over v; the directions are steps of
        |du| and |dv| from 0 to 1, of photons that come in towards growing u and v
    along_v : the same over its own mean
    depth_mm : the apparent depth of all photons, for blocks that do not measure depth
    deeper_mm : by how much the apparent depth exceeds the measured one
    spectrum : (512,) f8, distribution of the energy that photons deposit, in bins of 1 keV
    """

    along_u: F4
    along_v: F4
    depth_mm: float = 0.0
    deeper_mm: float = 0.0
    spectrum: F8 = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def none(cls) -> BlockEfficiency:
        """Return η = 1, for when only geometry is wanted."""
        empty = np.zeros((0, 0, 0), np.float32)
        return cls(empty, empty)

    @classmethod
    def of(
        cls, scanner: Scanner, geometry: Geometry, *, lld_keV: float, uld_keV: float
    ) -> BlockEfficiency:
        """Return η for an energy window, from the cache if present."""
        found = _kept(scanner, geometry, lld_keV, uld_keV)
        if found is None:
            found = _followed(scanner, geometry, lld_keV, uld_keV)
            _keep(_path(scanner, geometry, lld_keV, uld_keV), found)
        depth, measured, slopes = (float(value) for value in found[2][:3])
        spectrum = found[2][3:] / found[2][3:].sum()
        if slopes <= 0.0:  # a window that nothing reaches
            return cls(found[0], found[1], float(geometry.doi_depth_mm[0]), 0.0, spectrum)
        return cls(found[0], found[1], depth / slopes, (depth - measured) / slopes, spectrum)

    def doi_depths_mm(self, geometry: Geometry) -> F4:
        """Return the apparent depth that stands for each DOI bin, (doi_bins,) f4."""
        if not self.known:
            return geometry.doi_depth_mm
        if len(geometry.doi_depth_mm) == 1:
            return np.array([self.depth_mm], np.float32)
        return np.asarray(geometry.doi_depth_mm + np.float32(self.deeper_mm))

    @property
    def known(self) -> bool:
        """Whether η differs from 1."""
        return self.along_u.size > 0

    @property
    def content_hash(self) -> str:
        """Hash of all values, 32 hexadecimal digits."""
        digest = hashlib.sha256(self.along_u.tobytes())
        digest.update(self.along_v.tobytes())
        digest.update(repr((self.depth_mm, self.deeper_mm)).encode())
        return digest.hexdigest()[:32]


@bare_kernel
def efficiency_at(
    along_u: F4, along_v: F4, du: float, dv: float, place_u: float, place_v: float
) -> float:
    """Return η for a photon's direction along u and v of the block it meets, and a place in it.

    place_u, place_v : 0 to 1, from the lowest u and v
    """
    directions = along_u.shape[0]
    if directions == 0:
        return 1.0
    i = min(int(abs(du) * (directions - 1) + 0.5), directions - 1)
    j = min(int(abs(dv) * (directions - 1) + 0.5), directions - 1)
    if du < 0.0:
        place_u = 1.0 - place_u
    if dv < 0.0:
        place_v = 1.0 - place_v
    n_u, n_v = along_u.shape[2], along_v.shape[2]
    k = min(max(int(place_u * n_u), 0), n_u - 1)
    m = min(max(int(place_v * n_v), 0), n_v - 1)
    return along_u[i, j, k] * along_v[i, j, m]


@kernel
def lower_by_efficiency(
    along_u: F4, along_v: F4, axes: F8, module: npt.NDArray[np.int64], towards: F8, places: F8,
    values: F8,
) -> None:  # fmt: skip
    """Multiply ``values`` (n,) by η for photons of directions ``towards`` (n, 3), of length 1.

    axes : (m, 3, 3), rows u, v, w of the modules; module : (n,) the module met; places : (n, 2)
        within it, 0 to 1
    """
    for i in range(len(values)):
        du = dv = 0.0
        for k in range(3):
            du += axes[module[i], 0, k] * towards[i, k]
            dv += axes[module[i], 1, k] * towards[i, k]
        values[i] *= efficiency_at(along_u, along_v, du, dv, places[i, 0], places[i, 1])


def _followed(
    scanner: Scanner, geometry: Geometry, lld_keV: float, uld_keV: float
) -> tuple[F4, F4, F8]:
    """Track photons from all directions, and refine the resulting tables."""
    block = scanner.module
    size = np.array([block.width_mm, block.height_mm, block.thickness_mm])
    tables = energy_tables(scanner, lld_keV, uld_keV)
    chosen = with_neighbours(scanner, geometry)
    centres, axes = geometry.module_centre_mm[chosen], geometry.module_axes[chosen]
    blur_mm = scanner.response.position_fwhm_mm / FWHM_PER_SIGMA
    places = min(block.n_u, MOST_PLACES), min(block.n_v, MOST_PLACES)
    grid = np.arange(STEPS + 1) / STEPS
    nodes = np.argwhere(grid[:, None] ** 2 + grid**2 < STEEPEST)

    def follow(node: npt.NDArray[np.int64]) -> tuple[F8, F8, F8]:
        counts, whole = (np.zeros(places[0]), np.zeros(places[1])), np.zeros(3 + 512)
        seed = int(node[0]) * 1000 + int(node[1])
        du, dv = (float(d) for d in grid[node])
        about = (centres, axes, size, MARGIN_MM, *tables, block.monolithic, blur_mm)
        counts_from(du, dv, ELECTRON_REST_KEV, *about, PHOTONS, seed, *counts, whole[:3], whole[3:])
        slab = stopped_mm2(du, dv, size, tables[0][511])
        return counts[0] * places[0] / slab, counts[1] * places[1] / slab, whole

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        found = list(pool.map(follow, nodes))
    shape = (STEPS + 1, STEPS + 1)
    sides = [np.zeros((*shape, n)) for n in places]
    for node, counts in zip(nodes, found, strict=True):
        for side, values in zip(sides, counts[:2], strict=True):
            side[tuple(node)] = values
    usual = [one[2] for one, node in zip(found, nodes, strict=True) if _usual(node)]
    return *_refined(sides[0], sides[1], nodes), np.sum(usual, axis=0)


def _usual(node: npt.NDArray[np.int64]) -> bool:
    """Return whether a direction is within 45° of the normal."""
    return bool((node**2).sum() <= STEPS**2 / 2)


def stopped_mm2(du: float, dv: float, size_mm: F8, mu_per_mm: float) -> float:
    """Return the area of the block's face, across the beam, times the share that a slab stops."""
    cosine = np.sqrt(1.0 - du * du - dv * dv)
    return float(size_mm[0] * size_mm[1] * cosine * -np.expm1(-mu_per_mm * size_mm[2] / cosine))


def _refined(side_u: F8, side_v: F8, nodes: npt.NDArray[np.int64]) -> tuple[F4, F4]:
    """Return the tables on the fine grid of directions: profiles smoothed, means unchanged."""
    unseen = np.ones(side_u.shape[:2], bool)
    unseen[tuple(nodes.T)] = False
    nearest = ndimage.distance_transform_edt(unseen, return_distances=False, return_indices=True)
    fine = np.linspace(0, STEPS, STEPS * FINE + 1)
    where = np.meshgrid(fine, fine, indexing="ij")

    def on_fine(table: F8) -> F8:
        columns = [ndimage.map_coordinates(c, where, order=1) for c in np.moveaxis(table, 2, 0)]
        return np.stack(columns, axis=2)

    mean = side_u.mean(axis=2, keepdims=True)[tuple(nearest)]
    profiles = []
    for side in (side_u, side_v):
        filled = side[tuple(nearest)]
        profile = filled / np.maximum(filled.mean(axis=2, keepdims=True), 1e-30)
        smooth = ndimage.gaussian_filter(profile, (0.8, 0.8, 0.0), mode="nearest")
        profiles.append(on_fine(smooth))
    return (
        np.ascontiguousarray(profiles[0] * on_fine(mean), dtype=np.float32),
        np.ascontiguousarray(profiles[1], dtype=np.float32),
    )


def energy_tables(
    scanner: Scanner, lld_keV: float, uld_keV: float, most_keV: int = 511
) -> tuple[F8, F8, F8]:
    """Return µ, photoelectric share and probability of being counted, by energy in keV, from 0 to
    ``most_keV``."""
    energy = np.arange(most_keV + 1.0)
    width = scanner.response.energy_fwhm_511 / FWHM_PER_SIGMA * ELECTRON_REST_KEV
    sigma = np.maximum(width, 0.1) * np.sqrt(np.maximum(energy, 1.0) / ELECTRON_REST_KEV)
    counted = ndtr((uld_keV - energy) / sigma) - ndtr((lld_keV - energy) / sigma)
    return *crystal_tables(scanner.module.material, most_keV), np.asarray(counted)


def crystal_tables(material: str, most_keV: int = 511) -> tuple[F8, F8]:
    """Return µ in 1/mm and its photoelectric share at 0, 1 … ``most_keV``, (most_keV + 1,) each."""
    above = np.maximum(np.arange(most_keV + 1.0), ABSORBED_BELOW_KEV)
    over = photo_share(material, above)
    mu = LINEAR_ATTENUATION_PER_MM[material] * relative_attenuation(material, above)
    return mu, over / (1.0 + over)


def with_neighbours(scanner: Scanner, geometry: Geometry) -> npt.NDArray[np.int64]:
    """Return a module in the middle of the scanner and its neighbours, nearest first."""
    ring = scanner.ring
    middle = (ring.n_rings // 2) * ring.modules_per_ring
    if ring.arc_deg != 360.0:
        middle += ring.modules_per_ring // 2
    centre, outward = geometry.module_centre_mm, geometry.module_axes[:, 2]
    distance = np.linalg.norm(centre - centre[middle], axis=1)
    beside = outward @ outward[middle] > 0.3
    order = np.argsort(np.where(beside, distance, np.inf), kind="stable")
    return order[: min(NEIGHBOURS, int(beside.sum()))]


def warm_blocks(scanner: Scanner, geometry: Geometry) -> None:
    """Compile the kernels by tracking one photon and looking up one value."""
    tables, one = energy_tables(scanner, 350.0, 650.0), np.ones(1)
    size, counts, whole = np.ones(3), np.zeros(1), np.zeros(3 + 512)
    centres, axes = geometry.module_centre_mm[:1], geometry.module_axes[:1]
    about = (centres, axes, size, 0.0, *tables, False, 1.0, 1, 1)
    counts_from(0.0, 0.0, ELECTRON_REST_KEV, *about, counts, counts, whole[:3], whole[3:])
    table, place = np.ones((1, 1, 1), np.float32), np.zeros((1, 2))
    module = np.zeros(1, np.int64)
    lower_by_efficiency(table, table, geometry.module_axes, module, np.ones((1, 3)), place, one)


# --- kept on disk and in memory -------------------------------------------------------------------


def _path(scanner: Scanner, geometry: Geometry, lld_keV: float, uld_keV: float) -> Path:
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(folder.joinpath(f"{name}.py").read_bytes())
    about: list[Any] = [scanner.module, scanner.ring, scanner.response.position_fwhm_mm]
    about += [scanner.response.energy_fwhm_511, lld_keV, uld_keV]
    about += [LINEAR_ATTENUATION_PER_MM[scanner.module.material]]
    digest.update(msgspec.msgpack.encode(about))
    digest.update(geometry.module_centre_mm.tobytes() + geometry.module_axes.tobytes())
    return cache_root() / "blocks" / f"{digest.hexdigest()[:32]}.npz"


def _kept(
    scanner: Scanner, geometry: Geometry, lld_keV: float, uld_keV: float
) -> tuple[F4, F4, F8] | None:
    path = _path(scanner, geometry, lld_keV, uld_keV)
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


@functools.lru_cache(maxsize=8)
def _read(path: Path) -> tuple[F4, F4, F8]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        tables, sums = (file["along_u"], file["along_v"]), file["sums"]
    sound = all(t.dtype == np.float32 and t.ndim == 3 and np.isfinite(t).all() for t in tables)
    if not sound or sums.shape != (3 + 512,) or not np.isfinite(sums).all():
        raise ValueError(f"{path} is damaged")
    return *tables, sums


def _keep(path: Path, tables: tuple[F4, F4, F8]) -> None:
    """Write a cache file; failing to write it is not an error."""
    with contextlib.suppress(FileWriteError), whole_file(path) as file:
        np.savez(file, along_u=tables[0], along_v=tables[1], sums=tables[2])
