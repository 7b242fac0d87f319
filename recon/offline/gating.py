"""Gating: divides a run's time by a periodic signal, such as breathing or heartbeat.

By *triggers*: each cycle, from one trigger to the next, is split into N equal gates. By *phase*
(0..1, sampled in time): gate n holds what lies in n/N..(n+1)/N. By *amplitude*: gates are bounded
by the amplitude's quantiles in time, so that all last equally long. Time outside regular cycles
(before the first trigger, after the last, cycles far from the usual length) is in no gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hw.arrays import F8
from recon.core.csv_tables import read_columns
from recon.core.frames import TimeSelection
from recon.core.grid import ReconError

Kind = Literal["trigger", "phase", "amplitude"]
MOST_GATES = 100
USUAL = (0.5, 2.0)
"""Cycles shorter or longer than these multiples of the median are rejected."""


class GateError(ReconError):
    """A gate signal cannot be used; the message says what is wrong."""


@dataclass(frozen=True)
class GateSignal:
    """A signal over time.

    times_s : (n,) f8; value : (n,) f8 phase or amplitude, linear in between; empty for triggers
    """

    kind: Kind
    times_s: F8
    value: F8

    def __post_init__(self) -> None:
        if len(self.times_s) < 2 or (np.diff(self.times_s) <= 0).any():
            raise GateError("gate signal: needs two times or more, each later than the one before")
        if self.kind == "phase" and not ((self.value >= 0) & (self.value <= 1)).all():
            raise GateError("gate signal: phases must lie in 0..1")

    @classmethod
    def load(cls, path: Path) -> GateSignal:
        """Return the signal of a CSV file: ``t_s`` (triggers), ``t_s,phase`` or
        ``t_s,amplitude``."""
        names, rows = read_columns(path)
        for kind in ("phase", "amplitude"):
            if names == ("t_s", kind):
                return cls("phase" if kind == "phase" else "amplitude", rows[:, 0], rows[:, 1])
        if names == ("t_s",):
            return cls("trigger", rows[:, 0], np.zeros(0))
        raise GateError(
            f"{path}: its first line is {','.join(names)}; it must be t_s (times of triggers), "
            "t_s,phase or t_s,amplitude"
        )

    def gates(self, count: int, *, duration_s: float) -> list[TimeSelection]:
        """Return ``count`` gates within a run of ``duration_s``."""
        if not 1 <= count <= MOST_GATES:
            raise GateError(f"{count} gates: must lie in 1..{MOST_GATES}")
        pieces = self._cycles(count) if self.kind == "trigger" else self._levels(count)
        found = [
            TimeSelection(
                f"gate {number}/{count}", joined_intervals(intervals), number, (0.0, duration_s)
            ).within(0.0, duration_s)
            for number, intervals in enumerate(pieces, start=1)
        ]
        if not any(gate.duration_s > 0 for gate in found):
            raise GateError(
                f"gate signal: its times, {self.times_s[0]:g} to {self.times_s[-1]:g} s, hold none "
                f"of the run's 0 to {duration_s:g} s: give seconds since the run's start"
            )
        return found

    def _cycles(self, count: int) -> list[F8]:
        length = np.diff(self.times_s)
        usual = np.median(length)
        kept = (length > USUAL[0] * usual) & (length < USUAL[1] * usual)
        start, length = self.times_s[:-1][kept], length[kept]
        return [
            np.stack([start + length * n / count, start + length * (n + 1) / count], 1)
            for n in range(count)
        ]

    def _levels(self, count: int) -> list[F8]:
        """Return the sampled intervals, sorted into gates by their mid value."""
        intervals = np.stack([self.times_s[:-1], self.times_s[1:]], 1)
        middle = (self.value[:-1] + self.value[1:]) / 2
        if self.kind == "phase":
            wraps = np.abs(np.diff(self.value)) > 0.5  # from the end of a cycle to the next start
            middle = np.where(wraps, self.value[:-1], middle)
            number = np.minimum((middle * count).astype(np.int64), count - 1)
        else:
            order = np.argsort(middle, kind="stable")
            reached = np.cumsum(np.diff(intervals, axis=1)[order, 0])
            number = np.empty(len(middle), dtype=np.int64)
            share = (reached - np.diff(intervals, axis=1)[order, 0] / 2) / reached[-1]
            number[order] = np.minimum((share * count).astype(np.int64), count - 1)
        return [intervals[number == n] for n in range(count)]


def joined_intervals(intervals: F8) -> F8:
    """Return the intervals with touching ones joined."""
    if not len(intervals):
        return np.zeros((0, 2))
    apart = np.flatnonzero(intervals[1:, 0] > intervals[:-1, 1] + 1e-12)
    starts = np.concatenate([intervals[:1, 0], intervals[apart + 1, 0]])
    ends = np.concatenate([intervals[apart, 1], intervals[-1:, 1]])
    return np.stack([starts, ends], 1)


def gated_frames(frames: list[TimeSelection], gates: list[TimeSelection]) -> list[TimeSelection]:
    """Return every gate of every frame."""
    if not gates:
        return frames
    return [
        TimeSelection(
            gate.name if len(frames) == 1 else f"{frame.name}, {gate.name}",
            gate.within(frame.start_s, frame.end_s).intervals_s,
            gate.gate,
            frame.asked_s,
        )
        for frame in frames
        for gate in gates
    ]
