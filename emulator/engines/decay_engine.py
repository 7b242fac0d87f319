"""The full Monte Carlo of a run, slice by slice: every decay, every photon, every deposit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.detector.response import HIT, MISSED
from emulator.engines.engine import Engine, room_for
from emulator.pet.lutetium import MOST_HITS, add_lutetium
from emulator.pet.pair_transport import (
    MOST_MODULES_PER_PHOTON,
    Scratch,
    TransportTables,
    emulate_slice,
    new_scratch,
)
from emulator.slices import OVERFLOWED, PERIOD_S, TALLY_SIZE, SliceHits
from emulator.truth_labels import no_labels
from hw.wire.protocol import FRAME_PERIOD_PS
from hw.wire.truth_layout import LABEL

if TYPE_CHECKING:
    from emulator.engines.instrument import Instrument

_EXPECTED_HITS_PER_PHOTON = 1.25  # room for hits; more than any scanner of ours detects


class DecayEngine(Engine):
    """Makes the slices of one run, in any order and from any thread, always the same."""

    def __init__(
        self, instrument: Instrument, *, activity_Bq: float, seed: int, labelled: bool = False
    ) -> None:
        super().__init__(instrument, activity_Bq=activity_Bq, seed=seed, labelled=labelled)
        photons_per_decay = max(2.0, instrument.source.photons_per_decay)
        self._hits_per_decay = _EXPECTED_HITS_PER_PHOTON * photons_per_decay
        self._threads = threading.local()

    def _posed_tables(self, index: int) -> TransportTables:
        """Return the tables for the object's pose at the middle of the slice."""
        motion, tables = self._instrument.motion, self._instrument.tables
        if motion is None:
            return tables
        return tables._replace(pose=motion.pose_of((index + 0.5) * PERIOD_S))

    def make_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        activities_Bq = self.activities_Bq(index)
        total_Bq = max(float(activities_Bq.sum()), 1e-300)  # a source may have died out
        hits = np.empty(self._room(total_Bq), HIT)
        labels = np.empty(len(hits), LABEL) if self._labelled else no_labels()
        scratch = self._scratch()._replace(labels=labels)
        missed = np.zeros((self._instrument.scanner.n_modules, MISSED), np.int64)
        tables, region_share = self._posed_tables(index), self._region_share(index)
        tally = np.zeros(TALLY_SIZE + len(activities_Bq) + len(region_share), np.int64)
        n_hits = emulate_slice(
            tables,
            total_Bq,
            np.cumsum(activities_Bq) / total_Bq,
            region_share,
            float(FRAME_PERIOD_PS),
            self._seed,
            index,
            scratch,
            hits,
            missed,
            tally,
        )
        if n_hits > 0 and tables.emission.line_delayed.any():
            order = np.argsort(hits["time_ps"][:n_hits], kind="stable")
            hits[:n_hits] = hits[order]
            labels[:n_hits] = labels[order] if self._labelled else labels
        n_hits = self._add_background(index, tables, scratch, hits, n_hits, missed, tally)
        if tally[OVERFLOWED] or n_hits < 0:
            raise EmulationError(f"slice {index} made more than {len(hits)} hits: a defect")
        return SliceHits(index, hits[:n_hits], missed, tally, labels[:n_hits])

    def _room(self, activity_Bq: float) -> int:
        """Return the number of hits to allocate for a slice: 10 σ more than expected."""
        instrument = self._instrument
        most = MOST_MODULES_PER_PHOTON * instrument.tables.emission.most_photons
        room = room_for(activity_Bq * PERIOD_S) * self._hits_per_decay + 2 * most
        if instrument.lutetium is not None:
            room += 4 * room_for(instrument.lutetium.rate_Hz * PERIOD_S) + MOST_HITS
        return int(room + self._noise_room())

    def _add_background(
        self,
        index: int,
        tables: TransportTables,
        scratch: Scratch,
        hits: npt.NDArray[np.void],
        n_hits: int,
        missed: npt.NDArray[np.int64],
        tally: npt.NDArray[np.int64],
    ) -> int:
        """Add background that needs no source; return the new number of hits, −1 if too many."""
        instrument, labels = self._instrument, scratch.labels
        slice_ps = float(FRAME_PERIOD_PS)
        if instrument.lutetium is not None:
            lutetium = instrument.lutetium
            n_hits = add_lutetium(
                lutetium, tables, slice_ps, self._seed, index, scratch, hits, n_hits, missed, tally
            )
        return self._add_noise(index, scratch.state, labels, hits, int(n_hits), tally)

    def _scratch(self) -> Scratch:
        if not hasattr(self._threads, "scratch"):
            self._threads.scratch = new_scratch()
        scratch: Scratch = self._threads.scratch
        return scratch
