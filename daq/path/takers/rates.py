"""Rates in detector time: over the last second for displays; mean and peak for the summary.

:class:`Recent` keeps totals for a while, so that the counts of the last seconds can be given.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from daq.path.pipeline import Output, Taker
from hw.messages.sort_settings import SortSettings

Counts = npt.NDArray[np.int64]
_SPAN_PS = 1_000_000_000_000


class RateMeter:
    """Computes rates from running totals at watermarks; ``trues`` is prompts − randoms."""

    def __init__(self) -> None:
        self._window: deque[tuple[int, dict[str, float]]] = deque([(0, {})])
        self._peak: dict[str, float] = {}
        self._rates: dict[str, float] = {}

    def observe(self, watermark_ps: int, **totals: float) -> None:
        """Add the totals at a watermark; one that has not advanced is ignored."""
        if watermark_ps <= self._window[-1][0]:
            return
        self._window.append((watermark_ps, totals))
        while len(self._window) > 2 and self._window[1][0] <= watermark_ps - _SPAN_PS:
            self._window.popleft()
        (begin_ps, before), (end_ps, after) = self._window[0], self._window[-1]
        seconds = (end_ps - begin_ps) * 1e-12
        self._rates = _with_trues({k: (n - before.get(k, 0)) / seconds for k, n in after.items()})
        if end_ps - begin_ps >= 0.9 * _SPAN_PS:
            for key, rate in self._rates.items():
                self._peak[key] = max(self._peak.get(key, 0.0), rate)

    def rates(self) -> dict[str, float]:
        """Return the rates per second over the last second of detector time."""
        return self._rates

    def summary(self) -> dict[str, dict[str, float]]:
        """Return ``mean`` over the run and ``peak`` of any one second, per second.

        For a run shorter than a second, the peak is the mean.
        """
        end_ps, totals = self._window[-1]
        seconds = max(end_ps * 1e-12, 1e-12)
        mean = _with_trues({key: n / seconds for key, n in totals.items()})
        peak = {key: self._peak.get(key, rate) for key, rate in mean.items()}
        return {
            "mean": {key: round(rate, 2) for key, rate in mean.items()},
            "peak": {key: round(rate, 2) for key, rate in peak.items()},
        }


class ModuleMeter:
    """Counts per second of each module over about the last second of detector time."""

    def __init__(self, n_modules: int) -> None:
        self._window: deque[tuple[int, Counts]] = deque([(0, np.zeros(n_modules, np.int64))])

    def observe(self, time_ps: int, totals: Counts) -> None:
        """Add totals per module; they are kept at most ten times a second."""
        if time_ps < self._window[-1][0] + _SPAN_PS // 10:
            return
        self._window.append((time_ps, totals.copy()))
        while len(self._window) > 2 and self._window[1][0] <= time_ps - _SPAN_PS:
            self._window.popleft()

    def rates(self) -> npt.NDArray[np.float64]:
        """Return counts per second per module."""
        (begin_ps, before), (end_ps, after) = self._window[0], self._window[-1]
        seconds = max((end_ps - begin_ps) * 1e-12, 1e-12)
        return np.asarray((after - before) / seconds)


class RunRates(Taker):
    """The rates of a run, and each module's singles."""

    def __init__(self, n_modules: int, settings: SortSettings) -> None:
        self._meter, self._modules = RateMeter(), ModuleMeter(n_modules)
        self._factor = settings.delayed_factor
        self._prompts = self._delayeds = 0

    def take(self, output: Output) -> None:
        progress = output.progress
        self._prompts += len(output.prompts)
        self._delayeds += len(output.delayeds)
        self._meter.observe(
            progress.watermark_ps,
            singles=int(progress.decoded.sum()),
            accepted=progress.accepted,
            windowed=progress.windowed,
            prompts=self._prompts,
            randoms=self._delayeds / self._factor,
        )
        self._modules.observe(progress.newest_ps, progress.decoded)

    def now(self) -> dict[str, float]:
        """Return the rates per second over the last second of detector time."""
        return self._meter.rates()

    def of_modules(self) -> list[float]:
        """Return the singles per second of each module over the last second."""
        return [float(rate) for rate in self._modules.rates()]

    def summary(self) -> dict[str, Any]:
        return {"rates": self._meter.summary()}


def _with_trues(rates: dict[str, float]) -> dict[str, float]:
    return {**rates, "trues": rates.get("prompts", 0.0) - rates.get("randoms", 0.0)}


T = TypeVar("T")


class Recent(Generic[T]):
    """Snapshots of totals by detector time; ``span_ps / step_ps`` bounds the memory.

    span_ps : how far back they are kept
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
        """Return the snapshot about ``span_ps`` before the last one, and the last one."""
        newest = self._kept[-1]
        since = newest[0] - span_ps
        older = [kept for kept in self._kept if kept[0] <= since]
        return (older[-1] if older else self._kept[0]), newest
