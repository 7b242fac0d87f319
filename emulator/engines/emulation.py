"""The emulation of one run: slices of Monte Carlo in any order, then the digitizer in sequence.

``emulate_slice`` may be called for any slice from any thread; ``digitize`` takes the slices one by
one, in order. One slice is one frame period. The bytes depend only on the settings and the seed,
not on threads or speed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.digitizer import (
    COUNTS,
    DEAD,
    EMITTED,
    HEADER_WORDS,
    LOST,
    OFF,
    PILED_UP,
    Digitizer,
    digitizer_tables,
)
from emulator.detector.framing import Framer
from emulator.detector.response import BELOW_TRIGGER, MISSED, UNREAD
from emulator.detector.truth_file import TruthWriter
from emulator.engines.decay_engine import DecayEngine
from emulator.engines.instrument import Instrument
from emulator.engines.library_engine import LibraryEngine
from emulator.engines.spect_engine import SpectEngine
from emulator.slices import (
    DECAYS,
    DEPOSITS,
    LUTETIUM,
    NOISE,
    PAIRS,
    PHOTONS,
    TALLY_SIZE,
    SliceAhead,
    SliceHits,
)
from hw.wire.protocol import MAX_EVENTS


class Totals:
    """What really happened in a run: the truth that the receiver's counters must match."""

    def __init__(
        self, modules: int, nuclides: tuple[str, ...], regions: tuple[str, ...] = ()
    ) -> None:
        self.nuclides = nuclides
        self.regions = regions  # those whose activity changes each in its own way
        self.tally = np.zeros(TALLY_SIZE + len(nuclides) + len(regions), np.int64)
        self.missed = np.zeros((modules, MISSED), np.int64)
        self.counts = np.zeros((modules, COUNTS), np.int64)
        self.dead_units = np.zeros(modules, np.int64)
        self.periods = 0
        self.after_end = 0

    def truth(self) -> dict[str, float]:
        """Return the totals by name.

        They close: deposits + noise = below_trigger + unread + emitted + dead + piled_up + lost +
        off + after_end. ``unread`` deposits were in crystals that are dead or that missed them;
        ``noise`` are triggers of noisy crystals and bursts; ``piled_up`` triggers added their light
        to another's word; ``off`` ones came while their module had no power; ``photons`` are the γ
        and X photons of the source.
        """
        emitted, dead, piled_up, lost, off = (
            int(self.counts[:, kind].sum()) for kind in (EMITTED, DEAD, PILED_UP, LOST, OFF)
        )
        return {
            "decays": int(self.tally[DECAYS]),
            "pairs": int(self.tally[PAIRS]),
            "photons": int(self.tally[PHOTONS]),
            "lutetium_decays": int(self.tally[LUTETIUM]),
            "deposits": int(self.tally[DEPOSITS]),
            "noise": int(self.tally[NOISE]),
            "below_trigger": int(self.missed[:, BELOW_TRIGGER].sum()),
            "unread": int(self.missed[:, UNREAD].sum()),
            "emitted": emitted,
            "dead": dead,
            "piled_up": piled_up,
            "lost": lost,
            "off": off,
            "after_end": self.after_end,
            "periods": self.periods,
        } | self._decays_by_name()

    def _decays_by_name(self) -> dict[str, float]:
        """Return the decays in each region and, if there are several nuclides, of each."""
        regions = TALLY_SIZE + len(self.nuclides)
        names = [f"decays of {nuclide}" for nuclide in self.nuclides]
        of = dict(zip(names, self.tally[TALLY_SIZE:regions].tolist(), strict=True))
        within = zip(self.regions, self.tally[regions:].tolist(), strict=True)
        return (of if len(of) > 1 else {}) | {f"decays in {name}": n for name, n in within}


Engine = DecayEngine | LibraryEngine | SpectEngine


def _engine_of(instrument: Instrument) -> type[Engine]:
    if instrument.spect is not None:
        return SpectEngine
    return DecayEngine if instrument.library is None else LibraryEngine


def rehearse(instrument: Instrument) -> None:
    """Run every kernel once on a few decays, so that nothing is compiled or loaded during a run."""
    emulation = Emulation(instrument, activity_Bq=1e4, seed=0)
    for index in range(2):
        emulation.digitize(emulation.emulate_slice(index))


class Emulation:
    """The emulation of one run.

    totals : counts of what has been digitized so far
    digitizer : holds the period's words and, if asked (``origins``), the hit each came from
    framer : holds what the frame headers say about the modules

    Parameters
    ----------
    activity_Bq : at the start of the run, all nuclides together
    seed : of all random numbers
    run_tag : that the frames bear
    queue_words : event words that a module sends in a frame at most
    origins : whether to keep the hit that each word came from
    dead_time : whether modules and crystals are dead after a hit
    """

    def __init__(
        self,
        instrument: Instrument,
        *,
        activity_Bq: float,
        seed: int,
        run_tag: int = 0,
        queue_words: int = MAX_EVENTS,
        origins: bool = False,
        dead_time: bool = True,
    ) -> None:
        source, modules = instrument.source, instrument.scanner.n_modules
        regions = () if instrument.kinetics is None else instrument.kinetics.names
        names = tuple(nuclide.name for nuclide in source.nuclides)
        self.totals = Totals(modules, names, regions)
        engine = _engine_of(instrument)
        self._engine = engine(instrument, activity_Bq=activity_Bq, seed=seed, labelled=origins)
        tables = digitizer_tables(instrument.scanner, queue_words=queue_words, dead_time=dead_time)
        self.digitizer = Digitizer(modules, tables, origins=origins)
        self.framer = Framer(modules, run_tag=run_tag)

    def activities_Bq(self, index: int) -> npt.NDArray[np.float64]:
        """Return each nuclide's activity at the middle of slice ``index``, (nuclides,) f8."""
        return self._engine.activities_Bq(index)

    def emulate_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        return self._engine.make_slice(index)

    def begin_at(self, period: int) -> None:
        """Let the run begin later: its first slice is this one."""
        self.totals.periods = period

    def digitize(self, hits: SliceHits, *, last: bool = False) -> list[memoryview]:
        """Return the frames of the next period, one per module; slices must come in order.

        The frames are views of a buffer that the next call reuses. A module without power makes
        none; an empty view takes its place.
        """
        self.convert(hits, last=last)
        return self.framer.seal(hits.index, self.digitizer, last=last)

    def convert(self, hits: SliceHits, *, last: bool = False) -> None:
        """Leave the words of the next period in ``digitizer``, without framing them: a moving
        camera's angle before the singles."""
        if hits.index != self.totals.periods:
            raise EmulationError(f"slice {hits.index} came where {self.totals.periods} was due")
        engine = self._engine
        first_words = engine.first_words(hits.index) if isinstance(engine, SpectEngine) else None
        digitizer = self.digitizer
        digitizer.room[:] = 0 if first_words is None else first_words.shape[1]
        if not digitizer.take(hits.hits, hits.index):
            raise EmulationError("too many triggers cross a frame's end; lower activity_Bq")
        if first_words is not None:
            places = digitizer.first_word[:-1, None] + HEADER_WORDS
            digitizer.words[places + np.arange(first_words.shape[1])] = first_words
        self._add_up(hits, last)

    def _add_up(self, hits: SliceHits, last: bool) -> None:
        totals = self.totals
        totals.tally += hits.tally
        totals.missed += hits.missed
        totals.counts += self.digitizer.counts
        totals.dead_units += self.digitizer.dead_units
        totals.periods += 1
        if last:
            totals.after_end = self.digitizer.carried


def frames_of_run(
    instrument: Instrument,
    config: EmulatorConfig,
    *,
    periods: int,
    run_tag: int = 0,
    truth: TruthWriter | None = None,
) -> Iterator[list[bytes]]:
    """Yield each period's frames as bytes: the whole run, unpaced, for tools and tests.

    Scheduled faults (``config.faults``) are not applied here; the service does that.

    Parameters
    ----------
    periods : number of frame periods
    run_tag : tag of the run in the frame headers
    truth : receives the truth of every word; the caller closes it
    """
    emulation = Emulation(
        instrument,
        activity_Bq=config.activity_Bq,
        seed=config.seed,
        run_tag=run_tag,
        queue_words=config.queue_words,
        origins=truth is not None,
    )
    ahead = SliceAhead(
        emulation.emulate_slice, threads=config.threads, look_ahead_s=config.look_ahead_s
    )
    try:
        for hits, index in zip(ahead, range(periods), strict=False):
            frames = emulation.digitize(hits, last=index == periods - 1)
            if truth is not None:
                truth.append(hits, frames, emulation.digitizer)
            yield [bytes(frame) for frame in frames]
    finally:
        ahead.close()
