"""Emulated time against the wall clock: when a period may leave, and how late it is.

Real time never skips: where the Monte Carlo or the receiver is too slow, emulated time falls
behind, the lag is told, and the activity stays what it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Pacer:
    """Paces periods of equal length from the moment it is made."""

    def __init__(
        self,
        period_s: float,
        *,
        real_time: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lag_s = 0.0
        self.max_lag_s = 0.0
        self._period_s = period_s
        self._real_time = real_time
        self._clock = clock
        self._start_s = clock()

    def wait_s(self, period: int) -> float:
        """Return how long to wait until this period has ended on the wall clock (0: it has)."""
        if not self._real_time:
            return 0.0
        return max(0.0, self._due_s(period) - self._clock())

    def sent(self, period: int) -> None:
        """Note that the period has left; updates ``lag_s`` and ``max_lag_s``."""
        if self._real_time:
            self.lag_s = max(0.0, self._clock() - self._due_s(period))
            self.max_lag_s = max(self.max_lag_s, self.lag_s)

    def _due_s(self, period: int) -> float:
        return self._start_s + (period + 1) * self._period_s
