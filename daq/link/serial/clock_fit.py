"""A module's counter against this machine's monotonic clock: offset and drift, robustly.

Each beat gives a pair: the counter that the module read, and the middle of the beat's journey on
the host's clock (Cristian, *Probabilistic clock synchronization*, Distributed Computing 3, 146,
1989: those with a short round trip tell most). Delays on a busy machine are one-sided and rare, so
the straight line is Huber's M-estimate (Huber, *Robust Statistics*, 1981, chapter 7): iteratively
reweighted least squares with k = 1.345 and the scale from the median absolute deviation, started at
Theil's incomplete median of slopes (Theil 1950; Sen, J. Am. Stat. Assoc. 63, 1379, 1968). The
drift's standard error is Huber's first covariance, widened by (1 + r)/(1 − r), with r the lag-one
correlation of the residuals (the host's delays come in spells). The fit is a check only:
coincidences rely on the common clock and the SYNC pulse.

The board's counter has 32 bits, which the firmware extends to 64; the lower 32 are unwrapped here
against the host's clock, so that a board whose extension fails is followed all the same. A counter
that is off by more than 50 ms plus what the two journeys explain has leapt (the module restarted,
or a simulated one stood still): the fit starts again.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from hw.arrays import F8
from hw.wire.control import COUNTER_HZ

POINTS = 256
LEAST_POINTS = 8
LEAP_S = 0.05
_TUNING = 1.345
_MAD_TO_SIGMA = 1.4826
_WRAP = 1 << 32
_TURNS = 30


@dataclass(frozen=True)
class ClockState:
    """offset_s : how far the module's clock has moved against ours from its start until now
    drift : relative, (module − host)/host; drift_sigma : its standard error; points : used
    """

    offset_s: float
    drift: float
    drift_sigma: float
    points: int


def fit_line(x: F8, y: F8) -> tuple[float, float, float]:
    """Return (intercept, slope, slope's standard error) of y against x, robustly.

    x, y : (n,) f8, n ≥ 4, x rising
    """
    middle = float(x.mean())
    u = x - middle
    slope = _median_slope(u, y)
    level = float(np.median(y - slope * u))
    scale, weights = 0.0, np.ones_like(u)
    for _ in range(_TURNS):
        residual = y - level - slope * u
        scale = max(_MAD_TO_SIGMA * float(np.median(np.abs(residual))), 1e-12)
        weights = np.minimum(1.0, _TUNING * scale / np.maximum(np.abs(residual), 1e-300))
        before = (level, slope)
        level, slope = _weighted_line(u, y, weights)
        if abs(slope - before[1]) * np.ptp(u) + abs(level - before[0]) < 1e-4 * scale:
            break
    sigma = _slope_sigma(u, y - level - slope * u, scale)
    return level - slope * middle, slope, sigma


def _median_slope(u: F8, y: F8) -> float:
    half = len(u) // 2
    return float(np.median((y[-half:] - y[:half]) / (u[-half:] - u[:half])))


def _weighted_line(u: F8, y: F8, weights: F8) -> tuple[float, float]:
    total = weights.sum()
    u0, y0 = float(weights @ u / total), float(weights @ y / total)
    slope = float(weights @ ((u - u0) * (y - y0)) / (weights @ (u - u0) ** 2))
    return y0 - slope * u0, slope


def _slope_sigma(u: F8, residual: F8, scale: float) -> float:
    """Huber's first covariance of the slope, widened for correlated residuals."""
    n = len(u)
    clipped = np.clip(residual, -_TUNING * scale, _TUNING * scale)
    inside = float(np.mean(np.abs(residual) <= _TUNING * scale))
    correction = 1.0 + 2.0 / n * (1.0 - inside) / inside
    power = float(clipped @ clipped)
    variance = correction**2 * power / (n - 2) / inside**2 / float(((u - u.mean()) ** 2).sum())
    neighbours = float(clipped[1:] @ clipped[:-1]) / power if power > 0.0 else 0.0
    spell = min(max(neighbours, 0.0), 0.95)
    return float(np.sqrt(variance * (1.0 + spell) / (1.0 - spell)))


class ClockFit:
    """Collects beats and fits them. ``leaps`` counts how often it started again by itself."""

    def __init__(self, *, points: int = POINTS) -> None:
        self.leaps = 0
        self._points: deque[tuple[float, float, float]] = deque(maxlen=points)
        self._start_ns = 0
        self._start_count = 0

    def begin(self) -> None:
        """Forget everything: the module restarted."""
        self._points.clear()

    def add(self, sent_ns: int, received_ns: int, counter: int) -> bool:
        """Add a beat: when it was sent and its answer came (monotonic), and the counter in it.

        Returns False if the counter has leapt and the fit starts again.
        """
        middle_ns = (sent_ns + received_ns) // 2
        if not self._points:
            self._start_ns, self._start_count = middle_ns, counter
        host_s = (middle_ns - self._start_ns) * 1e-9
        count = self._unwrap(counter, host_s)
        journey_s = (received_ns - sent_ns) * 1e-9
        leap_s = abs(count / COUNTER_HZ - host_s - self._last_offset())
        if leap_s > self._bound_s(host_s, journey_s):
            self.leaps += 1
            self._points.clear()
            self.add(sent_ns, received_ns, counter)
            return False
        self._points.append((host_s, count / COUNTER_HZ - host_s, journey_s))
        return True

    def state(self) -> ClockState | None:
        """Return the fit; None if there are fewer than 8 usable beats."""
        if len(self._points) < LEAST_POINTS:
            return None
        host, offset, journey = np.array(self._points).T
        good = journey <= max(float(np.quantile(journey, 0.75)), 2.0 * float(np.median(journey)))
        if np.count_nonzero(good) < LEAST_POINTS:
            return None
        level, slope, sigma = fit_line(host[good], offset[good])
        return ClockState(level + slope * float(host[-1]), slope, sigma, int(good.sum()))

    def _last_offset(self) -> float:
        return self._points[-1][1] if self._points else 0.0

    def _bound_s(self, host_s: float, journey_s: float) -> float:
        """The middle of a journey is wrong by at most half of it; so was the last one's."""
        if not self._points:
            return math.inf
        last_s, _, last_journey_s = self._points[-1]
        return LEAP_S + 1e-3 * (host_s - last_s) + journey_s + last_journey_s

    def _unwrap(self, counter: int, host_s: float) -> int:
        """Return counts since the start; the host's clock decides the number of turns of 2^32."""
        expected = round((host_s + self._last_offset()) * COUNTER_HZ)
        low = (counter - self._start_count) % _WRAP
        turns = round((expected - low) / _WRAP)
        return int(low + turns * _WRAP)
