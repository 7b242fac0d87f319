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
from recon.core.frame_times import GateSlot, Source
from recon.core.frames import TimeSelection
from recon.core.grid import ReconError

Kind = Literal["trigger", "phase", "amplitude"]
_SAMPLED: tuple[Kind, ...] = ("phase", "amplitude")
MOST_GATES = 100
USUAL = (0.5, 2.0)
"""Cycles shorter or longer than these multiples of the median are rejected."""

_SAME_S = 1e-9
"""Times closer than this are the same."""


class GateError(ReconError):
    """A gate signal cannot be used; the message says what is wrong."""


@dataclass(frozen=True)
class GateSignal:
    """A signal that varies with the motion, over time.

    times_s : (n,) f8 value : (n,) f8, phase or amplitude, interpolated linearly; empty for triggers
    source : what moves; only the cycles of a cardiac signal are R-R intervals
    """

    kind: Kind
    times_s: F8
    value: F8
    source: Source = "unknown"

    def __post_init__(self) -> None:
        if len(self.times_s) < 2 or (np.diff(self.times_s) <= 0).any():
            raise GateError("gate signal: needs two times or more, each later than the one before")
        if self.kind == "phase" and not ((self.value >= 0) & (self.value <= 1)).all():
            raise GateError("gate signal: phases must lie in 0..1")

    @classmethod
    def of_triggers(cls, times_s: F8, *, source: Source = "unknown") -> GateSignal:
        """Return the signal of triggers, s since the run's start."""
        return cls("trigger", times_s, np.zeros(0), source)

    @classmethod
    def load(cls, path: Path, *, source: Source = "unknown") -> GateSignal:
        """Return the signal of a CSV file: ``t_s`` (triggers), ``t_s,phase`` or
        ``t_s,amplitude``."""
        names, rows = read_columns(path)
        for kind in _SAMPLED:
            if names == ("t_s", kind):
                return cls(kind, rows[:, 0], rows[:, 1], source)
        if names == ("t_s",):
            return cls.of_triggers(rows[:, 0], source=source)
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

    def cycles(self) -> tuple[F8, F8]:
        """Return start and end of the cycles in the gates, (n, 2), and of those left out.

        A cycle begins with a trigger, or where the phase falls back; amplitudes have none.
        """
        if self.kind == "amplitude":
            return np.zeros((0, 2)), np.zeros((0, 2))
        begins = self.times_s
        if self.kind == "phase":
            begins = self.times_s[1:][np.diff(self.value) < -0.5]
        found = np.stack([begins[:-1], begins[1:]], 1)
        usual_s = self.usual_s
        if usual_s is None:
            return found, np.zeros((0, 2))
        length = np.diff(found, axis=1)[:, 0]
        kept = (length > usual_s[0]) & (length < usual_s[1])
        return found[kept], found[~kept]

    @property
    def usual_s(self) -> tuple[float, float] | None:
        """Shortest and longest regular cycle from trigger to trigger; None if every cycle counts as
        regular.
        """
        if self.kind != "trigger":
            return None
        median_s = float(np.median(np.diff(self.times_s)))
        return USUAL[0] * median_s, USUAL[1] * median_s

    def _cycles(self, count: int) -> list[F8]:
        cycles, _ = self.cycles()
        start, length = cycles[:, 0], cycles[:, 1] - cycles[:, 0]
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


def gated_frames(
    frames: list[TimeSelection], gates: list[TimeSelection], signal: GateSignal
) -> list[TimeSelection]:
    """Return every gate of every frame, with its place in the signal's cycle."""
    if not gates:
        return frames
    return [
        TimeSelection(
            gate.name if len(frames) == 1 else f"{frame.name}, {gate.name}",
            gate.within(frame.start_s, frame.end_s).intervals_s,
            gate.gate,
            frame.asked_s,
            _slot(signal, gate, len(gates), frame, number),
        )
        for number, frame in enumerate(frames, 1)
        for gate in gates
    ]


def _slot(
    signal: GateSignal, gate: TimeSelection, of: int, frame: TimeSelection, number: int
) -> GateSlot:
    """Return where a gate lies in the cycles of a frame; those cut by its ends are counted only."""
    opened_s, closed_s = (frame.start_s, frame.end_s) if frame.duration_s > 0 else frame.asked_s
    kept, left_out = signal.cycles()
    inside = kept[(kept[:, 0] >= opened_s - _SAME_S) & (kept[:, 1] <= closed_s + _SAME_S)]
    starts_s, slots_s = _in_cycles(gate.intervals_s, inside)
    return GateSlot(
        source=signal.source,
        of=of,
        frame=number,
        opened_s=opened_s,
        closed_s=closed_s,
        cycles=_overlapping(kept, opened_s, closed_s),
        rejected=_overlapping(left_out, opened_s, closed_s),
        usual_s=signal.usual_s,
        trigger_s=float(starts_s.mean()) if len(starts_s) else None,
        slot_s=float(slots_s.mean()) if len(inside) else 0.0,
        cycle_s=float(np.diff(inside, axis=1).mean()) if len(inside) else 0.0,
    )


def _in_cycles(intervals_s: F8, cycles_s: F8) -> tuple[F8, F8]:
    """Return when the gate begins in each cycle that has it, and how long it lasts in each."""
    starts, lasts = [], []
    for start_s, end_s in cycles_s:
        first = np.searchsorted(intervals_s[:, 1], start_s + _SAME_S)
        beyond = np.searchsorted(intervals_s[:, 0], end_s - _SAME_S)
        within = np.clip(intervals_s[first:beyond], start_s, end_s)
        lasts.append(float(np.diff(within, axis=1).sum()))
        if len(within):
            starts.append(float(within[0, 0]) - start_s)
    return np.array(starts), np.array(lasts)


def _overlapping(cycles_s: F8, start_s: float, end_s: float) -> int:
    return int(((cycles_s[:, 1] > start_s) & (cycles_s[:, 0] < end_s)).sum())
