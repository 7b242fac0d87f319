"""The full Monte Carlo of a run, slice by slice: every decay, every photon, every deposit."""

from __future__ import annotations

import math
import threading

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.instrument import Instrument
from emulator.lutetium import MOST_HITS, add_lutetium
from emulator.noise import add_noise
from emulator.response import HIT, MISSED
from emulator.slices import PERIOD_S, SliceHits
from emulator.transport import (
    MOST_MODULES_PER_PHOTON,
    OVERFLOWED,
    TALLY_SIZE,
    Scratch,
    emulate_slice,
    new_scratch,
)
from hw.protocol import FRAME_PERIOD_PS

_EXPECTED_HITS_PER_PHOTON = 1.25  # room for hits; more than any scanner of ours detects


class DecayEngine:
    """Makes the slices of one run; any slice, from any thread, and the same whatever the order."""

    def __init__(self, instrument: Instrument, *, activity_Bq: float, seed: int) -> None:
        self._instrument = instrument
        self._seed = seed
        self._activity_Bq = activity_Bq
        photons_per_decay = max(2.0, instrument.source.photons_per_decay)
        self._hits_per_decay = _EXPECTED_HITS_PER_PHOTON * photons_per_decay
        self._threads = threading.local()

    def activities_Bq(self, index: int) -> npt.NDArray[np.float64]:
        """Return each nuclide's activity in the middle of slice ``index``, (nuclides,) f8."""
        shares = self._instrument.source.activities((index + 0.5) * PERIOD_S)
        return np.asarray(self._activity_Bq * shares)

    def make_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        activities_Bq = self.activities_Bq(index)
        total_Bq = max(float(activities_Bq.sum()), 1e-300)  # a source may have died out
        hits = np.empty(self._room(total_Bq), HIT)
        missed = np.zeros((self._instrument.scanner.n_modules, MISSED), np.int64)
        tally = np.zeros(TALLY_SIZE + len(activities_Bq), np.int64)
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

    def _scratch(self) -> Scratch:
        if not hasattr(self._threads, "scratch"):
            self._threads.scratch = new_scratch()
        scratch: Scratch = self._threads.scratch
        return scratch


def _most(expected: float) -> float:
    """Return a number that a Poisson number of this mean does not exceed in a lifetime."""
    return expected + 10 * math.sqrt(expected) + 10
