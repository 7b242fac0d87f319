"""Where a photon must go to be seen through a collimator: the importance of directions.

About one in ten thousand photons passes a collimator. Directions are therefore drawn from a density
that, for each angle θ to the holes and each energy E, is at least the transmission anywhere at any
azimuth,

    bound(E, θ) = exp(−µ_least(E) · ℓ_least(θ)),

where ℓ_least is the shortest path in septa of any ray at this angle and µ_least the smallest µ of
the septa up to E (a photon that scatters on its way to the collimator has less than E). The true
transmission over the bound is then at most 1 and serves as a probability: events are unweighted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.physics.photons import State
from emulator.spect.collimator import CollimatorTables, least_septa_mm
from hw.jit import bare_kernel
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.random_numbers import uniform

ENERGY_STEP_KEV = 4.0
_LEAST_COSINE = 0.1  # at 84° the path in septa is ten times that of a ray along the holes
_FINE_BINS, _WIDE_BINS = 96, 96
_PLACES = 24  # squared: where in a cell rays begin
_AZIMUTHS = 48
_MARGIN = 0.95  # of the shortest path found, and
_MARGIN_PITCHES = 0.02  # less by this: the search is on a grid


class AimTables(NamedTuple):
    """Directions relative to the holes, by importance.

    cos_edge : (bins + 1,) f8, cosine of the angle to the holes, descending from 1
    bound : (energies, bins) f8, largest transmission at energies k · ENERGY_STEP_KEV
    chance : (energies, bins) f8, cumulative probability of the bins, the last one 1
    whole_sr : (energies,) f8, integral of the bound over all directions
    """

    cos_edge: npt.NDArray[np.float64]
    bound: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float64]
    whole_sr: npt.NDArray[np.float64]


def aim_tables(tables: CollimatorTables, *, most_keV: float, least_keV: float) -> AimTables:
    """Return the importance of directions for energies up to ``most_keV``.

    ``least_keV`` is the energy below which no photon is tracked.
    """
    tangent = _tangents(tables)
    cosine = 1.0 / np.sqrt(1.0 + tangent**2)
    path_mm = _least_paths_mm(tangent, tables)
    energies = np.arange(math.ceil(most_keV / ENERGY_STEP_KEV) + 2, dtype=np.float64)
    energies *= ENERGY_STEP_KEV
    bound = np.exp(-_least_mu(tables, energies, least_keV)[:, None] * path_mm[None, :])
    weight = bound * (2.0 * math.pi * -np.diff(cosine))[None, :]
    whole = weight.sum(axis=1)
    chance = np.cumsum(weight, axis=1) / whole[:, None]
    chance[:, -1] = 1.0
    return AimTables(cosine, bound, chance, whole)


def _tangents(tables: CollimatorTables) -> npt.NDArray[np.float64]:
    """Return bin edges of tan θ: fine where a ray can pass one hole, then ever wider."""
    corner = 2.0 * tables.half_hole_mm * (math.sqrt(2.0) if tables.sides == 2 else 2 / 3**0.5)
    one_hole = corner / tables.length_mm
    most = math.sqrt(1.0 - _LEAST_COSINE**2) / _LEAST_COSINE
    fine = np.linspace(0.0, 2.0 * one_hole, _FINE_BINS + 1)
    wide = np.geomspace(2.0 * one_hole, most, _WIDE_BINS + 1)
    return np.concatenate([fine, wide[1:]])


def _least_paths_mm(
    tangent: npt.NDArray[np.float64], tables: CollimatorTables
) -> npt.NDArray[np.float64]:
    """Return for each bin a lower bound of its rays' path in septa, (bins,) f8 mm."""
    length, pitch = tables.length_mm, 2.0 * tables.half_pitch_mm
    grid = (np.arange(_PLACES) + 0.5) / _PLACES - 0.5
    places = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2) * pitch
    places = np.concatenate([places, _corners_mm(tables)])
    places += [tables.offset_u_mm, tables.offset_v_mm]
    azimuths = 2.0 * math.pi * np.arange(_AZIMUTHS) / _AZIMUTHS  # has the lattice's own directions
    edge_mm = np.minimum(length * tangent, 6.0 * pitch)  # beyond, the least share hardly changes
    seen_mm = least_septa_mm(edge_mm, places, azimuths, tables) * _MARGIN
    seen_mm = np.maximum(seen_mm - _MARGIN_PITCHES * pitch, 0.0)
    seen_mm = np.maximum.accumulate(seen_mm) * (length * tangent / np.maximum(edge_mm, 1e-12))
    # the least of a bin: the nearer edge's path seen along the holes, at the steeper edge's slope
    return np.asarray(seen_mm[:-1] * np.sqrt(1.0 + 1.0 / tangent[1:] ** 2))


def _corners_mm(tables: CollimatorTables) -> npt.NDArray[np.float64]:
    """Return the corners of the hole at the origin, where the longest free paths start."""
    count = 2 * tables.sides
    angle = 2.0 * math.pi * (np.arange(count) + 0.5) / count
    radius = tables.half_hole_mm / math.cos(math.pi / count)
    return 0.9999 * radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _least_mu(
    tables: CollimatorTables, energies: npt.NDArray[np.float64], least_keV: float
) -> npt.NDArray[np.float64]:
    first = int(least_keV)
    running = np.minimum.accumulate(tables.mu_per_mm[first:])
    upper = np.minimum(np.ceil(energies + ENERGY_STEP_KEV).astype(np.int64), first + len(running))
    return np.asarray(running[np.maximum(upper - first, 0)])


@bare_kernel
def choose_cosine(state: State, energy_bin: int, aim: AimTables) -> tuple[int, float]:
    """Draw the bin of a direction and its cosine to the holes; the azimuth is uniform."""
    chosen = uniform(state)
    low, high = 0, aim.chance.shape[1] - 1
    while low < high:
        middle = (low + high) // 2
        if aim.chance[energy_bin, middle] > chosen:
            high = middle
        else:
            low = middle + 1
    upper, lower = aim.cos_edge[low], aim.cos_edge[low + 1]
    return low, upper + uniform(state) * (lower - upper)


@bare_kernel
def klein_nishina_per_sr(energy_keV: float, cosine: float, whole: float) -> float:
    """Return the probability per steradian of Compton scatter by this angle.

    O. Klein, Y. Nishina, Z. Phys. 52 (1929) 853: ½·k²·(k + 1/k − sin²θ) over the integral, k being
    the share of the energy kept. ``whole`` is the integral over 2π (``materials.klein_nishina``).
    """
    kept = 1.0 / (1.0 + energy_keV / ELECTRON_REST_KEV * (1.0 - cosine))
    shape = 0.5 * kept * kept * (kept + 1.0 / kept - 1.0 + cosine * cosine)
    return shape / (2.0 * math.pi * whole)
