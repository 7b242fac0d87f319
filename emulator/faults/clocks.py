"""Modules whose clock has lost SYNC: their times drift from the scanner's until it returns.

A clock that runs fast by x ppm is x·10⁻⁶·t ahead at time t after losing SYNC, and is right again as
soon as SYNC returns. The module cuts its data frames by its own clock: if fast, what it sees at the
end of a frame goes into the next one; if slow, what it sees at the beginning of a frame still goes
into the one before, which is therefore made one slice later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from emulator.faults.schedule import FaultSchedule
from emulator.slices import SliceHits
from hw.wire.protocol import FRAME_PERIOD_PS


class Clocks:
    """The module clocks of one run, from its schedule of faults."""

    def __init__(self, schedule: FaultSchedule, modules: int) -> None:
        self._schedule = schedule
        self._modules = modules
        self._slices: Iterator[SliceHits] = iter(())
        self._peeked: list[SliceHits] = []

    def stream(self, slices: Iterable[SliceHits]) -> Iterator[SliceHits]:
        """Yield the slices; ``shift`` each before requesting the next."""
        self._slices = iter(slices)
        while True:
            yield self._peeked.pop() if self._peeked else next(self._slices)

    def shift(self, hits: SliceHits) -> SliceHits:
        """Return the slice as the modules' clocks cut it, with the times that they show.

        While a clock is slow, one extra slice is drawn from the stream.
        """
        shifted = self._shown(hits)
        if (self._errors_ps(hits.index + 1) < 0).any():
            following = next(self._slices)
            shifted, rest = _give_back(shifted, following, self._shown(following))
            self._peeked.append(rest)
        times = shifted.hits["time_ps"]
        if shifted is not hits and len(times) and times.min() < 0:
            np.maximum(times, 0, out=times)  # an order came after the slice before had left
        return shifted

    def _shown(self, hits: SliceHits) -> SliceHits:
        """Return the slice with the times that the clocks show; some may be below 0."""
        rates = self._rates(hits.index)
        if not rates.any():
            return hits
        errors_ps = self._errors_ps(hits.index)
        shown = hits.hits.copy()
        module, time_ps = shown["module"], shown["time_ps"]
        shown["time_ps"] += np.rint(errors_ps[module] + rates[module] * time_ps).astype(np.int64)
        return replace(hits, hits=shown)

    def _rates(self, period: int) -> npt.NDArray[np.float64]:
        """Return the fraction by which each module's clock runs fast in a period, (modules,) f8."""
        rates = np.zeros(self._modules)
        for entry in self._schedule.on(period, "clock_drift"):
            rates[entry.modules] += entry.fault.amounts["ppm"] * 1e-6
        return rates

    def _errors_ps(self, period: int) -> npt.NDArray[np.float64]:
        """Return how far each module's clock is ahead at the start of a period, (modules,) f8."""
        errors = np.zeros(self._modules)
        for entry in self._schedule.on(period, "clock_drift"):
            error = entry.fault.amounts["ppm"] * 1e-6 * (period - entry.begin) * FRAME_PERIOD_PS
            errors[entry.modules] += error
        return errors


def _give_back(
    hits: SliceHits, following: SliceHits, shown: SliceHits
) -> tuple[SliceHits, SliceHits]:
    """Move hits that the next slice, as ``shown``, has before its start to the slice before."""
    early = shown.hits["time_ps"] < 0
    moved = shown.hits[early]
    moved["time_ps"] += FRAME_PERIOD_PS
    joined = replace(hits, hits=np.concatenate([hits.hits, moved]))
    rest = replace(following, hits=following.hits[~early])
    if len(following.labels):
        labels = following.labels[early]
        labels["time_ps"] += FRAME_PERIOD_PS
        joined = replace(joined, labels=np.concatenate([hits.labels, labels]))
        rest = replace(rest, labels=following.labels[~early])
    return joined, rest
