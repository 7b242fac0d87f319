"""The coincidences that a known source gives, from geometry alone: the model of a normalisation.

A pair of points inside two blocks sees the source's line of emission through both with

    w = µ² exp(−µ(t_a/cosθ_a + t_b/cosθ_b)) η_a η_b / d² · ℓ · exp(−µ_s ℓ_s)

(depths t, angles θ to the faces' normals, distance d, block efficiency η, chord ℓ of the activity,
chord ℓ_s of the source's body of attenuation µ_s): the same detection model as the reconstruction's
sensitivity. Scatter in the source is not included; the block profile and the geometric factors of
the normalisation absorb its effect, and how the blocks differ from
:mod:`hw.physics.block_efficiency`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daq.calibration.normalisation_source import NormalisationSource
from hw.arrays import F4, F8, Array
from hw.jit import bare_kernel, kernel
from hw.physics.block_efficiency import BlockEfficiency, efficiency_at
from hw.scanner.description import Scanner
from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM, Geometry

MOST_LINES = 160_000_000
"""Lines of one evaluation: a few seconds on one core. Beyond it, a crystal's partners are treated
in groups of neighbours, at the group's middle.
"""

LEAST_LINES = 5_000_000
"""Small scanners use several points in each crystal, up to this many lines."""

_MOST_POINTS = 25


@bare_kernel
def slab_part(start: float, step: float, half: float) -> tuple[float, float]:
    """Return the part (from, to) of start + s·step, 0 ≤ s ≤ 1, within ±half; from > to: none."""
    if abs(step) < 1e-12:
        if abs(start) <= half:
            return 0.0, 1.0
        return 1.0, 0.0
    a = (-half - start) / step
    b = (half - start) / step
    return max(min(a, b), 0.0), min(max(a, b), 1.0)


@bare_kernel
def disc_part(x: float, y: float, dx: float, dy: float, radius: float) -> tuple[float, float]:
    """Return the part (from, to) of a line within a circle about the origin, as ``slab_part``.

    x, y : the line's start; dx, dy : its whole step; radius : the circle's. All in mm
    """
    square = dx * dx + dy * dy
    outside = x * x + y * y - radius * radius
    if square < 1e-12:
        if outside <= 0.0:
            return 0.0, 1.0
        return 1.0, 0.0
    middle = -(x * dx + y * dy) / square
    room = middle * middle - outside / square
    if room <= 0.0:
        return 1.0, 0.0
    half = math.sqrt(room)
    return max(middle - half, 0.0), min(middle + half, 1.0)


@bare_kernel
def emission(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, length: float, source: Array
) -> float:
    """Return chord × attenuation, in mm, of the line from (x, y, z) by (dx, dy, dz).

    x, y, z; dx, dy, dz : start and whole step of the line, mm; ``length`` : of the step, mm
    source : (9,) f8: 1 for a box, 0 for a cylinder along z; half its sides along x and y, or its
        radius and that of the hole in it; half its length; its centre x, y, z, all in mm; µ in 1/mm
    """
    x, y, z = x - source[4], y - source[5], z - source[6]
    low, high = slab_part(z, dz, source[3])
    inner = 0.0
    if source[0] > 0.5:
        for start, step, half in ((x, dx, source[1]), (y, dy, source[2])):
            a, b = slab_part(start, step, half)
            low, high = max(low, a), min(high, b)
    else:
        a, b = disc_part(x, y, dx, dy, source[1])
        low, high = max(low, a), min(high, b)
        if source[2] > 0.0:
            a, b = disc_part(x, y, dx, dy, source[2])
            inner = max(min(high, b) - max(low, a), 0.0)
    chord = high - low
    if chord <= 0.0:
        return 0.0
    return (chord - inner) * length * math.exp(-source[7] * chord * length)


@bare_kernel
def _along(axes: Array, module: int, axis: int, dx: float, dy: float, dz: float) -> float:
    """Return a vector's component along an axis of a module.

    axes : (modules, 3, 3) f8, rows u, v, w; ``axis`` : 0, 1 or 2 of these; dx, dy, dz : the vector
    """
    towards = axes[module, axis, 0] * dx + axes[module, axis, 1] * dy
    return float(towards + axes[module, axis, 2] * dz)


@kernel
def expected_fans(
    points: Array,
    depths: Array,
    module_of: Array,
    partner_points: Array,
    partner_depths: Array,
    partner_module: Array,
    partner_weight: Array,
    places: Array,
    partner_places: Array,
    axes: Array,
    along_u: Array,
    along_v: Array,
    allowed: Array,
    mu_per_mm: float,
    source: Array,
    fans: Array,
) -> None:
    """Fill (n, m) f8 with what each crystal would count with each module, per unit efficiency.

    points : (n, p, 3) f4 points in each crystal; depths : (p,) f4 below the face
    partner_points : (g, q, 3) f4 in each group of partners, (q,) depths, (g,) module and summed
        efficiency
    places : (n, 2) f8, of crystals in their blocks, 0 to 1; partner_places : (g, 2) f8
    axes : (m, 3, 3) f8, rows u, v, w of the modules
    along_u, along_v : f4, the block efficiency's
    """
    share = 1.0 / (points.shape[1] * partner_points.shape[1])
    for i in range(points.shape[0]):
        fans[i, :] = 0.0
        own = module_of[i]
        for g in range(partner_points.shape[0]):
            other = partner_module[g]
            if not allowed[own, other]:
                continue
            total = 0.0
            for p in range(points.shape[1]):
                x, y, z = (
                    np.float64(points[i, p, 0]),
                    np.float64(points[i, p, 1]),
                    np.float64(points[i, p, 2]),
                )
                for q in range(partner_points.shape[1]):
                    dx = partner_points[g, q, 0] - x
                    dy = partner_points[g, q, 1] - y
                    dz = partner_points[g, q, 2] - z
                    square = dx * dx + dy * dy + dz * dz
                    length = math.sqrt(square)
                    seen = emission(x, y, z, dx, dy, dz, length, source)
                    if seen <= 0.0:
                        continue
                    out_a = -_along(axes, own, 2, dx, dy, dz)
                    out_b = _along(axes, other, 2, dx, dy, dz)
                    if out_a < 0.01 * length or out_b < 0.01 * length:
                        continue
                    # the points are spread by exp(−µt): only the slant's further path is left
                    path = depths[p] * (length / out_a - 1) + partner_depths[q] * (
                        length / out_b - 1
                    )
                    seen *= efficiency_at(
                        along_u, along_v, -_along(axes, own, 0, dx, dy, dz) / length,
                        -_along(axes, own, 1, dx, dy, dz) / length, places[i, 0], places[i, 1],
                    ) * efficiency_at(
                        along_u, along_v, _along(axes, other, 0, dx, dy, dz) / length,
                        _along(axes, other, 1, dx, dy, dz) / length, partner_places[g, 0],
                        partner_places[g, 1],
                    )  # fmt: skip
                    total += seen * math.exp(-mu_per_mm * path) / square
            fans[i, other] += total * share * partner_weight[g]


@dataclass(frozen=True)
class SourceModel:
    """Points and groups of one scanner for ``expected``; build it with :func:`source_model`."""

    points: F4
    depths: F4
    partner_points: F4
    partner_depths: F4
    partner_module: npt.NDArray[np.int64]
    group_of: npt.NDArray[np.int64]
    places: F8
    partner_places: F8
    blocks: BlockEfficiency
    geometry: Geometry
    allowed: npt.NDArray[np.bool_]
    mu_per_mm: float
    source: NormalisationSource

    @property
    def lines(self) -> int:
        """The number of lines of one evaluation, allowed or not."""
        return math.prod(self.points.shape[:2]) * math.prod(self.partner_points.shape[:2])

    def expected(self, efficiency: F8) -> F8:
        """Return (n, m) f8: the counts expected of each crystal, taken to have efficiency 1, with
        each module whose crystals have ``efficiency`` (n,); up to a common factor.
        """
        weight = np.bincount(self.group_of, efficiency, len(self.partner_module))
        fans = np.empty((len(self.points), len(self.allowed)))
        geometry = self.geometry
        expected_fans(
            self.points, self.depths, geometry.crystal_module.astype(np.int64),
            self.partner_points, self.partner_depths, self.partner_module, weight,
            self.places, self.partner_places, np.ascontiguousarray(geometry.module_axes),
            self.blocks.along_u, self.blocks.along_v, self.allowed, self.mu_per_mm,
            self.source.numbers(), fans,
        )  # fmt: skip
        return fans


def source_model(
    scanner: Scanner,
    geometry: Geometry,
    source: NormalisationSource,
    *,
    allowed: npt.NDArray[np.bool_],
    energies_keV: tuple[float, float] | None = None,
    most_lines: int = MOST_LINES,
) -> SourceModel:
    """Return the model of a source in a scanner, as fine as ``most_lines`` allows.

    Parameters
    ----------
    geometry : of the same scanner
    source : what was measured, and where it lay
    allowed : (modules, modules) bool, pairs that may form a coincidence
    energies_keV : LLD and ULD, for the block efficiency; None for geometry alone
    most_lines : lines to follow at most; crystals are taken together until this holds
    """
    block, n = scanner.module, scanner.n_crystals
    at_once = 1
    while n * (n / at_once**2) > most_lines and at_once < max(block.n_u, block.n_v):
        at_once *= 2
    side = 1
    while (n * (side + 1) ** 2) ** 2 <= min(LEAST_LINES, most_lines) and (side + 1) ** 2 <= (
        _MOST_POINTS
    ):
        side += 1
    group, module, centre = _groups(scanner, geometry, at_once)
    offsets, depths = _points_in(scanner, side, 1.0)
    partner_offsets, partner_depths = _points_in(scanner, side, 1.0)
    partner_depths = np.ascontiguousarray(partner_depths[::-1])
    points = _placed(geometry, geometry.crystal_front_mm, geometry.crystal_module, offsets, depths)
    places, members = _places(scanner), np.bincount(group)
    middles = [np.bincount(group, places[:, k]) / members for k in range(2)]
    blocks = BlockEfficiency.none()
    if energies_keV is not None:
        lld, uld = energies_keV
        blocks = BlockEfficiency.of(scanner, geometry, lld_keV=lld, uld_keV=uld)
    partners = _placed(geometry, centre, module, partner_offsets * at_once, partner_depths)
    return SourceModel(
        points, depths, partners, partner_depths, module, group, places,
        np.stack(middles, axis=1), blocks, geometry, allowed,
        LINEAR_ATTENUATION_PER_MM[block.material], source,
    )  # fmt: skip


def _places(scanner: Scanner) -> F8:
    """Return the centre of each crystal in its block, (n, 2), 0 to 1."""
    block = scanner.module
    place = np.arange(scanner.n_crystals) % scanner.crystals_per_module
    u, v = place % block.n_u, place // block.n_u
    return np.stack([(u + 0.5) / block.n_u, (v + 0.5) / block.n_v], axis=1)


def _groups(
    scanner: Scanner, geometry: Geometry, at_once: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], F8]:
    """Return each crystal's group, each group's module, and the centre of its crystals (g, 3)."""
    block = scanner.module
    place = np.arange(scanner.crystals_per_module)
    across = -(-block.n_u // at_once)
    within = (place % block.n_u) // at_once + across * ((place // block.n_u) // at_once)
    each = int(within.max()) + 1
    group = (np.arange(scanner.n_modules)[:, None] * each + within).ravel()
    members = np.bincount(group)
    centre = np.stack(
        [np.bincount(group, geometry.crystal_front_mm[:, k]) / members for k in range(3)], axis=1
    )
    return group, np.repeat(np.arange(scanner.n_modules), each), centre


def _points_in(scanner: Scanner, side: int, scale: float) -> tuple[F8, F4]:
    """Return side² offsets (p, 2) from a crystal's centre, and depths (p,) spread by exp(−µt)."""
    block, count = scanner.module, side * side
    middle = (np.arange(side) + 0.5) / side - 0.5
    u, v = np.tile(middle, side) * block.pitch_u_mm, np.repeat(middle, side) * block.pitch_v_mm
    mu = LINEAR_ATTENUATION_PER_MM[block.material]
    stopping = -math.expm1(-mu * block.thickness_mm)
    # a multiplier prime to the count mixes depth with place
    order = (np.arange(count) * 7 + 3) % count if count % 7 else np.arange(count)
    quantile = (order + 0.5) / count
    depths = -np.log1p(-quantile * stopping) / mu
    return scale * np.stack([u, v], axis=1), depths.astype(np.float32)


def _placed(
    geometry: Geometry,
    front_mm: npt.NDArray[np.floating],
    module: npt.NDArray[np.integer],
    offsets: F8,
    depths: F4,
) -> F4:
    axes = geometry.module_axes[module]
    local = np.concatenate([offsets, depths[:, None]], axis=1)
    points = front_mm[:, None, :] + np.einsum("pk,nkj->npj", local, axes)
    return np.ascontiguousarray(points, dtype=np.float32)
