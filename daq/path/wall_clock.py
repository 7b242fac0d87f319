"""When, on the wall clock, events of a detector time happened."""

from __future__ import annotations

from collections import deque

_SPAN_NS = 1_000_000_000


class WallClock:
    """Converts detector time to wall time, as well as arrivals allow.

    A data frame cannot arrive before the period that it covers has ended, so ``arrival − frame
    end`` is never below the true offset of the two clocks; its smallest value over the last second
    is the estimate. It follows a source whose time runs slow within a second.
    """

    def __init__(self) -> None:
        self._minima: deque[tuple[int, int]] = deque()  # (arrival_ns, offset_ns), offsets rising

    def observe(self, *, arrival_ns: int, frame_end_ps: int) -> None:
        """Record that data up to ``frame_end_ps`` arrived at ``arrival_ns``."""
        offset = arrival_ns - frame_end_ps // 1000
        while self._minima and self._minima[-1][1] >= offset:
            self._minima.pop()
        self._minima.append((arrival_ns, offset))
        while self._minima[0][0] < arrival_ns - _SPAN_NS:
            self._minima.popleft()

    def wall_ns(self, time_ps: int) -> int:
        """Return the CLOCK_MONOTONIC time at which detector time ``time_ps`` was; 0 if unknown."""
        return self._minima[0][1] + time_ps // 1000 if self._minima else 0

    def time_ps(self, wall_ns: int) -> int | None:
        """Return the detector time at a CLOCK_MONOTONIC time, too late by the data's least way from
        module to daq; None if unknown."""
        return (wall_ns - self._minima[0][1]) * 1000 if self._minima else None
