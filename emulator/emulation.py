"""The emulation of one run: slices of Monte Carlo in any order, then the digitizer in sequence.

``emulate_slice`` may be called for any slice from any thread; ``digitize`` takes the slices in
order, one by one. One slice is one frame period. The bytes depend on the settings and the seed
only, not on threads or on how fast it went.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig, check_config
from emulator.crystal_tracking import detector_tables
from emulator.digitizer import (
    COUNTS,
    DEAD,
    EMITTED,
    HEADER_WORDS,
    LOST,
    digitize,
    new_digitizer_state,
)
from emulator.framing import Framer
from emulator.object_tracking import object_tables
from emulator.phantoms import Phantom, make_phantom
from emulator.response import HIT, ResponseTables, response_tables
from emulator.source_sampling import source_tables
from emulator.transport import (
    DECAYS,
    DEPOSITS,
    MOST_HITS_PER_DECAY,
    OVERFLOWED,
    PAIRS,
    TALLY_SIZE,
    Scratch,
    TransportTables,
    emulate_slice,
    new_scratch,
)
from hw.nuclides import Nuclide, load_nuclide
from hw.protocol import FRAME_PERIOD_PS
from hw.scanner import Scanner, load_scanner

PERIOD_S = FRAME_PERIOD_PS * 1e-12
_EXPECTED_HITS_PER_DECAY = 2.5  # room for hits; more than any scanner of ours detects


@dataclass(frozen=True)
class SliceHits:
    """The Monte Carlo of one slice: (n,) HIT, and its tallies (see ``emulate_slice``)."""

    index: int
    hits: npt.NDArray[np.void]
    below: npt.NDArray[np.int64]
    tally: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Instrument:
    """What stays the same from run to run, and takes a second to prepare."""

    scanner: Scanner
    phantom: Phantom
    nuclide: Nuclide
    tables: TransportTables

    @property
    def response(self) -> ResponseTables:
        """The truth of gain and skew that a calibration has to find."""
        return self.tables.response


def prepare(config: EmulatorConfig, *, phantom: Phantom | None = None) -> Instrument:
    """Return the instrument of a configuration; ``phantom`` stands in for the named one."""
    check_config(config)
    scanner = load_scanner(config.scanner)
    nuclide = load_nuclide(config.nuclide)
    if nuclide.beta_plus_fraction <= 0:
        raise EmulationError(
            f"nuclide {nuclide.name} emits no positrons, so there are no pairs to detect; "
            "choose a positron emitter such as F-18"
        )
    phantom = phantom or make_phantom(config.phantom, scanner)
    tables = TransportTables(
        source=source_tables(phantom),
        matter=object_tables(phantom),
        detector=detector_tables(scanner),
        response=response_tables(scanner, seed=config.seed, trigger_keV=config.trigger_keV),
        positron_fraction=float(nuclide.beta_plus_fraction),
    )
    return Instrument(scanner, phantom, nuclide, tables)


def rehearse(instrument: Instrument) -> None:
    """Run every kernel once on a few decays, so that none is compiled or loaded during a run."""
    emulation = Emulation(instrument, activity_Bq=1e4, seed=0)
    for index in range(2):
        emulation.digitize(emulation.emulate_slice(index))


class Totals:
    """What really happened in a run: the truth that the receiver's counters must meet."""

    def __init__(self, modules: int) -> None:
        self.decays = self.pairs = self.deposits = 0
        self.below_trigger = np.zeros(modules, np.int64)
        self.counts = np.zeros((modules, COUNTS), np.int64)
        self.dead_units = np.zeros(modules, np.int64)
        self.periods = 0
        self.after_end = 0

    def truth(self) -> dict[str, float]:
        """Return the totals by name.

        They close: deposits = below_trigger + emitted + dead + lost + after_end.
        """
        emitted, dead, lost = (int(self.counts[:, kind].sum()) for kind in (EMITTED, DEAD, LOST))
        return {
            "decays": self.decays,
            "pairs": self.pairs,
            "deposits": self.deposits,
            "below_trigger": int(self.below_trigger.sum()),
            "emitted": emitted,
            "dead": dead,
            "lost": lost,
            "after_end": self.after_end,
            "periods": self.periods,
        }


class Emulation:
    """One run. ``totals`` counts what has been digitized so far."""

    def __init__(
        self, instrument: Instrument, *, activity_Bq: float, seed: int, run_tag: int = 0
    ) -> None:
        scanner, modules = instrument.scanner, instrument.scanner.n_modules
        self.totals = Totals(modules)
        self._tables = instrument.tables
        self._seed = seed
        self._activity_Bq = activity_Bq
        self._decay_per_s = math.log(2) / instrument.nuclide.half_life_s
        self._dead_time_ps = round(scanner.response.dead_time_ns * 1000)
        self._framer = Framer(modules, run_tag=run_tag)
        self._state = new_digitizer_state(modules)
        self._words = np.zeros(0, np.uint64)
        self._first_word = np.zeros(modules + 1, np.int64)
        self._counts = np.zeros((modules, COUNTS), np.int64)
        self._dead_units = np.zeros(modules, np.int64)
        self._threads = threading.local()

    def activity_Bq(self, index: int) -> float:
        """Return the activity in the middle of slice ``index``: A(t) = A₀·2^(−t/T½)."""
        return self._activity_Bq * math.exp(-self._decay_per_s * (index + 0.5) * PERIOD_S)

    def emulate_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        activity_Bq = self.activity_Bq(index)
        expected = activity_Bq * PERIOD_S
        decays = expected + 10 * math.sqrt(expected) + 10
        hits = np.empty(int(decays * _EXPECTED_HITS_PER_DECAY) + 2 * MOST_HITS_PER_DECAY, HIT)
        below = np.zeros_like(self._dead_units)
        tally = np.zeros(TALLY_SIZE, np.int64)
        n_hits = emulate_slice(
            self._tables,
            activity_Bq,
            float(FRAME_PERIOD_PS),
            self._seed,
            index,
            self._scratch(),
            hits,
            below,
            tally,
        )
        if tally[OVERFLOWED]:
            raise EmulationError(f"slice {index} made more than {len(hits)} hits: a defect")
        return SliceHits(index, hits[:n_hits], below, tally)

    def digitize(self, hits: SliceHits, *, last: bool = False) -> list[memoryview]:
        """Return the frames of the next period, one per module; slices must come in order.

        The frames are views of a buffer that the next call uses again.
        """
        if hits.index != self.totals.periods:
            raise EmulationError(f"slice {hits.index} came where {self.totals.periods} was due")
        modules = len(self._counts)
        room = len(hits.hits) + int(self._state.carried[0]) + modules * HEADER_WORDS
        if len(self._words) < room:
            self._words = np.zeros(2 * room, np.uint64)
        fits = digitize(
            hits.hits,
            self._state,
            self._dead_time_ps,
            self._words,
            self._first_word,
            self._counts,
            self._dead_units,
        )
        if not fits:
            raise EmulationError("too many triggers cross a frame's end; lower activity_Bq")
        self._add_up(hits, last)
        return self._framer.seal(
            hits.index,
            self._words,
            self._first_word,
            self._counts,
            self._dead_units,
            last=last,
        )

    def _scratch(self) -> Scratch:
        if not hasattr(self._threads, "scratch"):
            self._threads.scratch = new_scratch()
        scratch: Scratch = self._threads.scratch
        return scratch

    def _add_up(self, hits: SliceHits, last: bool) -> None:
        totals = self.totals
        totals.decays += int(hits.tally[DECAYS])
        totals.pairs += int(hits.tally[PAIRS])
        totals.deposits += int(hits.tally[DEPOSITS])
        totals.below_trigger += hits.below
        totals.counts += self._counts
        totals.dead_units += self._dead_units
        totals.periods += 1
        if last:
            totals.after_end = int(self._state.carried[0])


class SliceAhead:
    """Computes slices ahead of their use in threads of its own, a bounded number of them."""

    def __init__(self, emulation: Emulation, *, threads: int, look_ahead_s: float) -> None:
        self._emulation = emulation
        self._depth = max(threads + 1, math.ceil(look_ahead_s / PERIOD_S))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="monte-carlo")
        self._pending: deque[Future[SliceHits]] = deque()
        self._next = 0

    def __iter__(self) -> Iterator[SliceHits]:
        while True:
            while len(self._pending) < self._depth:
                self._pending.append(self._pool.submit(self._emulation.emulate_slice, self._next))
                self._next += 1
            yield self._pending.popleft().result()

    def close(self) -> None:
        """Give up what is not begun; what runs ends within a slice's time."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def frames_of_run(
    instrument: Instrument, config: EmulatorConfig, *, periods: int, run_tag: int = 0
) -> Iterator[list[bytes]]:
    """Yield each period's frames as bytes: the whole run without pacing, for tools and tests."""
    emulation = Emulation(
        instrument, activity_Bq=config.activity_Bq, seed=config.seed, run_tag=run_tag
    )
    ahead = SliceAhead(emulation, threads=config.threads, look_ahead_s=config.look_ahead_s)
    try:
        for hits, index in zip(ahead, range(periods), strict=False):
            frames = emulation.digitize(hits, last=index == periods - 1)
            yield [bytes(frame) for frame in frames]
    finally:
        ahead.close()
