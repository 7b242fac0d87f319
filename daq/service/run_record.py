"""What is recorded of an open run, and what is sorted of that.

Frames are checked and written to the raw log; which of them are on the disk and which lack is known
by module; they are sorted from there.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from daq.folder import calibration_set, refused_log, singles_log
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.identity.study_file import Study
from daq.folder.interruptions import Interruptions
from daq.folder.markers import Markers
from daq.folder.raw_log import split_frames
from daq.folder.refused_log import RefusedFrames
from daq.folder.run_config import RunConfig, versions
from daq.folder.signals.signal_file import Signals
from daq.path.frame_check import (
    CheckedFrames,
    Frame,
    Verdict,
    joined,
)
from daq.path.gaps import Gaps, Marks, lacking
from daq.path.pipeline import Output, Pipeline
from daq.path.run_summary import UNSORTED
from daq.path.takers import RunTakers
from daq.service.backlog import Backlog
from daq.service.disk_sync import DiskSync
from daq.service.load import Load
from daq.service.run_files import RunFiles
from daq.service.watching.log_guard import LogGuard
from hw.messages.imager import ImagerReport
from hw.messages.live_settings import LiveSettings
from hw.messages.source import SourceReport
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.wire.protocol import FRAME_PERIOD_PS

MOST_MARKS = 1000
MOST_CONDITIONS = 100


class RunRecord:
    """A run's logs and what works on them; :class:`daq.service.run.Run` makes their folder.

    disk : brings the raw log to the disk
    guard : brings logs back that are deleted
    backlog : what is recorded and not sorted yet
    load : what gives way where sorting cannot follow
    refused : keeps the frames that are not accepted
    unwritten : accepted frames that the disk did not take; ``record`` tries again
    newest_ps : the newest frame end recorded: the run's detector time
    unsorted : why the rest is not sorted, "" while it will be
    """

    config: RunConfig
    scanner: Scanner
    run_tag: int
    created: dt.datetime
    calibration: calibration_set.CalibrationSet | None
    folder: Path
    name: str
    live: LiveSettings
    _files: RunFiles

    def _prepare(self) -> None:
        self.reports: list[SourceReport] = []
        self.imager: ImagerReport | None = None
        self.conditions: list[str] = []
        self.interruptions, self.markers = Interruptions(self.folder), Markers(self.folder)
        self.signals = Signals(self.folder)
        self.undelivered = 0
        self.ended_by = ""
        self.randoms_alarm = False
        self.started: dt.datetime | None = None
        self.study: Study | None = None
        self._finished = False
        self._started_ns = 0
        self._elapsed_s = 0.0
        self.newest_ps = 0
        self._gaps = Gaps(self.scanner.n_modules)
        nothing = np.full((self.scanner.n_modules, 2), -1, dtype=np.int64)
        self._marks: deque[tuple[int, Marks]] = deque([(0, nothing)])

    def _open(self, raw: rawlog.RawLogWriter, head: dict[str, Any]) -> None:
        """Make all that works on the raw log; raises StorageError."""
        self._raw = raw
        geometry, stall_ps = build_geometry(self.scanner), int(self.config.stall_s * 1e12)
        self.takers = RunTakers(
            self.scanner,
            geometry,
            self.config.settings,
            stall_ps=stall_ps,
            listmode=self.folder / listmode.FILE_NAME,
            singles=self.folder / singles_log.FILE_NAME,
            head=head,
        )
        self.pipeline = Pipeline(
            self.scanner,
            geometry,
            self.config.settings,
            run_tag=self.run_tag,
            calibration=self.calibration.calibration() if self.calibration else None,
            stall_ps=stall_ps,
        )
        self._recorder, self._sorts_anew = self.pipeline.checker, False
        self.disk = DiskSync(raw.file)
        self.guard = LogGuard([raw.file, *self.takers.files], restore=self._restore_files)
        self.backlog = Backlog(raw.file)
        self.load = Load()
        self.refused = RefusedFrames(_free_name(self.folder), head)
        self.unwritten: CheckedFrames | None = None
        self.unsorted = ""

    def _head(self) -> dict[str, Any]:
        return {
            "run": self.name,
            "run_tag": self.run_tag,
            "created": self.created.isoformat(),
            **({"started": self.started.isoformat()} if self.started else {}),
            "config": msgspec.to_builtins(self.config),
            "calibration": self.calibration.identity if self.calibration else "none",
            "versions": versions(),
        }

    def _restore_files(self) -> list[str]:
        """Make again what the folder held beside its logs and is gone or changed; return it."""
        if not self.folder.is_dir():
            return []  # its logs come first
        wrong = self._files.wrong()
        if wrong:
            self.live = self._files.fill(self._head())
        return sorted(wrong)

    @property
    def bytes_written(self) -> int:
        """The size of the raw log so far."""
        return self._raw.bytes_written

    def taint(self, reason: str) -> None:
        """Record, once, why the run is not simply good."""
        if reason not in self.conditions and len(self.conditions) < MOST_CONDITIONS:
            self.conditions.append(reason)

    def withdraw(self, reason: str) -> None:
        """Take back a reason that has turned out not to hold."""
        if reason in self.conditions:
            self.conditions.remove(reason)

    @property
    def all_ended(self) -> bool:
        """Whether every module's LAST frame is recorded."""
        return bool(self._recorder.links["ended"].all())

    @property
    def next_sequences(self) -> npt.NDArray[np.int64]:
        """The number that each module's next frame has, (modules,) i8."""
        return np.asarray(self._recorder.links["next_sequence"])

    @property
    def newest_periods(self) -> npt.NDArray[np.int64]:
        """The period of each module's newest frame, (modules,) i8; -1 for none."""
        return np.asarray(self._recorder.links["last_frame_id"])

    def expect(self, period: int) -> None:
        """Expect sources that come back to go on at a period."""
        self._recorder.expect(period)

    def record(self, frames: Sequence[Frame]) -> None:
        """Check frames and append them to the raw log, from which they are sorted later.

        Raises
        ------
        StorageError
            if the disk takes nothing now: what it did not take is kept in ``unwritten``, and is
            written first with the next call.
        """
        before = self._recorder.verdicts.copy()
        checked = self._recorder.check(frames)
        if self._sorts_anew:  # its own checker never sees those that are refused here
            refused = self._recorder.verdicts - before
            refused[Verdict.ACCEPTED] = 0
            self.pipeline.checker.verdicts += refused
        self.refused.keep(checked.refused, time.monotonic_ns())
        if self.unwritten is not None:
            checked = joined(self.unwritten, checked)
        if not len(checked):
            return
        self.unwritten = checked
        place = self._raw.append(checked.payload, frames=len(checked))
        self.unwritten = None
        self._note(checked)
        if not self.unsorted:
            self.backlog.add(checked, place, self.newest_ps)

    def _note(self, recorded: CheckedFrames) -> None:
        """Note how far the recorded frames come, in time and of each module."""
        if not len(recorded):
            return
        newest_period = int(recorded.headers["frame_id"].max()) + 1
        self.newest_ps = max(self.newest_ps, newest_period * FRAME_PERIOD_PS)
        self._note_marks()

    def _note_marks(self) -> None:
        mark = self.bytes_written, self.recorded_marks
        if len(self._marks) < MOST_MARKS:
            self._marks.append(mark)
        else:
            self._marks[-1] = mark

    def ask_again(self) -> list[list[int]]:
        """Return, by module, the numbers that lack between others and are to be asked for now."""
        was_open = self._gaps.open
        wanted = self._gaps.look(self._recorder.links)
        if was_open and self.unwritten is None:
            self._note_marks()  # what was asked for in vain holds nothing up, though nothing comes
        return wanted

    def take_on_disk(self) -> Marks | None:
        """Return each module's newest (sequence, period) that is on the disk and has no gap before
        it, if that is news.
        """
        news = None
        while self._marks and self._marks[0][0] <= self.disk.synced_bytes:
            news = self._marks.popleft()[1]
        return news

    @property
    def recorded_marks(self) -> Marks:
        """Each module's newest (sequence, period) in the raw log without a gap before it,
        (modules, 2) i8; -1 for none.
        """
        return self._gaps.marks(self._recorder.links)

    @property
    def lacking(self) -> list[set[int]]:
        """By module, the numbers that lack in the raw log and may still come."""
        return lacking(self._recorder.links)

    def sort_next(self) -> Output:
        """Sort the oldest batch recorded; raises StorageError if a log cannot be written."""
        checked = self.backlog.take()
        if self._sorts_anew:
            checked = self.pipeline.check(split_frames(checked.payload))
        output = self.pipeline.sort(checked)
        self.takers.take(output)
        return output

    def leave_unsorted(self, why: str) -> None:
        """Sort no more: recording goes on, and the raw log can be sorted later."""
        self.unsorted = why
        self.backlog.clear()
        self.taint(f"{UNSORTED} ({why}): `tomoshibi recover` sorts it")

    def process(self, frames: Sequence[Frame]) -> list[Output]:
        """Record and sort a batch of frames at once; raises StorageError."""
        self.record(frames)
        return [self.sort_next() for _ in range(len(self.backlog))]


def _free_name(folder: Path) -> Path:
    """Return where refused frames go: a run that is resumed may have some already."""
    path, number = folder / refused_log.FILE_NAME, 1
    while path.exists():
        number += 1
        path = folder / f"refused-{number}.tmraw"
    return path
