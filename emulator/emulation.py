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
    HEADER_WORDS,
    digitize,
    new_digitizer_state,
)
from emulator.emission import Source, emission_tables, load_source
from emulator.framing import Framer
from emulator.lutetium import MOST_HITS, LutetiumTables, add_lutetium, lutetium_tables
from emulator.miscalibration import Truth, choose_faulty, truth_of
from emulator.noise import NoiseTables, add_noise, noise_tables
from emulator.object_tracking import object_tables
from emulator.phantoms import Phantom, make_phantom
from emulator.response import (
    HIT,
    ResponseTables,
    response_tables,
)
from emulator.source_sampling import source_tables
from emulator.totals import Totals
from emulator.transport import (
    MOST_MODULES_PER_PHOTON,
    OVERFLOWED,
    Scratch,
    TransportTables,
    emulate_slice,
    new_scratch,
)
from hw.protocol import FRAME_PERIOD_PS
from hw.scanner import Scanner, load_scanner

PERIOD_S = FRAME_PERIOD_PS * 1e-12
_EXPECTED_HITS_PER_PHOTON = 1.25  # room for hits; more than any scanner of ours detects


@dataclass(frozen=True)
class SliceHits:
    """The Monte Carlo of one slice: (n,) HIT, and its tallies (see ``emulate_slice``).

    Hits are those of the source, then of lutetium, then of noise, each nearly in order of time.
    """

    index: int
    hits: npt.NDArray[np.void]
    missed: npt.NDArray[np.int64]
    tally: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Instrument:
    """What stays the same from run to run, and takes a second to prepare."""

    scanner: Scanner
    phantom: Phantom
    source: Source
    tables: TransportTables
    truth: Truth
    lutetium: LutetiumTables | None = None
    noise: NoiseTables | None = None

    @property
    def response(self) -> ResponseTables:
        """The response as the kernels see it; ``truth`` names what a calibration has to find."""
        return self.tables.response


def prepare(config: EmulatorConfig, *, phantom: Phantom | None = None) -> Instrument:
    """Return the instrument of a configuration; ``phantom`` stands in for the named one."""
    check_config(config)
    scanner = load_scanner(config.scanner)
    source = load_source(config.nuclide)
    dead, noisy = choose_faulty(config, scanner)
    phantom = phantom or make_phantom(config.phantom, scanner)
    tables = TransportTables(
        source=source_tables(phantom),
        matter=object_tables(phantom, trigger_keV=config.trigger_keV),
        detector=detector_tables(scanner),
        response=response_tables(
            scanner, seed=config.seed, trigger_keV=config.trigger_keV, dead=dead
        ),
        emission=emission_tables(source),
    )
    return Instrument(
        scanner=scanner,
        phantom=phantom,
        source=source,
        tables=tables,
        truth=truth_of(tables.response.crystals, scanner, dead=dead, noisy=noisy),
        lutetium=lutetium_tables(scanner) if config.lutetium else None,
        noise=_noise(config, scanner, noisy) if len(noisy) else None,
    )


def _noise(config: EmulatorConfig, scanner: Scanner, noisy: npt.NDArray[np.int64]) -> NoiseTables:
    return noise_tables(noisy, scanner, rate_Hz=config.noise_Hz, trigger_keV=config.trigger_keV)


def rehearse(instrument: Instrument) -> None:
    """Run every kernel once on a few decays, so that none is compiled or loaded during a run."""
    emulation = Emulation(instrument, activity_Bq=1e4, seed=0)
    for index in range(2):
        emulation.digitize(emulation.emulate_slice(index))


class Emulation:
    """One run. ``totals`` counts what has been digitized so far."""

    def __init__(
        self, instrument: Instrument, *, activity_Bq: float, seed: int, run_tag: int = 0
    ) -> None:
        source, modules = instrument.source, instrument.scanner.n_modules
        self.totals = Totals(modules, tuple(nuclide.name for nuclide in source.nuclides))
        self._instrument = instrument
        self._seed = seed
        self._activity_Bq = activity_Bq
        self._hits_per_decay = _EXPECTED_HITS_PER_PHOTON * max(2.0, source.photons_per_decay)
        self._dead_time_ps = instrument.truth.dead_time_ps
        self._paralysable = instrument.truth.dead_time_model == "paralysable"
        self._framer = Framer(modules, run_tag=run_tag)
        self._state = new_digitizer_state(modules)
        self._words = np.zeros(0, np.uint64)
        self._first_word = np.zeros(modules + 1, np.int64)
        self._counts = np.zeros((modules, COUNTS), np.int64)
        self._dead_units = np.zeros(modules, np.int64)
        self._threads = threading.local()

    def activities_Bq(self, index: int) -> npt.NDArray[np.float64]:
        """Return each nuclide's activity in the middle of slice ``index``, (nuclides,) f8."""
        shares = self._instrument.source.activities((index + 0.5) * PERIOD_S)
        return np.asarray(self._activity_Bq * shares)

    def emulate_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        activities_Bq = self.activities_Bq(index)
        total_Bq = max(float(activities_Bq.sum()), 1e-300)  # a source may have died out
        hits = np.empty(self._room(total_Bq), HIT)
        missed = np.zeros_like(self.totals.missed)
        tally = np.zeros_like(self.totals.tally)
        n_hits = emulate_slice(
            self._instrument.tables,
            total_Bq,
            np.cumsum(activities_Bq) / total_Bq,
            float(FRAME_PERIOD_PS),
            self._seed,
            index,
            self._scratch(),
            hits,
            missed,
            tally,
        )
        n_hits = self._add_background(index, hits, n_hits, missed, tally)
        if tally[OVERFLOWED] or n_hits < 0:
            raise EmulationError(f"slice {index} made more than {len(hits)} hits: a defect")
        return SliceHits(index, hits[:n_hits], missed, tally)

    def _room(self, activity_Bq: float) -> int:
        """Return for how many hits of a slice there is to be room: 10 σ more than expected."""
        instrument = self._instrument
        most = MOST_MODULES_PER_PHOTON * instrument.tables.emission.most_photons
        room = _most(activity_Bq * PERIOD_S) * self._hits_per_decay + 2 * most
        if instrument.lutetium is not None:
            room += 4 * _most(instrument.lutetium.rate_Hz * PERIOD_S) + MOST_HITS
        if instrument.noise is not None:
            room += _most(instrument.noise.rate_Hz * len(instrument.noise.module) * PERIOD_S)
        return int(room)

    def _add_background(
        self,
        index: int,
        hits: npt.NDArray[np.void],
        n_hits: int,
        missed: npt.NDArray[np.int64],
        tally: npt.NDArray[np.int64],
    ) -> int:
        """Add what comes without a source; return the new number of hits, or −1 for too many."""
        instrument, scratch = self._instrument, self._scratch()
        slice_ps = float(FRAME_PERIOD_PS)
        if instrument.lutetium is not None:
            lutetium, tables = instrument.lutetium, instrument.tables
            n_hits = add_lutetium(
                lutetium, tables, slice_ps, self._seed, index, scratch, hits, n_hits, missed, tally
            )
        if instrument.noise is not None:
            noise, state = instrument.noise, scratch.state
            n_hits = add_noise(noise, slice_ps, self._seed, index, state, hits, n_hits, tally)
        return int(n_hits)

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
            self._paralysable,
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
        totals.tally += hits.tally
        totals.missed += hits.missed
        totals.counts += self._counts
        totals.dead_units += self._dead_units
        totals.periods += 1
        if last:
            totals.after_end = int(self._state.carried[0])


def _most(expected: float) -> float:
    """Return a number that a Poisson number of this mean does not exceed in a lifetime."""
    return expected + 10 * math.sqrt(expected) + 10


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
