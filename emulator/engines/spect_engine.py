"""The Monte Carlo of a SPECT run, slice by slice: what the cameras see of all decays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.detector.response import HIT, MISSED
from emulator.engines.engine import Engine, room_for
from emulator.object.pose import STILL, Pose
from emulator.slices import DECAYS, OVERFLOWED, PAIRS, PERIOD_S, PHOTONS, TALLY_SIZE, SliceHits
from emulator.spect.camera_tables import SpectTables, source_lines
from emulator.spect.camera_transport import emulate_spect_slice
from emulator.spect.gantry_motion import poses_at
from emulator.spect.sight_of_camera import SpectScratch, new_spect_scratch
from emulator.truth_labels import no_labels
from hw.wire.angle_words import pack_angle_words
from hw.wire.protocol import FRAME_PERIOD_PS
from hw.wire.truth_layout import LABEL

if TYPE_CHECKING:
    from emulator.engines.instrument import Instrument

_LEAST_ROOM = 1024
_HITS_PER_HISTORY = 2.0  # room for them: far more than there are
_DECAYS_STREAM = 0x5350  # of the numbers of decays, apart from those of the kernel


class SpectEngine(Engine):
    """Makes the slices of one run, in any order and from any thread, always the same.

    exceeded : number of probabilities above 1 that the kernel met; any is a defect
    """

    def __init__(
        self, instrument: Instrument, *, activity_Bq: float, seed: int, labelled: bool = False
    ) -> None:
        if instrument.spect is None:
            raise EmulationError(f"{instrument.scanner.name} has no collimator: it is not SPECT")
        super().__init__(instrument, activity_Bq=activity_Bq, seed=seed, labelled=labelled)
        self.exceeded = 0
        self._tables: SpectTables = instrument.spect
        self._photons_per_decay = np.zeros(len(instrument.source.nuclides))
        for line in source_lines(instrument.source):
            if not line.annihilation:
                self._photons_per_decay[line.nuclide] += line.per_decay
        self._threads = threading.local()

    def angles_deg(self, index: int) -> npt.NDArray[np.float64]:
        """Return each module's angle in slice ``index``, (modules,) f8; 0 for a static one.

        Motion within a slice is neglected: 6 °/s is 0.03° in 5.24 ms.
        """
        motion = self._instrument.spect_motion
        if motion is None:
            return np.zeros(self._instrument.scanner.n_modules)
        return np.round(motion.angles_deg(index * PERIOD_S), 3)  # as angle words tell it

    def first_words(self, index: int) -> npt.NDArray[np.uint64] | None:
        """Return each module's angle word for a slice, (modules, 1) u8; None if static."""
        if self._instrument.spect_motion is None:
            return None
        return pack_angle_words(time_ticks=0, angle_deg=self.angles_deg(index))[:, None]

    def make_slice(self, index: int) -> SliceHits:
        """Return the Monte Carlo of one slice; any slice, from any thread."""
        instrument, tables = self._instrument, self._tables
        activities_Bq = self.activities_Bq(index)
        rates_Hz = tables.channels.per_decay * activities_Bq[tables.channels.nuclide]
        rate_Hz = max(float(rates_Hz.sum()), 1e-300)  # a source may have died out
        room = _HITS_PER_HISTORY * room_for(rate_Hz * PERIOD_S) + _LEAST_ROOM + self._noise_room()
        hits = np.empty(int(room), HIT)
        labels = np.empty(len(hits), LABEL) if self._labelled else no_labels()
        scratch = self._scratch()._replace(labels=labels)
        missed = np.zeros((instrument.scanner.n_modules, MISSED), np.int64)
        tally = self._tally(index, activities_Bq)
        n_hits = emulate_spect_slice(
            tables,
            self._poses(index),
            rate_Hz,
            np.cumsum(rates_Hz) / rate_Hz,
            self._region_share(index),
            float(FRAME_PERIOD_PS),
            self._seed,
            index,
            scratch,
            hits,
            missed,
            tally,
        )
        self.exceeded += int(scratch.exceeded[0])
        scratch.exceeded[0] = 0
        n_hits = self._add_noise(index, scratch.state, labels, hits, int(n_hits), tally)
        if tally[OVERFLOWED] or n_hits < 0:
            raise EmulationError(f"slice {index} made more than {len(hits)} hits: a defect")
        self._to_scanner(index, labels[:n_hits])
        return SliceHits(index, hits[:n_hits], missed, tally, labels[:n_hits])

    def _object_pose(self, index: int) -> Pose:
        motion = self._instrument.motion
        return STILL if motion is None else motion.pose_of((index + 0.5) * PERIOD_S)

    def _poses(self, index: int) -> npt.NDArray[np.float64]:
        scanner = self._instrument.scanner
        return poses_at(scanner, self.angles_deg(index), self._object_pose(index))

    def _to_scanner(self, index: int, labels: npt.NDArray[np.void]) -> None:
        """Transform the places in the labels from the object's frame to the scanner's."""
        pose, axes = self._object_pose(index), ("x_mm", "y_mm", "z_mm")
        if not len(pose) or not len(labels):
            return
        place = np.stack([labels[axis] for axis in axes]).astype(np.float64)
        for axis, row, shift in zip(axes, pose[:9].reshape(3, 3) @ place, pose[9:], strict=True):
            labels[axis] = row + shift

    def _tally(self, index: int, activities_Bq: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the slice's tally with a drawn number of decays, as none is tracked singly."""
        regions = self._region_share(index)
        tally = np.zeros(TALLY_SIZE + len(activities_Bq) + len(regions), np.int64)
        random = np.random.Generator(np.random.PCG64([self._seed, index, _DECAYS_STREAM]))
        decays = random.poisson(activities_Bq * PERIOD_S)
        tally[DECAYS] = decays.sum()
        tally[TALLY_SIZE : TALLY_SIZE + len(decays)] = decays
        if len(regions):
            shares = np.diff(regions, prepend=0.0)
            tally[TALLY_SIZE + len(decays) :] = random.multinomial(decays.sum(), shares)
        nuclides = self._instrument.source.nuclides
        pairs = [float(nuclide.beta_plus_fraction) for nuclide in nuclides]
        tally[PAIRS] = random.binomial(decays, pairs).sum()
        tally[PHOTONS] = random.poisson(decays * self._photons_per_decay).sum()
        return tally

    def _scratch(self) -> SpectScratch:
        if not hasattr(self._threads, "scratch"):
            self._threads.scratch = new_spect_scratch()
        scratch: SpectScratch = self._threads.scratch
        return scratch
