"""How a run ends: stopped, given up or never started.

Every way leaves a folder with closed logs, a journal and a summary that says how it ended. Nothing
here waits: stopping advances turn by turn (:mod:`daq.service.life.closing`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from daq.errors import DaqError, StorageError
from daq.path.run_summary import UNSORTED
from daq.service.imager_link import has_image
from daq.service.life.closing import Closing
from daq.service.life.run_parts import RunParts
from daq.service.run import Run
from hw.free_memory import give_back_free_memory
from hw.messages.source import Stop
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice


class RunEnd(RunParts):
    """running → stopping → closed; to error, and back to idle."""

    def stop(self) -> None:
        """Begin to close a running run; does nothing if that has begun already."""
        self.require("running", "stopping")
        if self.state == "running":
            self._begin_closing(notice("end.command"))

    def hurry(self) -> bool:
        """The process must exit: close what is open, quickly; return whether that is done."""
        if self.state == "running":
            self._begin_closing(notice("end.leaving"))
            self._closing.hurry()
        elif self.state == "armed":
            self._discard("the daq was told to leave")
        elif self.state == "stopping":
            self._closing.hurry()
        return self.state in ("idle", "closed", "error")

    def _begin_closing(self, why: JournalLine) -> None:
        """Ask the sources to finish; :meth:`supervise` does the rest."""
        self.enter("stopping", why)
        self.journal.tell(notice("run.stopping", why=why))
        self._open_run().ended_by = why.text
        self._sources.send_all(Stop())
        imager_works = has_image(self._open_run()) and self._imager.present
        self._closing = Closing(
            time.monotonic(), sources=self._sources.expected, imager=imager_works
        )

    def _advance_closing(self, now: float) -> None:
        run, closing = self._open_run(), self._closing
        try:
            if not closing.drained:
                if closing.drain_is_over(run, now, last_data_s=self._watch.last_data_s):
                    closing.drained_at(now)
            elif not closing.sorted:
                if closing.sorting_is_over(run, now):
                    closing.sorted_at(now)
                    self._finish(run)
            elif closing.imager_is_done(run, now):
                self._close(run)
        except DaqError as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.fail(f"internal error in closing, please report: {error!r}")

    def _finish(self, run: Run) -> None:
        if run.backlog:
            self._recording.end_sorting(run, "the daq had to leave")
        self._recording.guard(run)
        last = run.finish()
        if last is not None:
            self._pass_on(run, last)
        self._imager.end(run)
        self._events.end()
        run.write_summary()  # of all but the image, which may be waited for long

    def _close(self, run: Run) -> None:
        for words in self._watch.last_words(run):
            self.journal.tell(notice("run.last_losses", words=words))
        self._judge_books(run)
        summary = run.write_summary()
        books = notice("books.close" if summary["conserved"] else "books.do_not_close")
        self.journal.tell(
            notice(
                "run.closed", run=run.name, recorded=_yield(summary), books=books,
                condition=notice(f"condition.{summary['condition']}"),
            )
        )  # fmt: skip
        if run.newest_ps:
            size = sum(path.stat().st_size for path in run.folder.iterdir() if path.is_file())
            self.last_bytes_per_s = size / (run.newest_ps * 1e-12)
        self.enter("closed", self.told or self.reason)
        give_back_free_memory()
        self._end(True, str(run.folder))
        self.manifests.begin(run.folder)

    def _judge_books(self, run: Run) -> None:
        """Taint a run whose sums do not close, or whose sources did not all say what they sent."""
        if run.unsorted:
            return
        expected = max(self._closing.sources, self._sources.expected)
        if (missing := expected - len(run.reports)) > 0:
            line = notice("books.no_report", missing=missing, expected=expected)
            self.journal.tell(line)
            run.taint(line.text)
        if not run.reports or missing > 0:
            return
        for words in run.books().open_sums():
            self.journal.tell(notice("books.open", sum=words))
            run.taint(f"the books do not close: {words}")

    def _end(self, well: bool, words: str) -> None:
        self.journal.close()
        self.alarms.run_is_over()
        self._on_end(well, words)

    def fail(self, reason: str) -> None:
        """Latch an error: the run ends here, with everything before it safe."""
        self.journal.tell(notice("run.failed", why=reason))
        self.latch(reason)
        self._attempt("stopping the sources", lambda: self._sources.send_all(Stop()))
        if (run := self.run) is not None:
            run.taint(f"incomplete: {reason}")
            run.taint(f"{UNSORTED} (the run ended by an error): `tomoshibi recover` sorts it")
            self._attempt("closing the logs", run.abandon)
            self._attempt("telling the imager", lambda: self._imager.end(run))
            self._attempt("telling subscribers", self._events.end)
            self._write_last_summary(run)
        self._end(False, reason)

    def _attempt(self, what: str, step: Callable[[], object]) -> None:
        """Take a step of giving a run up; one that fails is told and keeps no other from it."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.journal.tell(notice("step.failed", step=what, why=repr(error)))

    def reset(self) -> None:
        """Give up an armed run, or leave a closed or failed one: idle again."""
        self.require("armed", "closed", "error")
        if self.state == "armed":
            self._discard("reset")
        else:
            self.enter("idle")
        self.run = None

    def _discard(self, why: str) -> None:
        """Close an armed run that never started; its folder remains, with the reason."""
        run = self._open_run()
        run.taint(f"incomplete: never started ({why})")
        try:
            run.put_away()
        except StorageError as error:
            self.journal.tell(notice("disk.fails", words=error))
        self._write_last_summary(run)
        self.journal.tell(notice("run.unstarted", run=run.name, why=why))
        self.journal.close()
        self.enter("idle")

    def _write_last_summary(self, run: Run) -> None:
        try:
            run.write_summary()
        except StorageError as error:
            self.journal.tell(notice("disk.fails", words=f"no summary either: {error}"))
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.journal.tell(notice("defect", where="no summary either", error=repr(error)))


def _yield(summary: dict[str, Any]) -> JournalLine | str:
    """Describe what a run recorded: pairs, or singles in windows."""
    if summary["config"]["settings"]["window_ps"]:
        prompts, delayeds = summary["prompts"], summary["delayeds"]
        return notice("run.pairs", prompts=prompts, delayeds=delayeds)
    return ", ".join(f"{name} {count}" for name, count in summary["windows"].items())
