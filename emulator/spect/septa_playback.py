"""Septal scatter during a run: sends photons to a collimator to scatter in its septa.

The outcomes are replayed from the records of ``septa_library``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emulator.physics.photons import DX, DY, DZ, ENERGY, PATH, Photon, State, X, Y, Z
from emulator.spect.septa_flight import (
    AWAY_U,
    AWAY_V,
    IN_U,
    IN_V,
    IN_W,
    IS_K,
    OUT_KEV,
    OUT_U,
    OUT_V,
    OUT_W,
)
from hw.jit import bare_kernel
from hw.physics.random_numbers import uniform

if TYPE_CHECKING:
    from emulator.spect.collimator import CollimatorTables
    from emulator.spect.septa_library import SeptaTables


@bare_kernel
def draw_node(state: State, energy_keV: float, septa: SeptaTables) -> tuple[int, float]:
    """Draw a node to which a Compton scatter may lead; return it and the sr of all such nodes."""
    i = int(energy_keV)
    low, high = septa.low_node[i], septa.high_node[i]
    before = septa.before_sr[low]
    whole = septa.before_sr[high + 1] - before
    chosen = before + uniform(state) * whole
    while low < high:
        middle = (low + high) // 2
        if septa.before_sr[middle + 1] > chosen:
            high = middle
        else:
            low = middle + 1
    return low, whole


@bare_kernel
def node_weight(energy_keV: float, node: int, septa: SeptaTables) -> float:
    """Return a node's share at an energy: 1 at its own, falling to 0 at its neighbours'."""
    at = septa.node_keV[node]
    beside = node - 1 if energy_keV < at else node + 1
    if beside < 0 or beside >= len(septa.node_keV):
        return 1.0 if energy_keV == at else 0.0
    return max(1.0 - (energy_keV - at) / (septa.node_keV[beside] - at), 0.0)


@bare_kernel
def draw_record(state: State, node: int, septa: SeptaTables) -> tuple[int, int]:
    """Draw a record of a node, and one of the lattice's symmetries."""
    record = septa.first[node] + int(uniform(state) * septa.size[node])
    return record, int(uniform(state) * (4 * septa.sides))


@bare_kernel
def turned(u: float, v: float, way: int, sides: int) -> tuple[float, float]:
    """Return (u, v) rotated and mirrored by one of the lattice's symmetries."""
    if way >= 2 * sides:
        v = -v
        way -= 2 * sides
    cosine, sine = (0.5, 0.8660254037844386) if sides == 3 else (0.0, 1.0)
    for _ in range(way):
        u, v = u * cosine - v * sine, u * sine + v * cosine
    return u, v


@bare_kernel
def direction_of(
    record: int, way: int, pose: npt.NDArray[np.float64], septa: SeptaTables, seen: Photon
) -> float:
    """Give a photon the direction at which a record meets the face; return its cosine.

    record, way : number of the record, and of the lattice's symmetry; ``pose`` : (12,) f8, the
        camera's
    """
    row = septa.record[record]
    u, v = turned(float(row[IN_U]), float(row[IN_V]), way, septa.sides)
    cosine = float(row[IN_W])
    for axis in range(3):
        seen[DX + axis] = u * pose[3 + axis] + v * pose[6 + axis] + cosine * pose[9 + axis]
    return cosine


@bare_kernel
def come_out(
    record: int,
    way: int,
    node: int,
    u: float,
    v: float,
    collimator: CollimatorTables,
    septa: SeptaTables,
    seen: Photon,
) -> float:
    """Move a photon that met the face at (u, v) to the crystal's face according to its record.

    ``record``, ``way`` : as for ``direction_of``. ``node`` : of the record's energy. ``u``, ``v`` :
    mm. ``seen`` : the photon, in keV; receives its place on the crystal's face and its direction,
    both in the camera's axes.

    Returns
    -------
    the cosine to the holes, 0 if it does not reach the crystal
    """
    row = septa.record[record]
    away_u, away_v = turned(float(row[AWAY_U]), float(row[AWAY_V]), way, septa.sides)
    out_u, out_v = turned(float(row[OUT_U]), float(row[OUT_V]), way, septa.sides)
    cosine = float(row[OUT_W])
    u, v = u + away_u, v + away_v
    if abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
        return 0.0
    u += out_u / cosine * collimator.gap_mm
    v += out_v / cosine * collimator.gap_mm
    if abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
        return 0.0
    energy = float(row[OUT_KEV])
    if row[IS_K] == 0.0:  # a scatter keeps about the same share of the energy between nodes
        energy *= seen[ENERGY] / septa.node_keV[node]
    seen[PATH] += math.hypot(collimator.length_mm, math.hypot(away_u, away_v))
    seen[PATH] += collimator.gap_mm / cosine
    seen[X], seen[Y], seen[Z] = u, v, 0.0
    seen[DX], seen[DY], seen[DZ] = out_u, out_v, cosine
    seen[ENERGY] = energy
    return cosine
