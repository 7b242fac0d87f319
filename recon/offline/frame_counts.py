"""Prompts and delayeds of each part of a run's time, and the background that follows from them.

A frame uses the run's randoms, scatter and live shares, each scaled by one number:

    randoms     delayeds per second of the frame over the run's; by the square of the prompts' where
                the frame has fewer than ``LEAST_DELAYEDS``
    scatter     prompts less randoms per second of the frame over the run's
    live share  1 - l_frame = (1 - l_run) · singles' rate of the frame over the run's, the rate
                being the root of the randoms' (dead time in proportion to the rate)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.core.frames import TimeSelection
from recon.lines.randoms import fan_counts
from recon.offline.run_data import RunData

LEAST_DELAYEDS = 100


@dataclass(frozen=True)
class Counts:
    """Prompts and delayeds in a number of seconds."""

    prompts: int
    delayeds: int
    seconds: float

    def trues_per_s(self, delayed_factor: int) -> float:
        """Return prompts less randoms per second, 0 at least."""
        if self.seconds <= 0:
            return 0.0
        return max(self.prompts - self.delayeds / max(delayed_factor, 1), 0.0) / self.seconds


@dataclass(frozen=True)
class Tally:
    """Counts of the run, of its selections, and the run's delayeds of each crystal."""

    run: Counts
    parts: list[Counts]
    crystal_delayeds: npt.NDArray[np.int64]

    @classmethod
    def of(cls, data: RunData, selections: list[TimeSelection]) -> Tally:
        """Count a run once, front to back."""
        n = len(selections)
        prompts, delayeds = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
        fans = np.zeros(data.scanner.n_crystals, dtype=np.int64)
        for part in data.prompts():
            _count(part["time_ps"], selections, prompts)
        for part in data.delayeds():
            _count(part["time_ps"], selections, delayeds)
            fans += fan_counts(part, len(fans))
        seconds = [data.duration_s, *(one.duration_s for one in selections)]
        counts = [
            Counts(int(p), int(d), s) for p, d, s in zip(prompts, delayeds, seconds, strict=True)
        ]
        return cls(counts[0], counts[1:], fans)

    def randoms_scale(self, part: Counts) -> float:
        """Return the factor on the run's randoms rate for a selection."""
        if part.seconds <= 0:
            return 0.0
        if min(part.delayeds, self.run.delayeds) >= LEAST_DELAYEDS:
            return _ratio(part.delayeds, part.seconds, self.run.delayeds, self.run.seconds)
        return _ratio(part.prompts, part.seconds, self.run.prompts, self.run.seconds) ** 2

    def scatter_scale(self, part: Counts, delayed_factor: int) -> float:
        """Return the factor on the run's scatter rate for a selection."""
        run = self.run.trues_per_s(delayed_factor)
        return part.trues_per_s(delayed_factor) / run if run > 0 else 0.0

    def live_scale(self, part: Counts, run_live: float) -> float:
        """Return the live share of a selection over the run's (mean over pairs)."""
        if not 0 < run_live <= 1 or part.seconds <= 0:
            return 1.0
        lost = min((1.0 - run_live) * math.sqrt(self.randoms_scale(part)), 0.99)
        return (1.0 - lost) / run_live


def _count(
    time_ps: npt.NDArray[np.int64], selections: list[TimeSelection], into: npt.NDArray[np.int64]
) -> None:
    """Add the records of the run to ``into[0]``, those of selection k to ``into[k + 1]``."""
    into[0] += len(time_ps)
    if not len(time_ps):
        return
    first_s, last_s = float(time_ps.min()) * 1e-12, float(time_ps.max()) * 1e-12
    for number, selection in enumerate(selections, start=1):
        if len(selection.intervals_s) and selection.start_s <= last_s <= selection.end_s + (
            last_s - first_s
        ):
            into[number] += int(np.count_nonzero(selection.holds(time_ps)))


def _ratio(count: int, seconds: float, of_count: int, of_seconds: float) -> float:
    return (count / seconds) / (of_count / of_seconds) if of_count > 0 else 0.0
