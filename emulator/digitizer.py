"""From triggers to the words of one frame period: order, dead time, packing, per module.

The digitizer is sequential: its state (each module's dead time, triggers that belong to the next
period, counters) passes from period to period, so any division of the Monte Carlo among threads
gives the same words. Each trigger ends in exactly one counter: emitted, dead, lost (more words
than a frame holds) or, at the end of a run, carried beyond it.

Dead time is the module's, of both kinds of the textbooks (G. F. Knoll, "Radiation Detection and
Measurement", 4th ed., section 4.7): after an accepted trigger the module records nothing for t;
where it is paralysable each dead trigger begins the time anew. For Poisson triggers of rate n the
rates recorded are m = n/(1 + n·t) and m = n·exp(−n·t).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.response import HIT
from hw.jit import kernel
from hw.protocol import (
    CRYSTAL_SHIFT,
    DOI_SHIFT,
    ENERGY_SATURATED,
    ENERGY_SHIFT,
    FLAGS_SHIFT,
    FRAME_PERIOD_PS,
    HEADER_BYTES,
    KIND_SHIFT,
    KIND_SINGLE,
    MAX_EVENTS,
    TICK_PS_NUM,
    TICK_PS_SHIFT,
    WORD_BYTES,
)

DEAD_TIME_UNIT_PS = 5_000
HEADER_WORDS = HEADER_BYTES // WORD_BYTES
FLAG_SATURATED = 2
CARRY_CAPACITY = 65_536

EMITTED, DEAD, LOST = range(3)
COUNTS = 3


class DigitizerState(NamedTuple):
    """What passes from one period to the next.

    free_from_ps : (modules,) i8, end of each module's dead time, from the period's start
    unreported_ps : (modules,) i8, dead time below a header's unit, kept for the next header
    carry : (CARRY_CAPACITY,) HIT, triggers of the next period, times from its start
    carried : (1,) i8, how many
    """

    free_from_ps: npt.NDArray[np.int64]
    unreported_ps: npt.NDArray[np.int64]
    carry: npt.NDArray[np.void]
    carried: npt.NDArray[np.int64]


def new_digitizer_state(modules: int) -> DigitizerState:
    """Return the state at the start of a run."""
    return DigitizerState(
        np.zeros(modules, np.int64),
        np.zeros(modules, np.int64),
        np.zeros(CARRY_CAPACITY, HIT),
        np.zeros(1, np.int64),
    )


@kernel
def digitize(
    hits: npt.NDArray[np.void],
    state: DigitizerState,
    dead_time_ps: int,
    paralysable: bool,
    words: npt.NDArray[np.uint64],
    first_word: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    dead_units: npt.NDArray[np.int64],
) -> bool:
    """Turn one period's triggers into words, laid out as the modules' frames one after another.

    Parameters
    ----------
    hits : (n,) HIT of this slice, in any order; times from the period's start
    state : changed in place
    dead_time_ps : after each accepted trigger
    paralysable : whether triggers within the dead time prolong it
    words : (>= n + carried + modules·HEADER_WORDS,) u8, output: per module HEADER_WORDS words
        left alone for the header, then its event words in order of time
    first_word : (modules + 1,) i8, output: where each module's frame begins
    counts : (modules, COUNTS) i8, output: emitted, dead and lost triggers of this period
    dead_units : (modules,) i8, output: time for which triggers of this period made the module
        dead, in DEAD_TIME_UNIT_PS; the sum over the periods is right to less than one unit

    Returns
    -------
    False where more triggers than CARRY_CAPACITY belong to the next period
    """
    modules = len(state.free_from_ps)
    n, before = len(hits), state.carried[0]
    offset = np.zeros(modules + 1, np.int64)
    n_carry = 0
    for i in range(before + n):
        hit = state.carry[i] if i < before else hits[i - before]
        if hit.time_ps < FRAME_PERIOD_PS:
            offset[hit.module + 1] += 1
    for module in range(modules):
        offset[module + 1] += offset[module]
    filled = offset[:modules].copy()
    ordered = np.empty(offset[modules], np.int64)  # index of the hit, by module, then by time
    times = np.empty(offset[modules], np.int64)
    later = np.empty(before + n - offset[modules], np.int64)
    for i in range(before + n):
        hit = state.carry[i] if i < before else hits[i - before]
        time_ps = hit.time_ps
        if time_ps >= FRAME_PERIOD_PS:
            later[n_carry] = i
            n_carry += 1
            continue
        # insertion sort: triggers come nearly in order, flight and blur move them by nanoseconds
        place = filled[hit.module]
        while place > offset[hit.module] and times[place - 1] > time_ps:
            times[place], ordered[place] = times[place - 1], ordered[place - 1]
            place -= 1
        times[place], ordered[place] = time_ps, i
        filled[hit.module] += 1
    out = 0
    for module in range(modules):
        counts[module, :] = 0
        first_word[module] = out
        out += HEADER_WORDS
        free_from = state.free_from_ps[module]
        dead_ps = state.unreported_ps[module]
        for k in range(offset[module], offset[module + 1]):
            time_ps = times[k]
            in_dead_time = time_ps < free_from
            if paralysable or not in_dead_time:
                dead_ps += time_ps + dead_time_ps - max(time_ps, free_from)
                free_from = time_ps + dead_time_ps
            if in_dead_time:
                counts[module, DEAD] += 1
                continue
            if counts[module, EMITTED] == MAX_EVENTS:
                counts[module, LOST] += 1
                continue
            index = ordered[k]
            hit = state.carry[index] if index < before else hits[index - before]
            flags = FLAG_SATURATED if hit.energy == ENERGY_SATURATED else 0
            words[out] = (
                (np.uint64(KIND_SINGLE) << np.uint64(KIND_SHIFT))
                | (np.uint64(hit.doi) << np.uint64(DOI_SHIFT))
                | (np.uint64(flags) << np.uint64(FLAGS_SHIFT))
                | (np.uint64(hit.crystal) << np.uint64(CRYSTAL_SHIFT))
                | (np.uint64(hit.energy) << np.uint64(ENERGY_SHIFT))
                | np.uint64((time_ps << TICK_PS_SHIFT) // TICK_PS_NUM)
            )
            out += 1
            counts[module, EMITTED] += 1
        dead_units[module] = dead_ps // DEAD_TIME_UNIT_PS
        state.unreported_ps[module] = dead_ps % DEAD_TIME_UNIT_PS
        state.free_from_ps[module] = max(free_from - FRAME_PERIOD_PS, 0)
    first_word[modules] = out
    fits = n_carry <= CARRY_CAPACITY
    for k in range(min(n_carry, CARRY_CAPACITY)):
        index = later[k]  # never below k, so the carry can be packed in place
        hit = state.carry[index] if index < before else hits[index - before]
        kept = state.carry[k]
        kept.time_ps = hit.time_ps - FRAME_PERIOD_PS
        kept.module = hit.module
        kept.crystal = hit.crystal
        kept.energy = hit.energy
        kept.doi = hit.doi
    state.carried[0] = min(n_carry, CARRY_CAPACITY)
    return fits
