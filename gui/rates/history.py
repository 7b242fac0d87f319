"""The last two minutes of the rates, evenly sampled, for the strip charts.

A ring of fixed size: a console that is open for a month holds as much as after two minutes. Time
without telemetry is a gap (NaN), never bridged by a line.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SPAN_S = 120.0
STEP_S = 0.25
RATE_NAMES = ("accepted", "prompts", "randoms", "trues")


class RateHistory:
    """Rates in k/s at ``STEP_S`` spacing over ``SPAN_S``."""

    def __init__(self, names: tuple[str, ...] = RATE_NAMES) -> None:
        size = int(SPAN_S / STEP_S) + 1
        self._names = names
        self._values = np.full((size, len(names)), np.nan)
        self.times_s: npt.NDArray[np.float64] = np.linspace(-SPAN_S, 0.0, size)
        self._next_s = -np.inf
        self.began_s: float | None = None

    def add(self, now_s: float, rates: dict[str, float] | None) -> bool:
        """Take a sample if one is due (None: no data); return whether it was taken."""
        if now_s < self._next_s:
            return False
        if self.began_s is None and rates is not None:
            self.began_s = now_s
        steps = 1 if self._next_s == -np.inf else 1 + int((now_s - self._next_s) / STEP_S)
        self._next_s = now_s + STEP_S if self._next_s == -np.inf else self._next_s + steps * STEP_S
        self._shift(min(steps, len(self._values)))
        if rates is not None:
            self._values[-1] = [rates.get(name, np.nan) / 1000.0 for name in self._names]
        return True

    def _shift(self, steps: int) -> None:
        self._values[:-steps] = self._values[steps:].copy()
        self._values[-steps:] = np.nan

    def of(self, name: str) -> npt.NDArray[np.float64]:
        """Return the samples of one rate in k/s, oldest first; NaN if there were none."""
        return self._values[:, self._names.index(name)]

    def highest(self, *names: str) -> float:
        """Return the highest sample of these rates in k/s, 0 if there is none."""
        values = [self.of(name) for name in names]
        finite = np.concatenate(values)
        finite = finite[np.isfinite(finite)]
        return float(finite.max()) if finite.size else 0.0
