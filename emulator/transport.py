"""One slice of time, from decays to triggers: the emulator's Monte Carlo kernel.

Per decay: nuclide, place, β⁺ or not, a pair of 511 keV photons that are not quite back to back,
the nuclide's γ and X photons, each flown through object and modules until it is absorbed or gone,
and the detector's response to every deposit. Decays follow a Poisson process, in order of time.
A slice's random numbers depend on (seed, slice) only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.crystal_tracking import (
    DEPOSIT_KEV,
    DEPOSIT_SIZE,
    LEFT,
    DetectorTables,
    find_module,
    track_crystal,
)
from emulator.emission import EmissionTables
from emulator.object_tracking import ObjectTables, track_object
from emulator.photons import (
    DX,
    DY,
    DZ,
    ELECTRON_REST_KEV,
    ENERGY,
    PATH,
    PHOTON_SIZE,
    Photon,
    State,
    X,
    Y,
    Z,
    aim_isotropic,
    turn,
)
from emulator.random_numbers import exponential, normal, seed_stream, uniform
from emulator.response import FWHM_PER_SIGMA, MADE, ResponseTables, respond
from emulator.source_sampling import SourceTables, place_decays
from hw.jit import bare_kernel

NON_COLLINEARITY_FWHM_RAD = math.radians(0.5)
"""Water at body temperature: S. DeBenedetti et al., Phys. Rev. 77 (1950) 205; the usual 0.5°."""

_NON_COLLINEARITY_SIGMA = NON_COLLINEARITY_FWHM_RAD / FWHM_PER_SIGMA
MOST_MODULES_PER_PHOTON = 8
_PLACED_AT_ONCE = 32

DECAYS, PAIRS, PHOTONS, DEPOSITS, OVERFLOWED, LUTETIUM, NOISE = range(7)
TALLY_SIZE = 7
"""Decays of the source, β⁺ pairs, γ and X photons, deposits, too little room for hits, decays of
¹⁷⁶Lu, triggers of noise; the decays of each nuclide of the source follow."""


class Scratch(NamedTuple):
    """A thread's working space: bare kernels cannot allocate their own."""

    state: State
    photon: Photon
    start: Photon
    deposit: npt.NDArray[np.float64]
    places_mm: npt.NDArray[np.float64]


def new_scratch() -> Scratch:
    """Return working space for one thread."""
    return Scratch(
        state=np.zeros(2, np.uint64),
        photon=np.zeros(PHOTON_SIZE),
        start=np.zeros(PHOTON_SIZE),
        deposit=np.zeros(DEPOSIT_SIZE),
        places_mm=np.zeros((_PLACED_AT_ONCE, 3)),
    )


class TransportTables(NamedTuple):
    """All that the kernel needs to know, constant during a run."""

    source: SourceTables
    matter: ObjectTables
    detector: DetectorTables
    response: ResponseTables
    emission: EmissionTables


@bare_kernel
def turn_partner(state: State, photon: Photon) -> None:
    """Turn the direction around, but for the pair's non-collinearity (Gaussian in two planes)."""
    photon[DX], photon[DY], photon[DZ] = -photon[DX], -photon[DY], -photon[DZ]
    a, b = normal(state), normal(state)
    radius = math.sqrt(a * a + b * b) + 1e-300
    turn(photon, math.cos(radius * _NON_COLLINEARITY_SIGMA), a / radius, b / radius)


@bare_kernel
def fly(
    state: State,
    photon: Photon,
    decay_ps: float,
    tables: TransportTables,
    deposit: npt.NDArray[np.float64],
    hits: npt.NDArray[np.void],
    n_hits: int,
    missed: npt.NDArray[np.int64],
    tally: npt.NDArray[np.int64],
) -> int:
    """Fly one photon to its end; return the new number of hits."""
    for _ in range(MOST_MODULES_PER_PHOTON):
        if not track_object(state, photon, tables.matter):
            break
        distance, ring, sector = find_module(photon, tables.detector)
        if ring < 0:
            break
        photon[X] += photon[DX] * distance
        photon[Y] += photon[DY] * distance
        photon[Z] += photon[DZ] * distance
        photon[PATH] += distance
        fate = track_crystal(state, photon, ring, sector, tables.detector, deposit)
        if deposit[DEPOSIT_KEV] > 0.0:
            tally[DEPOSITS] += 1
            module = ring * len(tables.detector.cos_sector) + sector
            fate_of_it = respond(state, deposit, module, decay_ps, tables.response, hits, n_hits)
            if fate_of_it == MADE:
                n_hits += 1
            else:
                missed[module, fate_of_it] += 1
        if fate != LEFT or photon[ENERGY] < tables.matter.cut_keV:
            break
    return n_hits


@bare_kernel
def emulate_slice(
    tables: TransportTables,
    activity_Bq: float,
    share: npt.NDArray[np.float64],
    slice_ps: float,
    seed: int,
    slice_index: int,
    scratch: Scratch,
    hits: npt.NDArray[np.void],
    missed: npt.NDArray[np.int64],
    tally: npt.NDArray[np.int64],
) -> int:
    """Emulate the decays of one slice of time.

    Parameters
    ----------
    activity_Bq : decays per second, of all nuclides, constant within the slice
    share : (nuclides,) f8, cumulative shares of the nuclides in it, the last one 1
    slice_ps : the slice's length
    scratch : the thread's own working space
    hits : (capacity,) HIT, filled with triggers in the order of their decays
    missed : (modules, MISSED) i8, gets the deposits added that make no hit
    tally : (TALLY_SIZE + nuclides,) i8, gets decays, β⁺ pairs, photons and deposits added;
        OVERFLOWED is set where the capacity did not suffice (the slice is then incomplete)

    Returns
    -------
    number of hits
    """
    state, places_mm = scratch.state, scratch.places_mm
    photon, start, deposit = scratch.photon, scratch.start, scratch.deposit
    seed_stream(state, np.uint64(seed), np.uint64(slice_index))
    emission = tables.emission
    last = len(share) - 1
    most_hits = MOST_MODULES_PER_PHOTON * emission.most_photons
    placed = len(places_mm)
    mean_gap_ps = 1e12 / activity_Bq
    time_ps = 0.0
    n_hits = 0
    while True:
        time_ps += exponential(state) * mean_gap_ps
        if time_ps >= slice_ps:
            return n_hits
        if n_hits + most_hits > len(hits):
            tally[OVERFLOWED] = 1
            return n_hits
        tally[DECAYS] += 1
        nuclide = 0
        if last > 0:
            chosen = uniform(state)
            while nuclide < last and chosen >= share[nuclide]:
                nuclide += 1
        tally[TALLY_SIZE + nuclide] += 1
        pair = uniform(state) < emission.positron_fraction[nuclide]
        line = emission.first_line[nuclide]
        end = emission.first_line[nuclide + 1]
        if not pair and line == end:
            continue
        tally[PAIRS] += pair
        if placed == len(places_mm):
            place_decays(state, tables.source, places_mm)
            placed = 0
        for axis in range(3):
            start[X + axis] = places_mm[placed, axis]
        placed += 1
        start[ENERGY] = ELECTRON_REST_KEV
        start[PATH] = 0.0
        aim_isotropic(state, start)
        leg = 0 if pair else 2
        while leg < 2 or line < end:  # one call of fly, which is large and inlined
            if leg >= 2:
                line += 1
                if uniform(state) >= emission.line_intensity[line - 1]:
                    continue
                tally[PHOTONS] += 1
            for i in range(PHOTON_SIZE):
                photon[i] = start[i]
            if leg == 1:
                turn_partner(state, photon)
            elif leg == 2:
                photon[ENERGY] = emission.line_keV[line - 1]
                aim_isotropic(state, photon)
            leg = min(leg + 1, 2)
            n_hits = fly(state, photon, time_ps, tables, deposit, hits, n_hits, missed, tally)
