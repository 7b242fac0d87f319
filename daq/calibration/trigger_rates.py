"""The number of triggers that each module sent in each slice of a run, for the dead-time fit.

Every event word of kind single counts, whatever its energy, and so does every event that a module
lost in its own queue (``lost_events``), for it too started a dead time. Only periods whose data
frame came are counted, in time and in events, so lost frames bias nothing. A frame flagged LAST is
left out, as a run may end within its period. Memory: 24 bytes per module and slice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daq.folder import raw_log as rawlog
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import run_config
from daq.path.frame_check import CheckedFrames, FrameChecker
from hw.arrays import F8, Array
from hw.jit import kernel
from hw.wire.protocol import FLAG_LAST, FRAME_PERIOD_PS, KIND_SHIFT, KIND_SINGLE

Progress = Callable[[int, int], None]

PERIOD_S = FRAME_PERIOD_PS * 1e-12
MOST_SLICES = 20_000
SLICES_PER_HALF_LIFE = 20
"""Activity changes by 3.5 % within a slice: m(n) curves so little there that the mean rate equals
the rate at the mean activity to 1e-5.
"""


@dataclass(frozen=True)
class TriggerRates:
    """Triggers of m modules in s slices of time.

    counts : (m, s) i8; live_s : (m, s) f8, time of the periods received
    activity : (m, s) f8, mean activity over those periods, relative to the start of the first run
    beyond : frames left out because their period lies beyond the last slice kept
    """

    counts: npt.NDArray[np.int64]
    live_s: F8
    activity: F8
    beyond: int = 0


@kernel
def count_triggers(headers: Array, word_starts: Array, words: Array, triggers: Array) -> None:
    """Count each frame's singles and its module's losses: (n,) HEADER_DTYPE into (n,) i8."""
    for f in range(headers.shape[0]):
        n = np.int64(headers[f].lost_events)
        first = word_starts[f]
        for w in range(first, first + headers[f].event_count):
            if words[w] >> np.uint64(KIND_SHIFT) == KIND_SINGLE:
                n += 1
        triggers[f] = n


class RateSlices:
    """Sums one run's frames by module and slice of ``periods`` data-frame periods."""

    def __init__(self, n_modules: int, *, periods: int, decay_per_s: float) -> None:
        self._periods = periods
        self._decay_per_period = decay_per_s * PERIOD_S
        self._sums = np.zeros((3, n_modules, 1))  # triggers, periods, Σ activity; exact below 2^53
        self.beyond = 0

    def add(self, frames: CheckedFrames) -> None:
        """Count a batch of accepted frames."""
        triggers = np.empty(len(frames), np.int64)
        words = np.frombuffer(frames.payload, dtype="<u8")
        count_triggers(frames.headers, frames.word_starts, words, triggers)
        period = frames.headers["frame_id"].astype(np.int64)
        slice_ = period // self._periods
        whole = (frames.headers["flags"] & FLAG_LAST) == 0
        kept = whole & (slice_ < MOST_SLICES)
        self.beyond += int((whole & ~kept).sum())
        if not kept.any():
            return
        self._grow(int(slice_[kept].max()) + 1)
        place = frames.headers["module"][kept].astype(np.int64), slice_[kept]
        activity = mean_activity(period[kept], self._decay_per_period)
        for sums, values in zip(self._sums, (triggers[kept], 1.0, activity), strict=True):
            np.add.at(sums, place, values)

    def rates(self, *, activity: float = 1.0) -> TriggerRates:
        """Return the rates; ``activity`` is that at the run's start."""
        counts, periods, total = self._sums
        mean = np.divide(total, periods, out=np.zeros_like(total), where=periods > 0)
        return TriggerRates(
            counts.astype(np.int64), periods * PERIOD_S, activity * mean, self.beyond
        )

    def _grow(self, slices: int) -> None:
        more = slices - self._sums.shape[2]
        if more > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, more)))


def mean_activity(period: npt.NDArray[np.int64], decay_per_period: float) -> F8:
    """Return the mean of exp(−λt) over each data-frame period, 1 at the run's start."""
    within = -math.expm1(-decay_per_period) / decay_per_period if decay_per_period else 1.0
    return np.asarray(within * np.exp(-decay_per_period * period), dtype=np.float64)


def rates_of_run(
    folder: Path,
    *,
    half_life_s: float,
    slice_s: float | None = None,
    activity: float = 1.0,
    progress: Progress | None = None,
) -> TriggerRates:
    """Return a run's trigger rates by slice.

    Parameters
    ----------
    half_life_s : of the source's nuclide
    slice_s : length of a slice; None for a twentieth of the half-life
    activity : at the run's start, in any unit that all runs of a fit share

    Raises
    ------
    CalibrationSetError
        for slices longer than a twentieth of the half-life.
    """
    longest_s = half_life_s / SLICES_PER_HALF_LIFE
    slice_s = longest_s if slice_s is None else slice_s
    if not 0 < slice_s <= longest_s * (1 + 1e-9):
        raise CalibrationSetError(
            f"slices of {slice_s:g} s: they must be above 0 and at most a {SLICES_PER_HALF_LIFE}th "
            f"of the half-life, {longest_s:g} s, or the decay within a slice bends the curve"
        )
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    scanner = run_config(folder).scanner()
    checker = FrameChecker(n_modules=scanner.n_modules, run_tag=reader.head["run_tag"])
    slices = RateSlices(
        scanner.n_modules,
        periods=max(1, int(slice_s / PERIOD_S)),
        decay_per_s=math.log(2) / half_life_s,
    )
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        slices.add(checker.check(frames, recorded=True))
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
    return slices.rates(activity=activity)


def joined(parts: list[TriggerRates]) -> TriggerRates:
    """Return the slices of several runs in one table."""
    return TriggerRates(
        np.concatenate([part.counts for part in parts], axis=1),
        np.concatenate([part.live_s for part in parts], axis=1),
        np.concatenate([part.activity for part in parts], axis=1),
        sum(part.beyond for part in parts),
    )
