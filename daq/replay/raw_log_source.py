"""A raw log as a source: sends its data frames again, in the order in which they came.

The new run's coincidences equal the old run's bit for bit (:mod:`daq.replay.paced_source`).
"""

from __future__ import annotations

import os
from pathlib import Path

from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig
from daq.path.frame_check import FrameChecker
from daq.replay.paced_source import PacedSource
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, SourceReport, Start


class ReplaySource(PacedSource):
    """Sends one run's raw log."""

    def __init__(
        self, folder: Path, config: RunConfig, endpoints: Endpoints, *, speed: float = 1.0
    ) -> None:
        """Attach to the daq at ``endpoints``; ``speed``: seconds of the run a second, or inf."""
        self._path = folder / rawlog.FILE_NAME
        scanner = config.scanner()
        self._modules = scanner.n_modules
        hello = Hello(
            kind="replay",
            scanner=scanner.name,
            modules=self._modules,
            pid=os.getpid(),
            serial=config.serial,
        )
        super().__init__(hello, endpoints, speed=speed)

    def play(self, order: Start) -> None:
        """Send the log and report."""
        checker = FrameChecker(n_modules=self._modules, run_tag=order.run_tag)
        self._begin()
        log = RawLogReader(self._path)
        for frames in log:
            for frame in frames:
                self._wait_until_due(frame)
                if self._ended or not self._send(frame):
                    break
                checker.check([frame], recorded=True)
        self._link.beat.running = False
        self._link.report(_report(checker, order.run_tag, log.trouble))


def _report(checker: FrameChecker, run_tag: int, trouble: str) -> SourceReport:
    """Return the report: sent are the log's frames and those that its gaps show as lost earlier."""
    links = checker.links
    return SourceReport(
        run_tag=run_tag,
        singles_emitted=[int(n) for n in links["words_base"] + links["next_word"]],
        frames_sent=[int(n) for n in links["frames_base"] + links["next_sequence"]],
        dead_events=[int(n) for n in links["dead_events"]],
        failed=trouble,
    )
