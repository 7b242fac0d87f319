"""What a run's sources report and do: fall silent, speak again, come back anew."""

from __future__ import annotations

import math
import time

from daq.service.data_sources import Source
from daq.service.life.run_end import RunEnd
from daq.service.run import Run
from daq.service.told_by_sources import misfit, report_lines
from daq.service.watching.silence import DATA_S, silences
from hw.messages.source import SourceReport, Start
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.protocol import FRAME_PERIOD_PS

LOST = "incomplete: a source was lost during the run"

MODULE_ENTRIES = 200
"""Of what link processes report, in 10 s: a fault of all modules at once has an entry for each."""


class RunSources(RunEnd):
    """The sources' part in a run, from its start to their reports."""

    def take_report(self, report: SourceReport) -> str:
        """Keep a source's report if it is about the open run; one of a failure ends the run.

        Returns why it is refused, "" if it is not.
        """
        run = self.run
        if run is None or report.run_tag != run.run_tag:
            return ""  # of a run that was put away
        if why := misfit(report, scanner=run.scanner.name, modules=run.scanner.n_modules):
            return why
        run.reports.append(report)
        for line in report_lines(report):
            self.journal.tell(line)
        if report.failed:
            run.taint(f"incomplete: {report.failed}")
            if self.state == "running":
                self._begin_closing(notice("end.gave_up", why=report.failed))
        return ""

    @property
    def hears(self) -> bool:
        """Whether data come in a run; before it and once its modules have ended, none need to."""
        run = self.run
        if run is None or self.state in ("idle", "armed") or run.all_ended:
            return True
        return time.monotonic() - self._watch.last_data_s <= DATA_S

    def silent(self) -> dict[str, float]:
        """Return what should be heard in the run and is not, with for how long in s."""
        run, imager_s = self._open_run(), self._imager.silent_s
        return silences(
            run,
            data_s=time.monotonic() - self._watch.last_data_s,
            sources=self._sources.taking_part(),
            imager_s=imager_s if imager_s < run.elapsed_s else math.inf,  # it was there in this run
        )

    def came_too_late(self, tag: int) -> bool:
        """Whether a source came in mid-run and sends another run, or none."""
        return self.state == "running" and tag != self._open_run().run_tag

    def source_lost(self, source: Source) -> None:
        """Record that a source has fallen silent; the run lacks only what one of its own sent."""
        self.journal.tell(notice("source.lost", kind=source.hello.kind))
        if self._sources.takes_part(source) and self.state == "running":
            self._lost.append(source)
            self._open_run().taint(LOST)

    def source_back(self, source: Source) -> None:
        """Record that a silent source of the run speaks again: the books say what it lacks, if
        anything, since frames and hits are numbered.
        """
        if self.run is None or source not in self._lost:
            return
        self._lost.remove(source)
        self.journal.tell(notice("source.back", kind=source.hello.kind))
        if not self._lost:
            self.run.withdraw(LOST)

    def module_news(self, line: JournalLine) -> None:
        """Journal what a link process reports of its modules; an alarm taints the run."""
        self.journal.tell(line, kind="modules", burst=MODULE_ENTRIES)
        if line.severity == "alarm" and self.state == "running":
            self._open_run().taint(f"a module's fault: {line.text}")

    def take_back(self) -> None:
        """Start sources that came back into the run, once their predecessors are lost."""
        run = self.run
        if run is None or self.state != "running":
            return
        away_s = max(0.0, time.monotonic() - self._watch.last_data_s)
        first = int((run.newest_ps * 1e-12 + away_s) / (FRAME_PERIOD_PS * 1e-12)) + 1
        order = order_of(run, first_period=first)
        for source in self._sources.start_late(order):
            run.expect(first)
            values = {"kind": source.hello.kind, "away_s": f"{away_s:.1f}"}
            self.journal.tell(notice("source.restarted", **values))
            run.interruptions.add(
                at_s=run.newest_ps * 1e-12,
                away_s=away_s,
                why=notice("gap.source", kind=source.hello.kind),
            )
            run.taint("incomplete: a source was restarted, what its predecessor sent is not known")


def order_of(run: Run, *, first_period: int = 0) -> Start:
    """Return the order by which sources begin a run, or come back into it."""
    return Start(
        run_tag=run.run_tag,
        duration_s=run.config.duration_s,
        folder=str(run.folder.resolve()),
        orbit=run.config.orbit,
        first_period=first_period,
    )
