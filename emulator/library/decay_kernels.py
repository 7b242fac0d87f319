"""Kernels that replay the decays of an event library: drawn, blurred and written as hits."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.response import (
    BELOW_TRIGGER,
    ENERGY_SATURATED_DKEV,
    MADE,
    UNREAD,
    WALK_LEAST_KEV,
)
from emulator.library.kernel_tables import LibraryTables
from emulator.physics.photons import State
from emulator.slices import DECAYS, DEPOSITS, TALLY_SIZE
from hw.jit import bare_kernel
from hw.physics.constants import REFERENCE_KEV
from hw.physics.random_numbers import exponential, next_word, seed_stream, uniform

MOST_DEPOSITS_OF_A_DECAY = 64
_BATCH = 64
_MOST_DEPOSITS = _BATCH * MOST_DEPOSITS_OF_A_DECAY
_STREAM = 1 << 60  # slices of the source's own stream are far below
_LOW_16 = np.uint64(0xFFFF)
_DECAYS_A_PART = 2
_MODULE_MASK = 0xFFFF
Words = npt.NDArray[np.int64]
"""HIT as words: the time; module, crystal, energy and depth bin in 16 bits each from the lowest."""

ENERGY_SHIFT = 32


class Work(NamedTuple):
    """A thread's working space for one batch of decays."""

    state: State
    decay_ps: npt.NDArray[np.float64]
    begin: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    time_ps: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    touched: npt.NDArray[np.int64]


def new_work() -> Work:
    """Return working space for one thread."""
    return Work(
        np.zeros(2, np.uint64),
        np.zeros(_BATCH),
        np.zeros(_BATCH, np.int64),
        np.zeros(_BATCH, np.int64),
        np.zeros((_VALUES, _MOST_DEPOSITS), np.float32),
        np.zeros(_MOST_DEPOSITS),
        np.zeros(_MOST_DEPOSITS, np.int64),
        np.zeros(1, np.int64),
    )


_ENERGY, _NOISE, _JITTER, _GAIN, _CURVATURE, _WALK, _CHANCE, _OFFSET = range(8)
_VALUES = 8


@bare_kernel
def _draw_decays(
    tables: LibraryTables, place: float, gap: float, end: float, slice_ps: float, work: Work
) -> tuple[float, int]:
    """Draw up to _BATCH decays in the library's order; return (place of the last, number drawn).

    This is a Poisson process in the plane of time and library: points drawn in order along one axis
    have exponential gaps and are uniform along the other. Taking the library's order reads it from
    end to end, which is twice as fast as random access.

    place, gap, end : where to go on, mean distance of decays, and end, as places in the library
    slice_ps : length of the slice; ``work`` : receives decays, in ps from the slice's start
    """
    n = 0
    while n < _BATCH:
        place += exponential(work.state) * gap
        if place >= end:
            break
        work.begin[n] = int(place)
        work.decay_ps[n] = uniform(work.state) * slice_ps
        n += 1
    for k in range(n):
        which = work.begin[k]
        begin = np.int64(tables.start[which])
        work.begin[k] = begin
        work.size[k] = np.int64(tables.start[which + 1]) - begin
    touched = np.int64(0)
    for k in range(n):  # in so short a loop a dozen reads of main memory are under way at a time
        begin = work.begin[k]
        touched ^= tables.rows[begin].place ^ tables.rows[begin + work.size[k] - 1].place
    work.touched[0] = touched
    return place, n


@bare_kernel
def _gather(tables: LibraryTables, n: int, work: Work) -> int:
    """Lay out the batch's deposits by quantity, with their random numbers; return their number."""
    values = work.values
    m = 0
    for k in range(n):
        for i in range(work.begin[k], work.begin[k] + work.size[k]):
            row = tables.rows[i]
            word = next_word(work.state)
            values[_ENERGY, m] = row.energy_keV
            values[_GAIN, m] = row.gain
            values[_CURVATURE, m] = row.curvature
            values[_WALK, m] = row.walk_ps
            values[_NOISE, m] = tables.normals[np.int64(word & _LOW_16)]
            values[_JITTER, m] = tables.normals[np.int64((word >> np.uint64(16)) & _LOW_16)]
            values[_CHANCE, m] = np.float32(np.int64(word >> np.uint64(32))) * np.float32(2.0**-32)
            values[_OFFSET, m] = row.time_ps
            work.time_ps[m] = work.decay_ps[k]
            work.row[m] = i
            m += 1
    return m


@bare_kernel
def _blur(tables: LibraryTables, m: int, values: npt.NDArray[np.float32]) -> None:
    """Turn _ENERGY into the read-out energy and _OFFSET into the time stamp after the decay.

    The formulas of ``response``, for all deposits of a batch at once, in a loop without branches.
    """
    one, four = np.float32(1.0), np.float32(4.0 / REFERENCE_KEV)
    reference, least = np.float32(REFERENCE_KEV), np.float32(WALK_LEAST_KEV)
    sigma, jitter = np.float32(tables.energy_sigma), np.float32(tables.time_sigma_ps)
    for i in range(m):
        energy = values[_ENERGY, i]
        blurred = energy + values[_NOISE, i] * sigma * math.sqrt(energy)
        straight = one - values[_CURVATURE, i]
        root = straight * straight + four * values[_CURVATURE, i] * blurred
        root = root if root > np.float32(0.0) else np.float32(0.0)
        bent = np.float32(2.0) * blurred / (straight + math.sqrt(root))
        within = blurred if blurred > least else least
        walk = values[_WALK, i] * (math.sqrt(reference / within) - one)
        values[_ENERGY, i] = bent * values[_GAIN, i]
        values[_OFFSET, i] += values[_JITTER, i] * jitter + walk


@bare_kernel
def _write_hits(
    tables: LibraryTables,
    m: int,
    work: Work,
    drawn: Words,
    n_hits: int,
    fates: npt.NDArray[np.int64],
    first: npt.NDArray[np.int32],
    parts_per_ps: float,
) -> int:
    """Write the batch's deposits that trigger and are read out; return the new number of hits.

    Without branches: every deposit is written, but the position advances for hits only.

    m : deposits in ``work``; ``drawn`` : (hits, 2) i8, HIT as words, written from ``n_hits`` on
    fates : (modules, fates) i8, added to; ``first`` : (parts + 1,) i4, hits by part of the slice,
        added to; ``parts_per_ps`` : number of these parts per ps
    """
    trigger, half = np.float32(tables.trigger_keV), np.float32(0.5)
    last = len(first) - 2
    for i in range(m):
        row = tables.rows[work.row[i]]
        energy = work.values[_ENERGY, i]
        above = energy >= trigger
        made = above and work.values[_CHANCE, i] < row.efficiency
        fates[row.place & _MODULE_MASK, MADE if made else UNREAD if above else BELOW_TRIGGER] += 1
        energy_dkeV = min(int(energy * np.float32(10.0) + half), ENERGY_SATURATED_DKEV)
        time_ps = int(max(work.time_ps[i] + work.values[_OFFSET, i], 0.0))
        drawn[n_hits, 0] = time_ps
        drawn[n_hits, 1] = row.place | (energy_dkeV << ENERGY_SHIFT)
        first[min(int(time_ps * parts_per_ps), last) + 1] += made
        n_hits += made
    return n_hits


@bare_kernel
def play_slice(
    tables: LibraryTables,
    rates_Hz: npt.NDArray[np.float64],
    slice_ps: float,
    seed: int,
    slice_index: int,
    work: Work,
    drawn: Words,
    fates: npt.NDArray[np.int64],
    first: npt.NDArray[np.int32],
    tally: npt.NDArray[np.int64],
) -> int:
    """Replay one slice of time from the library.

    Parameters
    ----------
    rates_Hz : (nuclides,) f8, decays per second that leave anything in a module
    drawn : (capacity, 2) i8, filled with triggers, HIT as words, in the library's order
    fates : (modules, 3) i8, deposits by fate, added to
    first : (parts + 1,) i4, hits in each part of the slice, added from the second element on
    tally : (TALLY_SIZE + nuclides,) i8, decays and deposits, added to

    Returns
    -------
    number of hits, or −1 if they do not fit
    """
    seed_stream(work.state, np.uint64(seed), np.uint64(slice_index + _STREAM))
    parts_per_ps = (len(first) - 1) / slice_ps
    n_hits = 0
    for nuclide in range(len(rates_Hz)):
        place, end = np.float64(tables.first[nuclide]), np.float64(tables.first[nuclide + 1])
        gap = (end - place) / max(rates_Hz[nuclide] * slice_ps * 1e-12, 1e-300)
        while place < end:
            place, n = _draw_decays(tables, place, gap, end, slice_ps, work)
            m = _gather(tables, n, work)
            if n_hits + m > len(drawn):
                return -1
            _blur(tables, m, work.values)
            n_hits = _write_hits(tables, m, work, drawn, n_hits, fates, first, parts_per_ps)
            tally[TALLY_SIZE + nuclide] += n
            tally[DECAYS] += n
            tally[DEPOSITS] += m
    return n_hits


@bare_kernel
def order_roughly(
    drawn: Words, n: int, slice_ps: float, first: npt.NDArray[np.int32], ordered: Words
) -> None:
    """Copy n hits in order of time, except within each part of the slice.

    Parameters
    ----------
    drawn, ordered : (≥ n, 2) i8, HIT as words, the first being the time
    first : (parts + 1,) i4, as ``play_slice`` filled it; used up
    """
    parts_per_ps = (len(first) - 1) / slice_ps
    last = len(first) - 2
    for k in range(last + 1):
        first[k + 1] += first[k]
    for i in range(n):
        part = min(int(drawn[i, 0] * parts_per_ps), last)
        place = first[part]
        ordered[place, 0] = drawn[i, 0]
        ordered[place, 1] = drawn[i, 1]
        first[part] = place + 1
