"""From triggers to the words of one frame period: order, dead time, pile-up, packing, per module.

The digitizer is sequential: its state (each module's dead time, triggers that belong to the next
period, counters) passes from period to period, so any division of the Monte Carlo among threads
gives the same words. Each trigger ends in exactly one counter: emitted, dead, lost (more words than
a module queues for a frame), piled up (its light went into another's word), off (the module had no
power) or, at the end of a run, carried beyond it.

Dead time belongs to the module and is of either textbook kind (G. F. Knoll, "Radiation Detection
and Measurement", 4th ed., section 4.7): after an accepted trigger the module records nothing for t;
if paralysable, each dead trigger restarts that time. For Poisson triggers of rate n the recorded
rates are m = n/(1 + n·t) and m = n·exp(−n·t) respectively. While it integrates a signal, a module
accepts no other trigger, so t is never shorter than the integration time; what comes within that
time adds its light (``pile_up``). Light that comes after the frame's end is counted as piled up but
is missing from the word, which has left with its frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.pile_up import (
    PILE_COLUMNS,
    PILE_ENERGY,
    add_light,
    begin_pile,
    light_share,
    piled_place,
)
from emulator.detector.response import HIT
from hw.jit import bare_kernel, kernel
from hw.physics.scintillator import SCINTILLATION_NS
from hw.scanner.description import RAW_POSITION_BINS, Scanner
from hw.wire.protocol import (
    CRYSTAL_SHIFT,
    DEAD_TIME_UNIT_PS,
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

HEADER_WORDS = HEADER_BYTES // WORD_BYTES
FLAG_SATURATED = 2
CARRY_CAPACITY = 65_536
TAG_PERIOD_SHIFT = 32
NO_ORIGIN = -1

EMITTED, DEAD, LOST, PILED_UP, OFF = range(5)
COUNTS = 5


class DigitizerTables(NamedTuple):
    """What the digitizer does to triggers.

    dead_time_ps : after each accepted trigger; at least ``integration_ps`` is effective
    paralysable : whether triggers within the dead time prolong it
    integration_ps : how long light of further hits is added to that of an accepted one
    light_decay_ps : τ of the scintillation light; 0: all of a hit's signal comes at once
    shared : whether piled-up places are replaced by their centre of gravity (else by the largest's)
    row : crystals, or raw bins, along u in the word's crystal field
    queue_words : event words that a module can queue for a frame; more are lost
    """

    dead_time_ps: int
    paralysable: bool
    integration_ps: int
    light_decay_ps: float
    shared: bool
    row: int
    queue_words: int


def digitizer_tables(
    scanner: Scanner, *, queue_words: int = MAX_EVENTS, dead_time: bool = True
) -> DigitizerTables:
    """Return the tables of a scanner's digitizers.

    dead_time : False for the analogue front end alone, which integrates and piles up; the dead time
        is then that of the firmware behind it
    """
    module, response = scanner.module, scanner.response
    raw = response.position_readout == "raw"
    return DigitizerTables(
        dead_time_ps=round(response.dead_time_ns * 1000) if dead_time else 0,
        paralysable=dead_time and response.dead_time_model == "paralysable",
        integration_ps=round(response.integration_ns * 1000),
        light_decay_ps=SCINTILLATION_NS[module.material] * 1000.0,
        shared=bool(raw or module.monolithic),
        row=RAW_POSITION_BINS if raw else module.n_u,
        queue_words=queue_words,
    )


class DigitizerState(NamedTuple):
    """The state carried from one period to the next.

    free_from_ps : (modules,) i8, end of each module's dead time, from the period's start
    gate_until_ps : (modules,) i8, end of each module's integration, from the period's start
    unreported_ps : (modules,) i8, dead time below a header's unit, kept for the next header
    carry : (CARRY_CAPACITY,) HIT, triggers of the next period, times from its start
    carry_tags : (CARRY_CAPACITY,) i8, their tags, see ``digitize``
    carried : (1,) i8, their number
    """

    free_from_ps: npt.NDArray[np.int64]
    gate_until_ps: npt.NDArray[np.int64]
    unreported_ps: npt.NDArray[np.int64]
    carry: npt.NDArray[np.void]
    carry_tags: npt.NDArray[np.int64]
    carried: npt.NDArray[np.int64]


def new_digitizer_state(modules: int) -> DigitizerState:
    """Return the state at the start of a run."""
    return DigitizerState(
        np.zeros(modules, np.int64),
        np.zeros(modules, np.int64),
        np.zeros(modules, np.int64),
        np.zeros(CARRY_CAPACITY, HIT),
        np.zeros(CARRY_CAPACITY, np.int64),
        np.zeros(1, np.int64),
    )


@bare_kernel
def single_word(time_ps: int, crystal: int, energy: int, doi: int) -> np.uint64:
    """Return the event word of a single; ``energy`` in 0.1 keV, flagged at the largest value."""
    flags = FLAG_SATURATED if energy == ENERGY_SATURATED else 0
    return (
        (np.uint64(KIND_SINGLE) << np.uint64(KIND_SHIFT))
        | (np.uint64(doi) << np.uint64(DOI_SHIFT))
        | (np.uint64(flags) << np.uint64(FLAGS_SHIFT))
        | (np.uint64(crystal) << np.uint64(CRYSTAL_SHIFT))
        | (np.uint64(energy) << np.uint64(ENERGY_SHIFT))
        | np.uint64((time_ps << TICK_PS_SHIFT) // TICK_PS_NUM)
    )


@bare_kernel
def tag_of(
    tags: npt.NDArray[np.int64],
    period: int,
    carry_tags: npt.NDArray[np.int64],
    index: int,
    before: int,
) -> int:
    """Return the tag of a hit; ``index`` counts the ``before`` carried ones first.

    tags : (hits,) i8, or empty: then a tag is made of ``period`` and the place in it
    carry_tags : (CARRY_CAPACITY,) i8, of the hits carried over from the period before
    """
    if index < before:
        return int(carry_tags[index])
    if len(tags) == 0:
        return (period << TAG_PERIOD_SHIFT) | (index - before)
    return int(tags[index - before])


@kernel
def digitize(
    hits: npt.NDArray[np.void],
    tags: npt.NDArray[np.int64],
    period: int,
    state: DigitizerState,
    tables: DigitizerTables,
    room: npt.NDArray[np.int64],
    off: npt.NDArray[np.bool_],
    words: npt.NDArray[np.uint64],
    first_word: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    dead_units: npt.NDArray[np.int64],
    origin: npt.NDArray[np.int64],
) -> bool:
    """Turn one period's triggers into words, laid out as the modules' consecutive frames.

    Parameters
    ----------
    hits : (n,) HIT of this slice, in any order; times from the period's start
    tags : (n,) i8, a number for each hit, returned in ``origin``; if (0,), it is
        period << TAG_PERIOD_SHIFT | index in ``hits``
    period : number of the slice
    state : changed in place
    room : (modules,) i8, words to leave free between a module's header and its event words, for
        words that the caller writes there (gantry angles, marks); no more than MAX_EVENTS of these
        and singles together fit, the rest is lost
    off : (modules,) bool, modules without power: their triggers are counted as OFF, and their dead
        time is reset
    words : (>= n + carried + room + modules·HEADER_WORDS,) u8, output: per module HEADER_WORDS
        words left alone for the header, then the room, then its event words in order of time
    first_word : (modules + 1,) i8, output: where each module's frame begins
    counts : (modules, COUNTS) i8, output: triggers of this period by fate
    dead_units : (modules,) i8, output: time for which triggers of this period made the module dead,
        in DEAD_TIME_UNIT_PS; the sum over periods is right to less than one unit
    origin : (len(words),) i8, output: for each event word the tag of its hit (the first of those
        piled up), including hits carried over from the slice before; elsewhere NO_ORIGIN. (0,) if
        not needed

    Returns
    -------
    False if more triggers than CARRY_CAPACITY belong to the next period
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
    busy_ps = max(tables.dead_time_ps, tables.integration_ps)
    pile = np.zeros(PILE_COLUMNS)
    out = 0
    for module in range(modules):
        counts[module, :] = 0
        first_word[module] = out
        if len(origin) > 0:
            origin[out : out + HEADER_WORDS + room[module]] = NO_ORIGIN
        out += HEADER_WORDS + room[module]
        if off[module]:
            counts[module, OFF] = offset[module + 1] - offset[module]
            dead_units[module] = 0
            state.free_from_ps[module] = 0
            state.gate_until_ps[module] = 0
            state.unreported_ps[module] = 0
            continue
        most = min(tables.queue_words, MAX_EVENTS - room[module])
        free_from = state.free_from_ps[module]
        gate_until = state.gate_until_ps[module]
        dead_ps = state.unreported_ps[module]
        opened = -1  # index in order of the hit whose word may still gain light
        piled = False
        for k in range(offset[module], offset[module + 1]):
            time_ps = times[k]
            in_dead_time = time_ps < free_from
            if tables.paralysable or not in_dead_time:
                dead_ps += time_ps + busy_ps - max(time_ps, free_from)
                free_from = time_ps + busy_ps
            index = ordered[k]
            if time_ps < gate_until:
                counts[module, PILED_UP] += 1
                if opened < 0:
                    continue  # its trigger was lost, or left with the frame before
                if not piled:
                    first = ordered[opened]
                    hit = state.carry[first] if first < before else hits[first - before]
                    begin_pile(
                        pile, float(hit.energy), hit.crystal, hit.doi, tables.row, tables.shared
                    )
                    piled = True
                share = light_share(
                    time_ps - times[opened], tables.integration_ps, tables.light_decay_ps
                )
                hit = state.carry[index] if index < before else hits[index - before]
                add_light(pile, share * hit.energy, hit.crystal, hit.doi, tables.row, tables.shared)
                crystal, doi = piled_place(pile, tables.row, tables.shared)
                energy = min(int(pile[PILE_ENERGY] + 0.5), ENERGY_SATURATED)
                words[out - 1] = single_word(times[opened], crystal, energy, doi)
                continue
            if in_dead_time:
                counts[module, DEAD] += 1
                continue
            gate_until = time_ps + tables.integration_ps
            piled = False
            if counts[module, EMITTED] == most:
                counts[module, LOST] += 1
                opened = -1
                continue
            opened = k
            hit = state.carry[index] if index < before else hits[index - before]
            words[out] = single_word(time_ps, hit.crystal, hit.energy, hit.doi)
            if len(origin) > 0:
                origin[out] = tag_of(tags, period, state.carry_tags, index, before)
            out += 1
            counts[module, EMITTED] += 1
        dead_units[module] = dead_ps // DEAD_TIME_UNIT_PS
        state.unreported_ps[module] = dead_ps % DEAD_TIME_UNIT_PS
        state.free_from_ps[module] = max(free_from - FRAME_PERIOD_PS, 0)
        state.gate_until_ps[module] = max(gate_until - FRAME_PERIOD_PS, 0)
    first_word[modules] = out
    fits = n_carry <= CARRY_CAPACITY
    for k in range(min(n_carry, CARRY_CAPACITY)):
        index = later[k]  # never below k, so the carry can be packed in place
        hit = state.carry[index] if index < before else hits[index - before]
        state.carry_tags[k] = tag_of(tags, period, state.carry_tags, index, before)
        kept = state.carry[k]
        kept.time_ps = hit.time_ps - FRAME_PERIOD_PS
        kept.module = hit.module
        kept.crystal = hit.crystal
        kept.energy = hit.energy
        kept.doi = hit.doi
    state.carried[0] = min(n_carry, CARRY_CAPACITY)
    return fits


NO_TAGS = np.zeros(0, np.int64)


class Digitizer:
    """The digitizers of all modules in one run; each ``take`` refills the arrays.

    words, first_word, counts, dead_units, origin : see ``digitize``
    room : (modules,) i8, words kept free at the beginning of each frame; set it before ``take``
    off : (modules,) bool, modules without power; set it before ``take``
    """

    def __init__(self, modules: int, tables: DigitizerTables, *, origins: bool = False) -> None:
        self.tables = tables
        self.words = np.zeros(0, np.uint64)
        self.first_word = np.zeros(modules + 1, np.int64)
        self.counts = np.zeros((modules, COUNTS), np.int64)
        self.dead_units = np.zeros(modules, np.int64)
        self.origin = np.zeros(0, np.int64)
        self.room = np.zeros(modules, np.int64)
        self.off = np.zeros(modules, np.bool_)
        self._origins = origins
        self._state = new_digitizer_state(modules)

    @property
    def carried(self) -> int:
        """Number of triggers that belong to the next period."""
        return int(self._state.carried[0])

    def take(self, hits: npt.NDArray[np.void], period: int) -> bool:
        """Digitize one slice; False if too many triggers belong to the next period."""
        room = len(hits) + self.carried + len(self.room) * HEADER_WORDS + int(self.room.sum())
        if len(self.words) < room:
            self.words = np.zeros(2 * room, np.uint64)
            self.origin = np.zeros(2 * room if self._origins else 0, np.int64)
        fits: bool = digitize(
            hits,
            NO_TAGS,
            period,
            self._state,
            self.tables,
            self.room,
            self.off,
            self.words,
            self.first_word,
            self.counts,
            self.dead_units,
            self.origin,
        )
        return fits
