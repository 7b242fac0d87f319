"""Running totals remembered for a while, so that what came in the last seconds can be told."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Snapshots of totals by detector time; memory is bounded by ``span_ps / step_ps``.

    span_ps : how far back it remembers
    step_ps : least time between snapshots
    """

    def __init__(self, start: T, *, span_ps: int, step_ps: int) -> None:
        self._span_ps = span_ps
        self._step_ps = step_ps
        self._kept: deque[tuple[int, T]] = deque([(0, start)])

    def due(self, time_ps: int) -> bool:
        """Whether a snapshot at this time would be kept."""
        return time_ps >= self._kept[-1][0] + self._step_ps

    def add(self, time_ps: int, totals: T) -> None:
        """Take a snapshot, if one is due."""
        if not self.due(time_ps):
            return
        self._kept.append((time_ps, totals))
        while len(self._kept) > 2 and self._kept[1][0] <= time_ps - self._span_ps:
            self._kept.popleft()

    def ends(self, span_ps: int) -> tuple[tuple[int, T], tuple[int, T]]:
        """Return the last snapshot and the one about ``span_ps`` before it, that first."""
        newest = self._kept[-1]
        since = newest[0] - span_ps
        older = [kept for kept in self._kept if kept[0] <= since]
        return (older[-1] if older else self._kept[0]), newest
