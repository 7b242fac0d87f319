"""Load mode: decays of an event library at new random times, with new noise.

Each decay of a slice is an independent random one of the library at an independent time: a Poisson
process of the activity's rate, so rates, spectra, coincidences and randoms are those of the full
Monte Carlo. Energy and time get fresh noise, then the crystal's errors and the trigger, by the
formulas of ``response``; dead time and frames come after. Only the place repeats: a library decay
keeps its crystals and depths each time it is drawn (docs/emulator/physics.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.detector.response import (
    HIT,
    MISSED,
)
from emulator.engines.decay_engine import DecayEngine
from emulator.library.decay_kernels import (
    _DECAYS_A_PART,
    MOST_DEPOSITS_OF_A_DECAY,
    Words,
    Work,
    new_work,
    order_roughly,
    play_slice,
)
from emulator.slices import DECAYS, PERIOD_S, TALLY_SIZE, SliceHits
from hw.wire.protocol import FRAME_PERIOD_PS

if TYPE_CHECKING:
    from emulator.engines.instrument import Instrument


class LibraryEngine(DecayEngine):
    """Makes the slices of one run from a library, in any order and from any thread."""

    def __init__(
        self, instrument: Instrument, *, activity_Bq: float, seed: int, labelled: bool = False
    ) -> None:
        super().__init__(instrument, activity_Bq=activity_Bq, seed=seed)
        if labelled:
            raise EmulationError(
                "load mode keeps no truth of its events: leave out --truth or --library"
            )
        if instrument.library is None:
            raise EmulationError("this instrument has no event library; name one in its settings")
        self._library = instrument.library
        most = int(np.diff(self._library.start).max())
        if most > MOST_DEPOSITS_OF_A_DECAY:
            raise EmulationError(
                f"a decay of the event library left {most} deposits, the bound is "
                f"{MOST_DEPOSITS_OF_A_DECAY}: use the full Monte Carlo"
            )

    def make_slice(self, index: int) -> SliceHits:
        """Return one slice drawn from the library; any slice, from any thread."""
        activities_Bq = self.activities_Bq(index)
        rates_Hz = activities_Bq * self._library.detected
        modules = self._instrument.scanner.n_modules
        fates = np.zeros((modules, MISSED + 1), np.int64)
        tally = np.zeros(TALLY_SIZE + len(activities_Bq), np.int64)
        room, slice_ps = self._room(float(activities_Bq.sum())), float(FRAME_PERIOD_PS)
        parts = max(int(rates_Hz.sum() * PERIOD_S / _DECAYS_A_PART), 1)
        first, (work, drawn) = np.zeros(parts + 1, np.int32), self._work(room)
        n_hits = play_slice(
            self._library, rates_Hz, slice_ps, self._seed, index, work, drawn, fates, first, tally
        )
        self._count_unseen(index, activities_Bq - rates_Hz, tally)
        hits, missed = np.empty(room, HIT), fates[:, :MISSED].copy()
        if n_hits >= 0:
            order_roughly(drawn, n_hits, slice_ps, first, hits.view(np.int64).reshape(-1, 2))
            tables, scratch = self._instrument.tables, self._scratch()
            n_hits = self._add_background(index, tables, scratch, hits, n_hits, missed, tally)
        if n_hits < 0:
            raise EmulationError(f"slice {index} made more than {room} hits: a defect")
        return SliceHits(index, hits[:n_hits], missed, tally)

    def _count_unseen(
        self, index: int, rates_Hz: npt.NDArray[np.float64], tally: npt.NDArray[np.int64]
    ) -> None:
        """Count decays that leave nothing: a Poisson number, as a thinned Poisson process is."""
        random = np.random.Generator(np.random.Philox(key=[self._seed, index]))
        unseen = random.poisson(rates_Hz * PERIOD_S)
        tally[DECAYS] += unseen.sum()
        tally[TALLY_SIZE:] += unseen

    def _work(self, room: int) -> tuple[Work, Words]:
        """Return the thread's working space, and an array for its hits, (≥ room, 2) i8."""
        threads = self._threads
        if not hasattr(threads, "work"):
            threads.work, threads.drawn = new_work(), np.empty((0, 2), np.int64)
        if len(threads.drawn) < room:
            threads.drawn = np.empty((room, 2), np.int64)
        return threads.work, threads.drawn
