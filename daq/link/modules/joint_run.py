"""One run of all modules of a link: begin it together, end it together, close its books.

The modules of an emulated detector end at its last mark, all with the same period; real ones by
STOP. A module that has not ended in time is told to, then given up. Every step is bounded, and all
together take less than the second of silence after which the daq closes a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from daq.link.modules.linked_module import LinkedModule
from hw.messages.source import SourceReport, Start
from hw.wire.protocol import FRAME_PERIOD_PS

MARK_S = 0.3
STOP_S = 0.2
REPORT_S = 0.5
PERIOD_S = FRAME_PERIOD_PS * 1e-12
_SUMS = ("hits", "below", "dead", "lost", "masked", "invalid", "discarded", "frames_dropped",
         "marks_missed", "sync_lost")  # fmt: skip


class LinkRun:
    """A run under way. Call ``advance`` often; ``ended`` says that ``report`` is complete."""

    def __init__(self, order: Start, modules: Sequence[LinkedModule], *, n_modules: int) -> None:
        self.ended = False
        self._order = order
        self._modules = modules
        self._n_modules = n_modules
        self._stop_s: float | None = None
        self._told: list[str] = []
        self._fetching: list[Future[Any]] = []
        self._fetch_until_s = math.inf
        for linked in modules:
            linked.begin_run(order.run_tag, self._periods(linked))

    def _periods(self, linked: LinkedModule) -> int:
        """Return after how many periods a module ends by itself; 0 if its detector decides."""
        if linked.port.emulated or self._order.duration_s <= 0:
            return 0
        return max(1, math.ceil(self._order.duration_s / PERIOD_S - 1e-9))

    def stop(self, now: float) -> None:
        """End the run, as ordered by Stop."""
        if self._stop_s is None:
            self._stop_s = now
            for linked in self._modules:
                if linked.run is not None:
                    linked.run.closing = True

    def advance(self, now: float) -> None:
        """Do what is due; never waits."""
        if self._fetching:
            self._finish(now)
            return
        runs = [linked.run for linked in self._modules if linked.run is not None]
        over = [run for run in runs if run.is_over]
        if over:
            self.stop(now)  # the others end with it
        if self._stop_s is None:
            return
        left = [m for m in self._modules if _goes_on(m)]
        waited = now - self._stop_s
        if not left or waited > MARK_S + 2 * STOP_S:
            self._fetch(now)
        elif waited > MARK_S + STOP_S:
            self._tell("abort", left)
        elif waited > MARK_S or not all(m.port.emulated for m in left):
            self._tell("stop", left)

    def _tell(self, command: str, modules: list[LinkedModule]) -> None:
        if command not in self._told:
            self._told.append(command)
            for linked in modules:
                linked.begin(linked.stop_run if command == "stop" else linked.abort_run)

    def _fetch(self, now: float) -> None:
        self._fetching = [linked.begin(linked.fetch_report) for linked in self._modules]
        self._fetch_until_s = now + REPORT_S

    def _finish(self, now: float) -> None:
        """Wait, bounded, until the reports and the last frames have come."""
        fetched = all(task.done() for task in self._fetching)
        complete = fetched and not any(linked.frames_missing for linked in self._modules)
        self.ended = complete or now > self._fetch_until_s

    def report(self) -> SourceReport:
        """Return the books of the run and forget it."""
        report = SourceReport(
            run_tag=self._order.run_tag,
            singles_emitted=[0] * self._n_modules,
            frames_sent=[0] * self._n_modules,
            dead_events=[0] * self._n_modules,
            hits_seen=[0] * self._n_modules,
            truth=dict.fromkeys(_SUMS, 0.0) | {"rejoined": 0.0},
        )
        for linked in self._modules:
            self._add(report, linked)
            linked.run = None
        return report

    @staticmethod
    def _add(report: SourceReport, linked: LinkedModule) -> None:
        run, m = linked.run, linked.module
        if run is None:
            return
        report.frames_sent[m], report.singles_emitted[m] = linked.close_books()
        report.hits_seen[m] = run.hits_seen
        report.truth["rejoined"] += max(0, run.joins - 1)
        if run.report is not None:
            report.dead_events[m] = int(run.report["dead"])
            for name in _SUMS:
                report.truth[name] += float(run.report[name])


def _goes_on(linked: LinkedModule) -> bool:
    """Whether a module is still in the run and can be reached."""
    run = linked.run
    return run is not None and run.joined and not run.is_over and linked.connected
