"""What all kinds of engine share: activity over time, background noise, room for hits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emulator.detector.noise import add_noise
from emulator.slices import PERIOD_S
from emulator.truth_labels import label_noise
from hw.wire.protocol import FRAME_PERIOD_PS

if TYPE_CHECKING:
    from emulator.engines.instrument import Instrument


class Engine:
    """The part of an engine that does not depend on how photons are tracked."""

    def __init__(
        self, instrument: Instrument, *, activity_Bq: float, seed: int, labelled: bool = False
    ) -> None:
        self._instrument = instrument
        self._seed = seed
        self._activity_Bq = activity_Bq
        self._labelled = labelled

    def activities_Bq(self, index: int) -> npt.NDArray[np.float64]:
        """Return each nuclide's activity at the middle of slice ``index``, (nuclides,) f8."""
        time_s = (index + 0.5) * PERIOD_S
        kinetics = self._instrument.kinetics
        factor = 1.0 if kinetics is None else kinetics.activity(time_s)[0]
        return np.asarray(self._activity_Bq * factor * self._instrument.source.activities(time_s))

    def _region_share(self, index: int) -> npt.NDArray[np.float64]:
        kinetics = self._instrument.kinetics
        if kinetics is None:
            return np.empty(0)
        return kinetics.activity((index + 0.5) * PERIOD_S)[1]

    def _noise_room(self) -> float:
        noise = self._instrument.noise
        return 0.0 if noise is None else room_for(noise.rate_Hz * len(noise.module) * PERIOD_S)

    def _add_noise(
        self,
        index: int,
        state: npt.NDArray[np.uint64],
        labels: npt.NDArray[np.void],
        hits: npt.NDArray[np.void],
        n_hits: int,
        tally: npt.NDArray[np.int64],
    ) -> int:
        """Add the triggers of noisy crystals; return the new number of hits, −1 if too many."""
        noise, before = self._instrument.noise, n_hits
        if noise is not None:
            slice_ps = float(FRAME_PERIOD_PS)
            n_hits = add_noise(noise, slice_ps, self._seed, index, state, hits, n_hits, tally)
            label_noise(labels[before:n_hits])
        return int(n_hits)


def room_for(expected: float) -> float:
    """Return a bound that a Poisson number of this mean will practically never exceed."""
    return expected + 10 * math.sqrt(expected) + 10
