"""The emulation of one run: slices of Monte Carlo in any order, then the digitizer in sequence.

``emulate_slice`` may be called for any slice from any thread; ``digitize`` takes the slices in
order, one by one. One slice is one frame period. The bytes depend on the settings and the seed
only, not on threads or on how fast it went.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig
from emulator.decay_engine import DecayEngine
from emulator.digitizer import COUNTS, HEADER_WORDS, digitize, new_digitizer_state
from emulator.framing import Framer
from emulator.instrument import Instrument
from emulator.slices import SliceAhead, SliceHits
from emulator.totals import Totals


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
        self._engine = DecayEngine(instrument, activity_Bq=activity_Bq, seed=seed)
        self._dead_time_ps = instrument.truth.dead_time_ps
        self._paralysable = instrument.truth.dead_time_model == "paralysable"
        self._framer = Framer(modules, run_tag=run_tag)
        self._state = new_digitizer_state(modules)
        self._words = np.zeros(0, np.uint64)
        self._first_word = np.zeros(modules + 1, np.int64)
        self._counts = np.zeros((modules, COUNTS), np.int64)
        self._dead_units = np.zeros(modules, np.int64)

    def activities_Bq(self, index: int) -> npt.NDArray[np.float64]:
        """Return each nuclide's activity in the middle of slice ``index``, (nuclides,) f8."""
        return self._engine.activities_Bq(index)

    def emulate_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        return self._engine.make_slice(index)

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

    def _add_up(self, hits: SliceHits, last: bool) -> None:
        totals = self.totals
        totals.tally += hits.tally
        totals.missed += hits.missed
        totals.counts += self._counts
        totals.dead_units += self._dead_units
        totals.periods += 1
        if last:
            totals.after_end = int(self._state.carried[0])


def frames_of_run(
    instrument: Instrument, config: EmulatorConfig, *, periods: int, run_tag: int = 0
) -> Iterator[list[bytes]]:
    """Yield each period's frames as bytes: the whole run without pacing, for tools and tests."""
    emulation = Emulation(
        instrument, activity_Bq=config.activity_Bq, seed=config.seed, run_tag=run_tag
    )
    ahead = SliceAhead(
        emulation.emulate_slice, threads=config.threads, look_ahead_s=config.look_ahead_s
    )
    try:
        for hits, index in zip(ahead, range(periods), strict=False):
            frames = emulation.digitize(hits, last=index == periods - 1)
            yield [bytes(frame) for frame in frames]
    finally:
        ahead.close()
