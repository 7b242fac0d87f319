"""One open run, from arming to the summary: its folder, logs and pipeline.

The folder is always new: an existing one is never written to. Its layout is in docs/file-format.md.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import RunError, StorageError
from daq.folder import calibration_set, singles_log
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.run_config import RunConfig, check_fits, versions
from daq.folder.run_folder import (
    ACTIVITY_NAME,
    CONFIG_NAME,
    FAULTS_NAME,
    MU_MAP_NAME,
    SCANNER_NAME,
    SUMMARY_NAME,
    new_run_folder,
    write_json,
)
from daq.folder.run_identity import draw_uids
from daq.path.books import Books, HitBooks, sent_by
from daq.path.frame_check import Frame
from daq.path.pipeline import Output, Pipeline
from daq.path.takers import RunTakers
from hw.bounded_files import (
    MOST_TEXT_BYTES,
    FileRefused,
    copy_regular,
    npz_names,
    read_object,
)
from hw.messages.imager import ImagerReport
from hw.messages.source import SourceReport
from hw.messages.telemetry import RunCondition
from hw.scanner.geometry import build_geometry
from hw.wire.protocol import FRAME_PERIOD_PS

MOST_COPIED = 1 << 30
"""Bytes of a µ map, as it lies on disk."""

MOST_MAP_BYTES = 16 << 30
"""Of a µ map's arrays; who reads them has a tighter bound, by the image's grid."""


def _check_named_files(config: RunConfig) -> None:
    """Refuse, before a folder is made, files that a command names and that are not what they
    should be: they are copied into the run, and any file could be named.
    """
    if config.mu_map:
        try:
            names = npz_names(Path(config.mu_map), most_bytes=MOST_MAP_BYTES)
        except FileRefused as error:
            raise RunError(f"µ map {config.mu_map}: {error}; no run folder was made") from error
        if "mu_per_mm" not in names:
            raise RunError(f"µ map {config.mu_map}: it holds no mu_per_mm; no run folder was made")
    if Path(config.live.activity).is_file():
        try:
            read_object(Path(config.live.activity))
        except FileRefused as error:
            raise RunError(
                f"activity {config.live.activity}: {error}; no run folder was made"
            ) from error


class Run:
    """An armed or running run. ``process`` takes frames; ``finish`` closes logs and books, as does
    ``put_away`` for a run that never started.

    live : how it is imaged now; ``config.live`` at its start
    """

    def __init__(self, config: RunConfig, runs_root: Path) -> None:
        """Make the folder and both logs; raises RunError or StorageError."""
        self.config = config
        self.live = config.live
        self.scanner = config.scanner()
        check_fits(config.settings, self.scanner)
        self.run_tag = config.run_tag or int.from_bytes(os.urandom(4), "little") or 1
        self.created = dt.datetime.now(dt.UTC)
        _check_named_files(config)
        self.calibration = (
            calibration_set.load_set_for(Path(config.calibration), self.scanner)
            if config.calibration
            else None
        )
        self.folder = new_run_folder(runs_root, config, self.scanner.name, self.created)
        self.name = self.folder.name
        self.reports: list[SourceReport] = []
        self.imager: ImagerReport | None = None
        self.conditions: list[str] = []
        self.undelivered = 0
        self.randoms_alarm = False
        self._finished = False
        self._started_ns = 0
        self._elapsed_s = 0.0
        head = self._head()
        self._write_provenance(head)
        self._raw = rawlog.RawLogWriter(self.folder / rawlog.FILE_NAME, head)
        geometry, stall_ps = build_geometry(self.scanner), int(config.stall_s * 1e12)
        self.takers = RunTakers(
            self.scanner,
            geometry,
            config.settings,
            stall_ps=stall_ps,
            listmode=self.folder / listmode.FILE_NAME,
            singles=self.folder / singles_log.FILE_NAME,
            head=head,
        )
        self.pipeline = Pipeline(
            self.scanner,
            geometry,
            config.settings,
            run_tag=self.run_tag,
            calibration=self.calibration.calibration() if self.calibration else None,
            stall_ps=stall_ps,
            raw_log=self._raw,
        )

    def _head(self) -> dict[str, Any]:
        return {
            "run": self.name,
            "run_tag": self.run_tag,
            "created": self.created.isoformat(),
            "config": msgspec.to_builtins(self.config),
            "calibration": self.calibration.identity if self.calibration else "none",
            "versions": versions(),
        }

    def _write_provenance(self, head: dict[str, Any]) -> None:
        write_json(self.folder / CONFIG_NAME, head)
        draw_uids(self.folder)
        try:
            (self.folder / SCANNER_NAME).write_text(self.config.scanner_toml, encoding="utf-8")
            if self.config.mu_map:
                copy_regular(Path(self.config.mu_map), self.mu_map, most_bytes=MOST_COPIED)
            if self.calibration:
                calibration_set.save_set(self.calibration, self.folder / calibration_set.FILE_NAME)
            if Path(self.live.activity).is_file():  # one that is not there is told by the imager
                own = self.folder / ACTIVITY_NAME
                copy_regular(Path(self.live.activity), own, most_bytes=MOST_TEXT_BYTES)
                self.live = msgspec.structs.replace(self.live, activity=str(own))
        except (OSError, FileRefused) as error:
            raise StorageError(f"cannot fill {self.folder}: {error}") from error

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
        """Record the time of the start."""
        self._started_ns = time.monotonic_ns()

    def taint(self, reason: str) -> None:
        """Record, once, why the run is not simply good."""
        if reason not in self.conditions:
            self.conditions.append(reason)

    def process(self, frames: Sequence[Frame]) -> Output:
        """Log and sort a batch of frames; raises StorageError if the disk refuses it."""
        output = self.pipeline.process(frames)
        self.takers.take(output)
        return output

    def finish(self) -> Output:
        """Process what is still held, close the logs, save the tables; raises StorageError."""
        self._elapsed_s = self.elapsed_s
        self._finished = True
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
        books = self.books()
        end = {"frames": books.frames(), "singles": books.singles(), "hash": self.hash()}
        self._raw.close(end)
        self.takers.close_logs({**end, **self.coincidences()})

    def abandon(self) -> None:
        """Close the logs as they are after an error."""
        self._elapsed_s = self.elapsed_s
        self._finished = True
        self._raw.abandon()
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
        if any(reason.startswith("incomplete") for reason in self.conditions):
            return "incomplete"
        return "tainted" if self.conditions else "good"

    def summary(self) -> dict[str, Any]:
        """Return the run's summary; docs/file-format.md explains the keys."""
        books, hits = self.books(), HitBooks(self.reports, self.scanner.n_modules)
        imager = self.imager or ImagerReport(run=self.name)
        return {
            "run": str(self.folder),
            "name": self.name,
            "created": self.created.isoformat(),
            "condition": self.condition(),
            "conditions": self.conditions,
            "elapsed_s": round(self._elapsed_s, 3),
            "detector_time_s": self.pipeline.newest_ps * 1e-12,
            "frames": books.frames(),
            "singles": books.singles(),
            **({"hits": hits.summary()} if hits.known else {}),
            **self.coincidences(),
            **({"angles": books.angles()} if self.pipeline.angles else {}),
            **self.takers.summary(),
            "images": {
                "count": imager.images,
                "rate_Hz": imager.rate_Hz,
                "latency_ms": {"p50": imager.latency_p50_ms, "p99": imager.latency_p99_ms},
                "fraction_used": imager.fraction_used,
                "prompts_used": imager.prompts_used,
                "final": imager.image_path,
            },
            "undelivered_to_imager": self.undelivered,
            "conserved": books.conserved() and hits.conserved(),
            "hash": self.hash(),
            "modules": books.per_module(),
            "source": [msgspec.to_builtins(report) for report in self.reports],
            "config": msgspec.to_builtins(self.config),
            "versions": versions(),
        }

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
