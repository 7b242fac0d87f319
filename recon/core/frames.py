"""Parts of a run's time: frames of any length, and gates made of many short intervals.

Both are a :class:`TimeSelection`: half-open intervals [start, end) of detector time since the run's
start. A frame is one interval; a gate of a periodic motion has one interval per cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hw.arrays import Records
from recon.core.frame_times import GateSlot
from recon.core.grid import ReconError

PS_PER_S = 1e12
MOST_S = 9e6
"""Times are int64 in ps."""

MOST_FRAMES, MOST_DIGITS = 2000, 18


class FrameError(ReconError):
    """Impossible frames; the message says which, and what is allowed."""


@dataclass(frozen=True)
class TimeSelection:
    """Intervals of a run's time.

    intervals_s : (n, 2) f8, start and end of each, in order of time, without overlap
    gate : gate number from 1, or None for a whole frame
    asked_s : start and end as requested; the run may be shorter
    slot : of a gate, its place in the signal's cycle
    """

    name: str
    intervals_s: npt.NDArray[np.float64]
    gate: int | None = None
    asked_s: tuple[float, float] = (0.0, 0.0)
    slot: GateSlot | None = None

    @classmethod
    def frame(cls, start_s: float, end_s: float, *, name: str = "") -> TimeSelection:
        """Return the selection of one interval."""
        intervals = np.array([[start_s, end_s]])
        return cls(name or f"{start_s:g}-{end_s:g} s", intervals, asked_s=(start_s, end_s))

    @property
    def start_s(self) -> float:
        """Start of the first interval."""
        return float(self.intervals_s[0, 0]) if len(self.intervals_s) else 0.0

    @property
    def end_s(self) -> float:
        """End of the last interval."""
        return float(self.intervals_s[-1, 1]) if len(self.intervals_s) else 0.0

    @property
    def duration_s(self) -> float:
        """Total time of all intervals."""
        return float(np.diff(self.intervals_s, axis=1).sum())

    def holds(self, time_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which of these times lie within an interval, (n,) bool."""
        edges_s = np.minimum(self.intervals_s.reshape(-1), MOST_S)
        edges = np.rint(edges_s * PS_PER_S).astype(np.int64)
        return np.asarray(np.searchsorted(edges, time_ps, side="right") % 2 == 1)

    def take(self, records: Records) -> Records:
        """Return the records whose ``time_ps`` lies within an interval."""
        inside = self.holds(records["time_ps"])
        return records if inside.all() else records[inside]

    def within(self, start_s: float, end_s: float) -> TimeSelection:
        """Return the part that lies between two times."""
        cut = np.clip(self.intervals_s, start_s, end_s)
        return replace(self, intervals_s=cut[cut[:, 1] > cut[:, 0]])


def parse_frames(text: str) -> tuple[tuple[float, float], ...]:
    """Return (start, end) in s of frames written as ``10x60s,5x120s`` or ``0:60,60:300``.

    Lengths follow on from the run's start; the unit is ``s`` (may be omitted) or ``min``.
    """
    frames: list[tuple[float, float]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if ":" in part:
            start, _, end = part.partition(":")
            frames.append((_seconds(start, part), _seconds(end, part)))
        else:
            count, times, length = part.rpartition("x")
            if times and not (count.strip().isdecimal() and len(count) < MOST_DIGITS):
                raise FrameError(f'frames: {part!r} is neither "10x60s" nor "0:60" (s)')
            for _ in range(int(count) if times else 1):
                start_s = frames[-1][1] if frames else 0.0
                frames.append((start_s, start_s + _seconds(length, part)))
                if len(frames) > MOST_FRAMES:
                    raise FrameError(f"frames: more than {MOST_FRAMES}: {text!r}")
    check_frames(frames)
    return tuple(frames)


def check_frames(frames: list[tuple[float, float]] | tuple[tuple[float, float], ...]) -> None:
    """Refuse frames that are not finite, empty in time, unordered or overlapping."""
    if not frames:
        raise FrameError('frames: none given; write "10x60s,5x120s" or "0:60,60:300"')
    for start_s, end_s in frames:
        if not (math.isfinite(end_s) and 0.0 <= start_s < end_s):
            raise FrameError(f"frames: {start_s:g}:{end_s:g} s must have 0 ≤ start < end")
    for (_, end_s), (start_s, _) in pairwise(frames):
        if start_s < end_s - 1e-9:
            raise FrameError(
                f"frames: one starts at {start_s:g} s, before the one before ends ({end_s:g} s); "
                "frames must follow each other"
            )


def frame_selections(
    frames: tuple[tuple[float, float], ...], *, duration_s: float
) -> tuple[list[TimeSelection], list[str]]:
    """Return the frames as selections, cut at the run's end, and a note of what was cut.

    Without frames, the whole run is one frame. A frame beyond the run's end is kept, but empty.
    """
    if not frames:
        return [TimeSelection.frame(0.0, duration_s, name="whole run")], []
    notes, found = [], []
    for number, (start_s, end_s) in enumerate(frames, start=1):
        whole = TimeSelection.frame(start_s, end_s)
        kept = whole.within(0.0, duration_s)
        if kept.duration_s < whole.duration_s - 1e-6:
            notes.append(
                f"frame {number} ({start_s:g}-{end_s:g} s) reaches beyond the run's end at "
                f"{duration_s:g} s: {kept.duration_s:g} s of it are used"
            )
        found.append(kept)
    return found, notes


def _seconds(text: str, part: str) -> float:
    text = text.strip()
    scale = 60.0 if text.endswith("min") else 1.0
    try:
        return float(text.removesuffix("min").removesuffix("s")) * scale
    except ValueError as error:
        raise FrameError(f'frames: {part!r} is neither "10x60s" nor "0:60" (s)') from error
