"""A library of photons that leave a collimator after septal scatter: built once, replayed live.

For each of several energies (nodes) it holds records of equal weight: a photon's direction on the
face, and what emerges from the back, where and how (``septa_flight``). R(E, Ω) is the number of
photons that emerge for one on the face; records are drawn with the density R/∫R dΩ, so that they
say both where to aim and what the outcome is. A lattice has six-fold symmetry (four-fold for square
holes) and mirror symmetry, so each record stands for twelve (eight). Each line of the source has
its own node. Between nodes, one of the two neighbours is taken, with linear probability.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.physics.atomic_scatter import BOUND_PER_A, KEV_ANGSTROM, ScatterTables, scatter_tables
from emulator.physics.materials import cross_sections, klein_nishina
from emulator.spect.collimator import CollimatorTables, lattice_tables
from emulator.spect.septa_flight import RECORD_SIZE, SeptaMatter, fill_records
from hw.physics.constants import ELECTRON_REST_KEV
from hw.scanner.description import Collimator

K_LINES = {"Pb": (0.760, 88.005, 74.2, 85.3, 0.209), "W": (0.767, 69.525, 58.8, 67.5, 0.204)}
"""K X-rays per absorption, edge, Kα and Kβ in keV, share of Kβ: xraylib 4.3.0."""

NODE_RATIO = 1.15
"""Of neighbouring energies, at most."""

SEPTA_LEAST_KEV = 40.0
"""Of what is followed in septa; below, next to nothing comes through them."""

LINE_RECORDS, RECORDS = 8192, 1024
"""Of a line's node and of one between: statistical errors of 1 % and 3 % of this part of counts."""

_LEAST_FIRST_TRY, _FIRST_TRY_PER_RECORD = 16_000, 5  # photons
_PHOTONS_PER_RECORD, _ROOM = 64, 6  # followed, and room for what comes out, at most
_WEIGHT = 8.0  # of a record, in ∫ R dΩ: one comes of some eight photons
_LEAST_CHANCE = 0.3  # of directions whatever the first try found
_BINS, _MOST_TANGENT = 24, 30.0
_SEED = 0x5E97A
_ANGLES = 400


class SeptaTables(NamedTuple):
    """The library as the kernels see it.

    node_keV : (n,) f8, ascending
    whole_sr : (n,) f8, ∫ R dΩ
    before_sr : (n + 1,) f8, sum of ``whole_sr`` of the nodes before
    first, size : (n,) i8, where a node's records begin, and their number
    record : (records, RECORD_SIZE) f4
    low_node, high_node : (e,) i8, nodes enclosing all energies to which a Compton scatter can take
        a photon of i to i + 1 keV
    sides : 3 (hexagonal holes) or 2 (square ones)
    """

    node_keV: npt.NDArray[np.float64]
    whole_sr: npt.NDArray[np.float64]
    before_sr: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    record: npt.NDArray[np.float32]
    low_node: npt.NDArray[np.int64]
    high_node: npt.NDArray[np.int64]
    sides: int

    def scattered_sr(self, energy_keV: int) -> float:
        """Return the sum of ∫ R dΩ over the nodes that a scatter at this energy can lead to."""
        high, low = self.high_node[energy_keV], self.low_node[energy_keV]
        return float(self.before_sr[high + 1] - self.before_sr[low])

    def node_of(self, energy_keV: float) -> int:
        """Return the node of a line."""
        return int(np.argmin(np.abs(self.node_keV - energy_keV)))


@lru_cache(maxsize=8)
def septa_tables(
    collimator: Collimator,
    lines: tuple[tuple[float, float], ...],
    *,
    least_keV: float,
    in_object: bool = True,
) -> SeptaTables:
    """Return the library of a collimator for a source.

    Parameters
    ----------
    lines : energies in keV with their intensities, which decide how many records a line gets
    least_keV : photons of less energy are not tracked
    in_object : whether photons scattered in an object, of other energies, arrive as well
    """
    lattice = lattice_tables(collimator)
    strength: dict[float, float] = {}
    for keV, intensity in lines:
        if keV > least_keV:
            strength[keV] = strength.get(keV, 0.0) + intensity
    if not strength:
        return _no_tables(math.ceil(max([least_keV, *(keV for keV, _ in lines)])))
    known = np.array(sorted(strength))
    nodes = _nodes_keV(known, least_keV, collimator.material) if in_object else known
    matter = septa_matter(collimator.material, float(nodes[-1]))
    most = max(strength.values())
    parts = []
    for node in nodes:
        share = math.sqrt(strength.get(float(node), 0.0) / most)
        count = max(RECORDS, round(LINE_RECORDS * share))
        parts.append(_records(lattice, matter, float(node), least_keV, count))
    whole = np.array([part[0] for part in parts])
    size = np.array([len(part[1]) for part in parts], np.int64)
    low_node, high_node = _reached(nodes)
    return SeptaTables(
        node_keV=nodes,
        whole_sr=whole,
        before_sr=np.concatenate([[0.0], np.cumsum(whole)]),
        first=np.cumsum(size) - size,
        size=size,
        record=np.concatenate([part[1] for part in parts]),
        low_node=low_node,
        high_node=high_node,
        sides=lattice.sides,
    )


def _no_tables(most_keV: int) -> SeptaTables:
    """Return the library for a source whose photons are all absorbed in the septa."""
    none, nothing = np.zeros(1), np.zeros(1, np.int64)
    return SeptaTables(
        none, none, np.zeros(2), nothing, nothing, np.zeros((0, RECORD_SIZE), np.float32),
        np.zeros(most_keV + 2, np.int64), np.zeros(most_keV + 2, np.int64), 3,
    )  # fmt: skip


def septa_matter(material: str, most_keV: float) -> SeptaMatter:
    """Return the tables of the septa's material (Pb or W), up to an energy."""
    table, scatter = cross_sections(material), scatter_tables((material,))
    energies = np.maximum(np.arange(math.ceil(most_keV) + 2, dtype=np.float64), 1.0)
    compton = klein_nishina(energies)
    cosine = np.cos(np.linspace(0.0, math.pi, _ANGLES))
    kept = 1.0 / (1.0 + energies[:, None] / ELECTRON_REST_KEV * (1.0 - cosine))
    place = np.sqrt(0.5 * (1.0 - cosine)) * (energies[:, None] / KEV_ANGSTROM) * BOUND_PER_A
    points = np.arange(scatter.bound.shape[1])
    shape = 0.5 * kept**2 * (kept + 1.0 / kept - 1.0 + cosine**2)
    shape *= np.interp(place, points, scatter.bound[0], right=1.0)
    mean_bound = -np.trapezoid(shape, cosine, axis=1) / compton
    return SeptaMatter(
        table.mu_per_mm, table.photo_fraction, table.coherent_per_mm, compton, mean_bound,
        _coherent_norm(energies, scatter), np.array(K_LINES[material]), scatter,
    )  # fmt: skip


def _coherent_norm(
    energies: npt.NDArray[np.float64], scatter: ScatterTables
) -> npt.NDArray[np.float64]:
    """Return ∫ F²·(1 + cos²θ)/2 dΩ, (e,) f8, with F² constant in each bin of x² (as sampled)."""
    most2 = (energies / KEV_ANGSTROM)[:, None] ** 2
    edge = np.minimum(scatter.transfer2, most2)  # of x², up to what the energy allows
    slope = np.diff(scatter.form_area[0]) / np.diff(scatter.transfer2)

    def angular(transfer2: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(0.5 * (1.0 + (1.0 - 2.0 * transfer2 / most2) ** 2))

    low, high = edge[:, :-1], edge[:, 1:]
    mean = (angular(low) + 4.0 * angular((low + high) / 2) + angular(high)) / 6.0  # Simpson: exact
    return np.asarray((slope * (high - low) * mean).sum(axis=1) * 4.0 * math.pi / most2[:, 0])


def _nodes_keV(
    lines: npt.NDArray[np.float64], least_keV: float, material: str
) -> npt.NDArray[np.float64]:
    """Return the node energies, ascending: lines, both sides of the K edge, others in between."""
    edge_keV, most_keV = K_LINES[material][1], float(lines[-1])
    fixed = [least_keV, edge_keV - 0.5, edge_keV + 0.5, *lines]
    fixed = sorted({keV for keV in fixed if least_keV <= keV <= most_keV})
    nodes = [fixed[-1:]]
    for low, high in itertools.pairwise(fixed):
        steps = math.ceil(math.log(high / low) / math.log(NODE_RATIO))
        nodes.append(list(np.geomspace(low, high, steps + 1)[:-1]))
    return np.sort(np.concatenate(nodes))


def _records(
    collimator: CollimatorTables,
    matter: SeptaMatter,
    energy_keV: float,
    least_keV: float,
    count: int,
) -> tuple[float, npt.NDArray[np.float32]]:
    """Return ∫ R dΩ and records of equal weight, chosen at even steps of the cumulative weight.

    A first pass with all angles alike shows which matter and how large the weights are.
    """
    edge = _cosines(collimator)
    room = _ROOM * count
    weight, of_bin = np.empty(room), np.empty(room, np.int64)
    record = np.empty((room, RECORD_SIZE), np.float32)
    seed = _SEED + int(10 * energy_keV)

    def fill(chance: npt.NDArray[np.float64], photons: int, aimed_sr: float) -> tuple[int, int]:
        return fill_records(
            collimator, matter, edge, chance, energy_keV, least_keV, photons, aimed_sr, seed,
            weight, of_bin, record,
        )  # fmt: skip

    bins = len(edge) - 1
    chance = np.full(bins, 1.0 / bins)
    found, photons = fill(chance, max(_LEAST_FIRST_TRY, _FIRST_TRY_PER_RECORD * count), 0.0)
    if found == 0:
        return 0.0, record[:0]
    by_bin = np.bincount(of_bin[:found], weights=weight[:found], minlength=bins)
    whole = by_bin.sum() / photons
    chance = _LEAST_CHANCE / bins + (1.0 - _LEAST_CHANCE) * by_bin / by_bin.sum()
    found, photons = fill(chance, _PHOTONS_PER_RECORD * count, whole * _WEIGHT)
    if found == 0:
        return 0.0, record[:0]
    ends = np.cumsum(weight[:found])
    size = min(count, found)
    chosen = np.searchsorted(ends, (np.arange(size) + 0.5) / size * ends[-1])
    return float(ends[-1]) / photons, record[chosen]


def _cosines(collimator: CollimatorTables) -> npt.NDArray[np.float64]:
    """Return bin edges of the cosine to the holes, descending: by tan θ, from one hole's up."""
    one_hole = 2.0 * collimator.half_hole_mm / collimator.length_mm
    tangent = np.concatenate([[0.0], np.geomspace(one_hole / 2, _MOST_TANGENT, _BINS)])
    return np.asarray(1.0 / np.sqrt(1.0 + tangent**2))


def _reached(nodes: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the lowest and highest node that a Compton scatter can lead to, by whole keV."""
    energy = np.arange(math.ceil(nodes[-1]) + 2, dtype=np.float64)
    least = energy / (1.0 + 2.0 * energy / ELECTRON_REST_KEV)
    low = np.searchsorted(nodes, least, side="right") - 1
    high = np.searchsorted(nodes, energy + 1.0)
    last = len(nodes) - 1
    return np.clip(low, 0, last), np.clip(high, 0, last)
