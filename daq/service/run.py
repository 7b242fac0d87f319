"""One open run, from arming to the summary: its folder, logs and pipeline.

The folder is always new: an existing one is never written to. Its layout is in docs/file-format.md.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from daq.errors import LogError, StorageError
from daq.folder import calibration_set, refused_log, singles_log
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.blocks import BlockPlace
from daq.folder.identity.study_file import Study, read_study
from daq.folder.interruptions import Interruptions
from daq.folder.markers import Markers
from daq.folder.raw_log import RawLogReader, split_frames
from daq.folder.refused_log import RefusedFrames
from daq.folder.run_config import RunConfig, check_fits, check_orbit, versions
from daq.folder.run_folder import (
    FAULTS_NAME,
    MU_MAP_NAME,
    SUMMARY_NAME,
    armed_at,
    new_run_folder,
    own_calibration,
    run_config,
    start_recorded,
    write_json,
)
from daq.path.books import Books, sent_by
from daq.path.frame_check import (
    CheckedFrames,
    Frame,
    FrameChecker,
    Verdict,
    joined,
    recorded_frames,
)
from daq.path.gaps import Gaps, Marks, lacking
from daq.path.pipeline import Output, Pipeline
from daq.path.run_summary import UNSORTED, RunFacts, condition_of, summarise
from daq.path.takers import RunTakers
from daq.service.backlog import Backlog
from daq.service.disk_sync import DiskSync
from daq.service.load import Load
from daq.service.run_files import RunFiles, check_named_files, own_live_settings
from daq.service.watching.log_guard import LogGuard
from hw.messages.imager import ImagerReport
from hw.messages.source import SourceReport
from hw.messages.telemetry import RunCondition
from hw.physics.nuclides import nuclide_of
from hw.scanner.geometry import build_geometry
from hw.wire.protocol import FRAME_PERIOD_PS

MOST_MARKS = 1000
MOST_CONDITIONS = 100
TAIL_BYTES = 32 * 2**20
"""Of the raw log of a run that is resumed: its frames tell what each module's next one is."""


class Run:
    """An armed or running run. ``record`` writes frames to the raw log, ``sort_next`` sorts what is
    recorded; ``finish`` closes logs and books, as does ``put_away`` for a run that never started.

    live : how it is imaged now; ``config.live`` at its start
    disk : brings the raw log to the disk
    guard : brings logs back that are deleted
    backlog : what is recorded and not sorted yet
    load : what gives way where sorting cannot follow
    refused : keeps the frames that are not accepted
    unwritten : accepted frames that the disk did not take; ``record`` tries again
    newest_ps : the newest frame end recorded: the run's detector time
    study : weight, activity and the like, None where none was given
    started : when it was started, by this machine's clock: detector time 0; None before
    unsorted : why the rest is not sorted, "" while it will be
    ended_by : what ended it, "" while it goes on
    """

    def __init__(self, config: RunConfig, runs_root: Path, *, folder: Path | None = None) -> None:
        """Make the folder and both logs; raises RunError or StorageError.

        folder : an emptied one to take instead of a new one
        """
        self.config = config
        self.scanner = config.scanner()
        check_fits(config.settings, self.scanner)
        check_orbit(config.orbit, self.scanner)
        self.run_tag = config.run_tag or int.from_bytes(os.urandom(4), "little") or 1
        self.created = dt.datetime.now(dt.UTC)
        check_named_files(config)
        self.calibration = (
            calibration_set.load_set_for(Path(config.calibration), self.scanner)
            if config.calibration
            else None
        )
        self.folder = folder or new_run_folder(runs_root, config, self.scanner.name, self.created)
        self.name = self.folder.name
        self._prepare()
        head = self._head()
        self._files = RunFiles(self.folder, config, self.calibration)
        self.live = self._files.fill(head)
        self._open(rawlog.RawLogWriter(self.folder / rawlog.FILE_NAME, head), head)

    @classmethod
    def resumed(cls, folder: Path) -> Run:
        """Go on with a run whose daq died: record behind what its raw log holds, sort all of it.

        Raises
        ------
        LogError, StorageError
            if the raw log cannot be gone on with.
        """
        self = cls.__new__(cls)
        log = RawLogReader(folder / rawlog.FILE_NAME)
        self.config = run_config(folder)
        self.live = own_live_settings(folder, self.config.live)
        self.scanner = self.config.scanner()
        self.run_tag, self.calibration = int(log.head["run_tag"]), own_calibration(folder)
        self._files = RunFiles(folder, self.config, self.calibration)
        self.created = armed_at(folder) or dt.datetime.now(dt.UTC)
        self.folder, self.name = folder, folder.name
        self._prepare()
        self.started = start_recorded(folder)
        with suppress(LogError):  # a form that cannot be read keeps nobody from recording
            self.study = read_study(folder)
        writer = rawlog.RawLogWriter.reopened(folder / rawlog.FILE_NAME)  # or another one has it
        self._raw = writer
        try:
            for made_again in (listmode.FILE_NAME, singles_log.FILE_NAME):
                (folder / made_again).unlink(missing_ok=True)
            self._open(writer, {key: value for key, value in log.head.items() if key != "format"})
            self._go_on_behind(log)
        except BaseException:
            self._let_go()
            raise
        return self

    def _let_go(self) -> None:
        """Leave a run that could not be opened whole to the recovery, which wants its logs free."""
        if hasattr(self, "unsorted"):  # all was opened
            self.abandon()
            return
        if hasattr(self, "takers"):
            self.takers.abandon_logs()
        if hasattr(self, "disk"):
            self.disk.close()
        self._raw.abandon()

    def _go_on_behind(self, log: RawLogReader) -> None:
        """Put what is recorded in the backlog, and check new frames against the newest of it.

        New frames are checked by a checker of their own, which knows the log's end; what is
        recorded is checked once more where it is sorted, from the beginning, as a replay does.
        """
        places = list(log.places())
        self._recorder = FrameChecker(n_modules=self.scanner.n_modules, run_tag=self.run_tag)
        self._sorts_anew = self.pipeline.recorded = True
        for place in places:
            self.backlog.add_unloaded(place, 0)
        tail = _tail(places)
        frames = [frame for place in tail for frame in log.frames_at(place)]
        if len(tail) < len(places):
            self._recorder.begin_with(recorded_frames(b"".join(frames)).headers)
        self._note(self._recorder.check(frames, recorded=True))

    def _prepare(self) -> None:
        self.reports: list[SourceReport] = []
        self.imager: ImagerReport | None = None
        self.conditions: list[str] = []
        self.interruptions, self.markers = Interruptions(self.folder), Markers(self.folder)
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
    def suv_per_Bq_per_mL(self) -> float:
        """SUV per Bq/mL as of the start; 0 before it, or where the study or the nuclide lacks."""
        nuclide, _ = nuclide_of(self.config.labels)
        if self.study is None or self.started is None or nuclide is None:
            return 0.0
        return self.study.suv_per_Bq_per_mL(self.started, nuclide.half_life_s)

    @property
    def mu_map(self) -> Path:
        """The path of the run's µ map, if it has one."""
        return self.folder / MU_MAP_NAME

    @property
    def bytes_written(self) -> int:
        """The size of the raw log so far."""
        return self._raw.bytes_written

    @property
    def elapsed_s(self) -> float:
        """Wall time since the start: 0 before it, constant after the end."""
        if self._finished or not self._started_ns:
            return self._elapsed_s
        return (time.monotonic_ns() - self._started_ns) * 1e-9

    def start(self) -> None:
        """Record the time of the start; raises StorageError."""
        self.started = dt.datetime.now(dt.UTC)
        self._files.rewrite_config(self._head())
        self._started_ns = time.monotonic_ns()

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

    def finish(self) -> Output | None:
        """Sort what is still held, close the logs, save the tables; raises StorageError.

        Return the last coincidences, None if sorting ended before.
        """
        self._elapsed_s = self.elapsed_s
        self._finished = True
        output = None
        if not self.unsorted:
            output = self.pipeline.finish()
            self.takers.take(output)
            self.takers.finish()
        self._close_logs()
        self.takers.save(self.folder)
        return output

    def put_away(self) -> None:
        """Close a run that never started; raises StorageError.

        The folder is as after :meth:`finish`. But as nothing came, nothing is held and no kernel is
        needed, whose first use takes half a second, or several while other processes start.
        """
        self._finished = True
        self._close_logs()
        self.takers.save(self.folder)

    def _close_logs(self) -> None:
        self.disk.close()
        self.guard.end()
        books = self.books()
        end = {"frames": books.frames(), "singles": books.singles(), "hash": self.hash()}
        try:
            self._raw.close(end)
        except StorageError as error:
            if str(error) != self.disk.error:  # else: it was told, and has tainted the run
                raise
        self.refused.close()
        self.takers.close_logs({**end, **self.coincidences()})

    def abandon(self) -> None:
        """Close the logs as they are after an error; what was not written is lost, and counted."""
        if self.unwritten is not None:
            self._recorder.disown(self.unwritten)
            self.unwritten = None
        self._elapsed_s = self.elapsed_s
        self._finished = True
        self.disk.close()
        self.guard.end()
        self._raw.abandon()
        self.refused.abandon()
        self.takers.abandon_logs()

    def books(self) -> Books:
        """Return the run's books as they stand. Until the end, what the sources sent after the last
        frame received is on its way, not lost.
        """
        reports = self.reports if self._finished else []
        return Books(self.pipeline, sent_by(reports, self.scanner.n_modules))

    def hash(self) -> str:
        """Return the identity of the coincidences so far."""
        return self.takers.pairs.hash()

    def coincidences(self) -> dict[str, int]:
        """Return the sorter's counts."""
        return asdict(self.pipeline.counts)

    def counters(self) -> dict[str, int]:
        """Return every counter of the run by its full name (``hw.messages.counters``)."""
        return {
            **self.books().counters(),
            **self.coincidences(),
            "imager.undelivered": self.undelivered,
            "bytes": self.bytes_written,
        }

    def condition(self) -> RunCondition:
        """ "good", "tainted" (something was lost or odd) or "incomplete" (cut off)."""
        return condition_of(self.conditions)

    def summary(self) -> dict[str, Any]:
        """Return the run's summary; docs/file-format.md explains the keys."""
        facts = RunFacts(
            folder=self.folder,
            created=self.created.isoformat(),
            conditions=tuple(self.conditions),
            elapsed_s=self._elapsed_s,
            detector_time_s=self.newest_ps * 1e-12,
            reports=tuple(self.reports),
            imager=self.imager,
            undelivered=self.undelivered,
            load=self.load.summary(),
            refused_kept=self.refused.kept,
            refused_not_kept=self.refused.not_kept,
            interruptions=tuple(self.interruptions.all),
            markers=tuple(self.markers.all),
            ended_by=self.ended_by,
        )
        return summarise(facts, self.config, self.pipeline, self.takers, self.books())

    def write_summary(self) -> dict[str, Any]:
        """Write ``summary.json`` and return its content; if a source reported deliberate faults,
        write ``faults.json`` too. Raises StorageError.
        """
        faults = [
            msgspec.to_builtins(fault) for source in self.reports for fault in source.fault_log
        ]
        if faults:
            period_s = FRAME_PERIOD_PS * 1e-12
            write_json(self.folder / FAULTS_NAME, {"period_s": period_s, "faults": faults})
        summary = self.summary()
        write_json(self.folder / SUMMARY_NAME, summary)
        return summary


def _free_name(folder: Path) -> Path:
    """Return where refused frames go: a run that is resumed may have some already."""
    path, number = folder / refused_log.FILE_NAME, 1
    while path.exists():
        number += 1
        path = folder / f"refused-{number}.tmraw"
    return path


def _tail(places: list[BlockPlace]) -> list[BlockPlace]:
    """Return the last blocks, of at least ``TAIL_BYTES`` where there is as much."""
    size = 0
    for number in range(len(places) - 1, -1, -1):
        size += places[number].length
        if size >= TAIL_BYTES:
            return places[number:]
    return places
