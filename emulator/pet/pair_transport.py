"""One slice of time, from decays to triggers: the emulator's Monte Carlo kernel.

Per decay: nuclide, place, mode, a pair of 511 keV photons, not quite back to back, from where the
β⁺ annihilates, and the mode's γ and X photons, each tracked through object and modules until it is
absorbed or gone, and the detector's response to every deposit. The object may move: photons are
tracked in its own frame and meet the modules in the scanner's. Decays follow a Poisson process, in
order of time. A slice's random numbers depend on (seed, slice) only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import (
    DEPOSIT_KEV,
    DEPOSIT_SIZE,
    LEFT,
    DetectorTables,
    find_module,
    track_crystal,
)
from emulator.detector.response import MADE, ResponseTables, respond
from emulator.object.photon_tracking import ObjectTables, track_object
from emulator.object.pose import STILL, Pose, to_object, to_scanner
from emulator.object.source_sampling import SourceTables
from emulator.pet.decay_sampling import (
    AT_ONCE,
    MODE,
    NUCLIDE,
    REGION,
    Drawn,
    draw_decays,
    new_drawn,
)
from emulator.physics.emission import EmissionTables
from emulator.physics.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    PHOTON_SIZE,
    SCATTERS,
    Photon,
    State,
    X,
    Y,
    Z,
    aim_isotropic,
)
from emulator.slices import DECAYS, DEPOSITS, OVERFLOWED, PAIRS, PHOTONS, TALLY_SIZE
from emulator.truth_labels import begin_photon, decay_number, no_labels, write_label
from hw.jit import bare_kernel
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA
from hw.physics.random_numbers import exponential, normal, seed_stream, uniform
from hw.wire.truth_layout import ANNIHILATION, LABEL, LINE

NON_COLLINEARITY_FWHM_RAD = math.radians(0.5)
"""Water at body temperature: S. DeBenedetti et al., Phys. Rev. 77 (1950) 205; the usual 0.5°."""

_NON_COLLINEARITY_SIGMA = NON_COLLINEARITY_FWHM_RAD / FWHM_PER_SIGMA
MOST_MODULES_PER_PHOTON = 8


class Scratch(NamedTuple):
    """A thread's working space: bare kernels cannot allocate their own.

    labels : (room for hits,) LABEL, filled beside the hits; if empty, labels are off
    emitted : (1,) LABEL, what is known of the photon being tracked
    """

    state: State
    photon: Photon
    start: Photon
    deposit: npt.NDArray[np.float64]
    drawn: Drawn
    labels: npt.NDArray[np.void]
    emitted: npt.NDArray[np.void]


def new_scratch() -> Scratch:
    """Return working space for one thread."""
    return Scratch(
        state=np.zeros(2, np.uint64),
        photon=np.zeros(PHOTON_SIZE),
        start=np.zeros(PHOTON_SIZE),
        deposit=np.zeros(DEPOSIT_SIZE),
        drawn=new_drawn(),
        labels=no_labels(),
        emitted=np.zeros(1, LABEL),
    )


class TransportTables(NamedTuple):
    """All that the kernel needs to know, constant during a run except for the object's pose."""

    source: SourceTables
    matter: ObjectTables
    detector: DetectorTables
    response: ResponseTables
    emission: EmissionTables
    pose: Pose = STILL


@bare_kernel
def turn_partner(state: State, photon: Photon) -> None:
    """Reverse the direction, apart from the pair's non-collinearity (Gaussian in two planes).

    For such small angles, sin θ = θ·(1 − θ²/6) and cos θ = 1 − θ²/2 are accurate to 1e-9.
    """
    dx, dy, dz = -photon[DX], -photon[DY], -photon[DZ]
    a, b = normal(state) * _NON_COLLINEARITY_SIGMA, normal(state) * _NON_COLLINEARITY_SIGMA
    square = a * a + b * b
    cosine, sine = 1.0 - 0.5 * square, 1.0 - square * (1.0 / 6.0)
    across = dx * dx + dy * dy
    if across < 1e-12:
        photon[DX], photon[DY], photon[DZ] = sine * a, sine * b, dz * cosine
        return
    scale = sine / math.sqrt(across)
    a, b = a * scale, b * scale
    photon[DX] = dx * cosine + a * dx * dz - b * dy
    photon[DY] = dy * cosine + a * dy * dz + b * dx
    photon[DZ] = dz * cosine - a * across


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
    labels: npt.NDArray[np.void],
    emitted: npt.NDArray[np.void],
) -> int:
    """Track one photon to its end; return the new number of hits.

    Parameters
    ----------
    photon : (PHOTON_SIZE,) f8, in the object's frame; used up
    decay_ps : time of its decay, from the slice's start
    deposit : (DEPOSIT_SIZE,) f8, scratch
    hits : (capacity,) HIT, of which the first ``n_hits`` are in use
    missed, tally : as for ``emulate_slice``
    labels : (capacity,) LABEL, receives each hit's truth; if empty, labels are off
    emitted : (1,) LABEL, in which the caller has set decay, kind and photon
    """
    labelled = len(labels) > 0
    moving = len(tables.pose) > 0
    if labelled and moving:
        to_scanner(photon, tables.pose)
        begin_photon(emitted[0], decay_ps, photon[X], photon[Y], photon[Z], photon[ENERGY])
        to_object(photon, tables.pose)
    elif labelled:
        begin_photon(emitted[0], decay_ps, photon[X], photon[Y], photon[Z], photon[ENERGY])
    for modules_before in range(MOST_MODULES_PER_PHOTON):
        if not track_object(state, photon, tables.matter):
            break
        if moving:
            to_scanner(photon, tables.pose)
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
                if labelled:
                    given_keV, scatters = deposit[DEPOSIT_KEV], photon[SCATTERS]
                    write_label(labels[n_hits], emitted[0], given_keV, scatters, modules_before)
                n_hits += 1
            else:
                missed[module, fate_of_it] += 1
        if fate != LEFT or photon[ENERGY] < tables.matter.cut_keV:
            break
        if moving:
            to_object(photon, tables.pose)
    return n_hits


@bare_kernel
def emulate_slice(
    tables: TransportTables,
    activity_Bq: float,
    share: npt.NDArray[np.float64],
    region_share: npt.NDArray[np.float64],
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
    region_share : (regions,) f8, cumulative shares of the regions, the last one 1; empty if all
        activity changes alike
    slice_ps : the slice's length
    scratch : the thread's own working space
    hits : (capacity,) HIT, filled with triggers in the order of their decays
    missed : (modules, MISSED) i8, deposits that make no hit, added to
    tally : (TALLY_SIZE + nuclides + len(region_share),) i8, decays, β⁺ pairs, photons and deposits,
        added to; OVERFLOWED is set if the capacity was insufficient (the slice is then incomplete)

    Returns
    -------
    number of hits
    """
    state, drawn = scratch.state, scratch.drawn
    places, annihilations_mm, kinds = drawn.places, drawn.annihilations_mm, drawn.kinds
    photon, start, deposit = scratch.photon, scratch.start, scratch.deposit
    labels, emitted = scratch.labels, scratch.emitted
    seed_stream(state, np.uint64(seed), np.uint64(slice_index))
    emission = tables.emission
    first_region = TALLY_SIZE + len(share)
    most_hits = MOST_MODULES_PER_PHOTON * emission.most_photons
    following = AT_ONCE
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
        if following == AT_ONCE:
            draw_decays(state, tables.source, emission, share, region_share, drawn)
            following = 0
        decay = following
        following += 1
        tally[DECAYS] += 1
        tally[TALLY_SIZE + kinds[decay, NUCLIDE]] += 1
        if len(region_share) > 0:
            tally[first_region + kinds[decay, REGION]] += 1
        mode = kinds[decay, MODE]
        pair = emission.positron[mode] >= 0
        first_line = emission.first_line[mode]
        line, end = first_line, emission.first_line[mode + 1]
        if not pair and line == end:
            continue
        tally[PAIRS] += pair
        if pair:
            for axis in range(3):
                start[X + axis] = annihilations_mm[decay, axis]
            aim_isotropic(state, start)
        start[ENERGY] = ELECTRON_REST_KEV
        start[PATH] = start[SCATTERS] = 0.0
        leg = 0 if pair else 2
        emitted_ps = time_ps
        while leg < 2 or line < end:  # one call of fly, which is large and inlined
            if leg >= 2:
                line += 1
                if uniform(state) >= emission.line_intensity[line - 1]:
                    continue
                tally[PHOTONS] += 1
                delayed = emission.line_delayed[line - 1]
                emitted_ps = uniform(state) * slice_ps if delayed else time_ps
            for i in range(PHOTON_SIZE):
                photon[i] = start[i]
            if leg == 1:
                turn_partner(state, photon)
            elif leg == 2:
                for axis in range(3):
                    photon[X + axis] = places[decay, axis]  # the nucleus stayed where it was
                photon[ENERGY] = emission.line_keV[line - 1]
                aim_isotropic(state, photon)
            if len(labels) > 0:
                origin = emitted[0]
                origin.decay = decay_number(slice_index, tally[DECAYS] - 1)
                origin.kind = ANNIHILATION if leg < 2 else LINE
                origin.photon = leg if leg < 2 else 1 + line - first_line
            leg = min(leg + 1, 2)
            n_hits = fly(
                state, photon, emitted_ps, tables, deposit, hits, n_hits, missed, tally,
                labels, emitted,
            )  # fmt: skip
