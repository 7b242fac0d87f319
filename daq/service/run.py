"""One open run, from arming to the summary: its folder, logs and pipeline.

The folder is always new: an existing one is never written to. Its layout is in docs/file-format.md.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import LogError, StorageError
from daq.folder import calibration_set, singles_log
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.blocks import BlockPlace
from daq.folder.identity.study_file import read_study
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig, check_fits, check_orbit
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
from daq.path.frame_check import FrameChecker, recorded_frames
from daq.path.pipeline import Output
from daq.path.run_summary import RunFacts, condition_of, summarise
from daq.service.run_files import RunFiles, check_named_files, own_live_settings
from daq.service.run_record import RunRecord
from hw.messages.telemetry import RunCondition
from hw.physics.nuclides import nuclide_of
from hw.wire.protocol import FRAME_PERIOD_PS

TAIL_BYTES = 32 * 2**20
"""Of the raw log of a run that is resumed: its frames tell what each module's next one is."""


class Run(RunRecord):
    """An armed or running run. ``record`` writes frames to the raw log, ``sort_next`` sorts what is
    recorded; ``finish`` closes logs and books, as does ``put_away`` for a run that never started.

    live : how it is imaged now; ``config.live`` at its start
    study : weight, activity and the like, None where none was given
    started : when it was started, by this machine's clock: detector time 0; None before
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
        self.signals.close()
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
        self.signals.close()
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
            signals=tuple(self.signals.summary()),
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


def _tail(places: list[BlockPlace]) -> list[BlockPlace]:
    """Return the last blocks, of at least ``TAIL_BYTES`` where there is as much."""
    size = 0
    for number in range(len(places) - 1, -1, -1):
        size += places[number].length
        if size >= TAIL_BYTES:
            return places[number:]
    return places
