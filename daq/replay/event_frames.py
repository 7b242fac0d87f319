"""Data frames of events that come about in order, as modules would send them.

Time 0 is the earliest of the first events. A period stays open until one ``HOLD`` periods later has
begun: what comes later still is lost by its module, and counted there. Events need no order within
that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from daq.errors import ImportDataError
from hw.arrays import I8
from hw.messages.source import SourceReport
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import (
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_OVERFLOW,
    FRAME_PERIOD_LOG2,
    FRAME_PERIOD_PS,
    FRAME_PERIOD_TICKS,
    MAX_EVENTS,
    pack_words,
)

MOST_PERIODS = 2**32
HOLD = 3
"""15.7 ms: measured lists of CAEN's went back by up to 0.9 ms."""


class EventFrames:
    """Makes a run's frames from events, and knows what was sent.

    Parameters
    ----------
    n_modules, run_tag : of the scanner, and of the run
    gap_s : longest time without events; each module sends empty frames then
    duration_s : the run ends with the period that holds it; 0: with the events
    stopped : asked before each period; True ends the run with it
    """

    def __init__(
        self,
        *,
        n_modules: int,
        run_tag: int,
        gap_s: float,
        duration_s: float = 0.0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        period_s = FRAME_PERIOD_PS * 1e-12
        most = max(1, math.ceil(duration_s / period_s - 1e-9)) if duration_s > 0 else MOST_PERIODS
        self._last, self._stopped = most - 1, stopped
        self._n, self._run_tag = n_modules, run_tag
        self._most_ahead = round(gap_s * 1e12) // FRAME_PERIOD_PS
        self._start: int | None = None
        self._open: list[I8] = []
        self._period = self._newest = 0
        self.sent = np.zeros(n_modules, np.int64)
        self.frames = 0
        self._lost = np.zeros(n_modules, np.int64)
        self.late = 0

    def take(self, ticks: I8, module: I8, crystal: I8, energy_dkeV: I8) -> Iterator[bytes]:
        """Take events in; yield the frames of periods that are complete by them.

        Raises
        ------
        ImportDataError
            at a time that is further ahead than ``gap_s``.
        """
        if not len(ticks):
            return
        if self._start is None:
            self._start = int(ticks.min())
        ticks = ticks - self._start
        period = ticks >> FRAME_PERIOD_LOG2
        newest = int(period.max())
        if newest - self._newest > self._most_ahead:
            raise ImportDataError(
                f"an event {newest * FRAME_PERIOD_PS * 1e-12:.6g} s after the first, where "
                f"{self._newest * FRAME_PERIOD_PS * 1e-12:.6g} s was the newest: damaged, or a "
                "pause, which --gap allows"
            )
        late = period < self._period
        self.late += int(late.sum())
        self._lost += np.bincount(module[late], minlength=self._n)
        self._open.append(np.stack([ticks, module, crystal, energy_dkeV])[:, ~late])
        self._newest = max(self._newest, newest)
        yield from self._close_until(min(self._newest - HOLD, self._last))

    @property
    def done(self) -> bool:
        """Whether all but the last period was sent."""
        return self._period >= self._last or self._stopped()

    def end(self) -> Iterator[bytes]:
        """Yield the frames of what is left; the last ones have the flag LAST. A run that was
        stopped ends with the present period."""
        yield from self._close_until(min(self._newest, self._last))
        yield from self._close_until(self._period + 1, last=True)

    def report(self, failed: str = "", **truth: float) -> SourceReport:
        """Return the report of what was sent; ``truth``: more to say."""
        return SourceReport(
            run_tag=self._run_tag,
            singles_emitted=self.sent.tolist(),
            frames_sent=[self.frames] * self._n,
            dead_events=[0] * self._n,
            failed=failed,
            truth=truth,
        )

    def _close_until(self, period: int, *, last: bool = False) -> Iterator[bytes]:
        """Yield the frames of all periods before one."""
        events = np.concatenate(self._open or [np.empty((4, 0), np.int64)], axis=1)
        begun = events[0] >> FRAME_PERIOD_LOG2
        now, self._open = events[:, begun < period], [events[:, begun >= period]]
        key = (now[0] >> FRAME_PERIOD_LOG2) * self._n + now[1]
        order = np.argsort(key, kind="stable")
        now, key = now[:, order], key[order]
        for number in range(self._period, period):
            if self._stopped() and not last:
                break
            edges = np.searchsorted(key, number * self._n + np.arange(self._n + 1))
            for module in range(self._n):
                chosen = now[:, edges[module] : edges[module + 1]]
                yield self._frame(module, number, chosen, last=last and number == period - 1)
            self.frames += 1
            self._period = number + 1

    def _frame(self, module: int, period: int, events: I8, *, last: bool) -> bytes:
        self._lost[module] += max(0, events.shape[1] - MAX_EVENTS)
        ticks, _, crystal, energy_dkeV = events[:, :MAX_EVENTS]
        words = pack_words(
            time_ticks=ticks & (FRAME_PERIOD_TICKS - 1), crystal=crystal, energy_dkeV=energy_dkeV
        )
        lost = int(self._lost[module])
        flags = (FLAG_FIRST if self.frames == 0 else 0) | (FLAG_LAST if last else 0)
        header = new_header(
            module, self.frames, period, run_tag=self._run_tag, lost_events=lost,
            events_before=int(self.sent[module]), flags=flags | (FLAG_OVERFLOW if lost else 0),
        )  # fmt: skip
        self._lost[module] = 0
        self.sent[module] += len(words)
        return seal_frame(header, words)
