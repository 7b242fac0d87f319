"""The live time of a run, of each module and module pair, kept from data frame headers alone.

Decided frame by frame in detector time, so that any batching and a replay give the same numbers.
The rule is in :mod:`daq.path.live_time_kernel`; docs/live-time.md says how to correct a rate with
it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daq.path.decode import MAX_FRAME_ID
from daq.path.live_time_kernel import DEAD, LIVE, LOST, SHARES, STALLED, fold_periods, note_frames
from hw.wire.protocol import FRAME_PERIOD_PS

Floats = npt.NDArray[np.float64]
PERIOD_S = FRAME_PERIOD_PS * 1e-12


class LiveTime:
    """Takes headers of accepted frames; memory is fixed by the stall bound.

    Parameters
    ----------
    stall_ps : the decoder's stall bound
    """

    def __init__(self, *, n_modules: int, stall_ps: int) -> None:
        slots = stall_ps // FRAME_PERIOD_PS + 3
        self._ends = np.zeros(n_modules, dtype=np.int64)
        self._edges = np.zeros(2, dtype=np.int64)
        self._live = np.zeros((slots, n_modules))
        self._dead = np.zeros((slots, n_modules))
        self._shares = np.zeros((n_modules, SHARES))
        self._pairs = np.zeros((n_modules, n_modules))

    def observe(self, headers: npt.NDArray[np.void], watermarks_ps: npt.NDArray[np.int64]) -> None:
        """Take in accepted frames in order of arrival.

        headers : (n,) HEADER_DTYPE
        watermarks_ps : (n + 1,) i8, the watermark before each frame, and after the last
        """
        note_frames(
            headers, watermarks_ps, MAX_FRAME_ID, self._ends, self._edges, self._live, self._dead,
            self._shares, self._pairs,
        )  # fmt: skip

    def finish(self) -> None:
        """Fold up to the newest frame end: the run is over."""
        fold_periods(
            int(self._edges[1]), self._ends, self._edges, self._live, self._dead, self._shares,
            self._pairs,
        )  # fmt: skip

    @property
    def detector_ps(self) -> int:
        """The detector time that is folded."""
        return int(self._edges[0]) * FRAME_PERIOD_PS

    @property
    def detector_s(self) -> float:
        """The detector time that is folded."""
        return self.detector_ps * 1e-12

    @property
    def module_s(self) -> Floats:
        """Live time of each module, (modules,)."""
        return self._column(LIVE)

    @property
    def dead_s(self) -> Floats:
        """Dead time of each module within frames that were used, (modules,)."""
        return self._column(DEAD)

    @property
    def lost_s(self) -> Floats:
        """Time of frames that never came, came damaged or late, and lost in queues, (modules,)."""
        return self._column(LOST)

    @property
    def stalled_s(self) -> Floats:
        """Time that the watermark passed without the module, (modules,)."""
        return self._column(STALLED)

    def _column(self, share: int) -> Floats:
        return np.asarray(self._shares[:, share] * PERIOD_S)

    @property
    def pair_s(self) -> Floats:
        """Live time of each pair of modules, (modules, modules), symmetric, diagonal 0."""
        return np.asarray((self._pairs + self._pairs.T) * PERIOD_S)

    def mean_pair_s(self, allowed: npt.NDArray[np.bool_]) -> float:
        """Return the mean live time of the allowed pairs; 0 where there is none."""
        either = np.triu(allowed | allowed.T, 1)
        return float(self._pairs[either].mean()) * PERIOD_S if either.any() else 0.0
