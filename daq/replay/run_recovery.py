"""Repairs a run that died: what is recorded is sorted, counted and summed up as if it had been
closed.

The raw log is what a run is made of. A torn tail, of which nothing was acknowledged, is cut off.
The logs, tables and summary that are made from it are written anew, beside the old ones, which they
replace when all are complete. A recovery that is killed can be repeated.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import LogError, RunError
from daq.folder import listmode_log, raw_log, singles_log
from daq.folder.blocks import is_being_written
from daq.folder.interruptions import read_interruptions
from daq.folder.journal import Journal
from daq.folder.listing.manifest import write_manifest
from daq.folder.markers import Markers
from daq.folder.one_at_a_time import alone
from daq.folder.raw_log import RawLogReader, RawLogWriter
from daq.folder.run_folder import CONFIG_NAME, SUMMARY_NAME, armed_at, run_config, write_json
from daq.path.books import Books, sent_by
from daq.path.run_summary import UNSORTED, RunFacts, summarise
from daq.replay.sort_again import Progress, SortedLog, sort_log
from hw.bounded_files import FileRefused, read_object
from hw.messages.imager import ImagerReport
from hw.messages.source import SourceReport
from hw.notices.catalogue import notice

_SCRATCH = ".recover-"
KEPT = "before-recovery-"
"""In front of the names of logs that were sorted before the raw log was damaged."""

CUT_OFF = "incomplete: the acquisition ended before it closed the run, which was recovered"


@dataclass(frozen=True)
class Recovered:
    """What was done to a run.

    torn_bytes : cut off the raw log's end
    added : prompts that the list-mode log did not have
    trouble : what of the raw log cannot be read, in words; "" if all can
    """

    folder: Path
    torn_bytes: int
    added: int
    trouble: str
    summary: dict[str, Any]

    def words(self) -> str:
        """Return it in words."""
        torn = f"{self.torn_bytes} torn bytes cut off, " if self.torn_bytes else ""
        return (
            f"recovered: {torn}{self.summary['detector_time_s']:.1f} s sorted, "
            f"{self.summary['prompts']} prompts ({self.added} that were not in the list)"
            + (f"; {self.trouble}" if self.trouble else "")
        )


def needs_recovery(folder: Path) -> str:
    """Return why a run needs recovery, "" if it does not; one that is being recorded does not."""
    log = folder / raw_log.FILE_NAME
    if not (folder / CONFIG_NAME).is_file() or not log.is_file() or is_being_written(log):
        return ""
    summary = _summary_of(folder)
    if not summary:
        return "it was never closed"
    unsorted = any(words.startswith(UNSORTED) for words in summary.get("conditions", []))
    return "not all of it is sorted" if unsorted else ""


def unfinished(runs: Path) -> list[Path]:
    """Return the runs in a folder that need recovery, oldest first."""
    found = [path.parent for path in runs.glob(f"*/{CONFIG_NAME}") if needs_recovery(path.parent)]
    return sorted(found, key=lambda folder: (folder / CONFIG_NAME).stat().st_mtime)


def open_runs(runs: Path) -> dict[int, Path]:
    """Return the runs in a folder that were never closed, by the tag of their data frames."""
    found = {}
    for folder in unfinished(runs):
        if _summary_of(folder):  # it ended by an error, or was not sorted: not to be gone on with
            continue
        log = folder / raw_log.FILE_NAME
        with suppress(LogError, KeyError, ValueError):
            reader = RawLogReader(log)
            if not reader.closed:
                found[int(reader.head["run_tag"])] = folder
    return found


def recover(folder: Path, *, progress: Progress | None = None, threads: int = 1) -> Recovered:
    """Repair a run.

    Raises
    ------
    RunError
        for a run that needs none, is being recorded, or is being recovered already.
    LogError
        if the raw log is missing or none of it can be read.
    StorageError
        if the disk does not take it; the run is then as it was.
    """
    busy = (
        f"{folder.name} is being recovered by another process, such as the acquisition, which does "
        "so by itself, or archived: wait until it is done"
    )
    with alone(folder, busy=busy):
        return _recover(folder, progress=progress, threads=threads)


def _recover(folder: Path, *, progress: Progress | None, threads: int) -> Recovered:
    log = folder / raw_log.FILE_NAME
    if is_being_written(log):
        raise RunError(f"{folder} is being recorded: stop the run first")
    if not needs_recovery(folder):
        raise RunError(f"{folder.name} was closed properly: there is nothing to recover")
    before = _prompts_in(folder)
    with _scratch(folder) as scratch:
        made = sort_log(folder, output=scratch / listmode_log.FILE_NAME, progress=progress,
                        threads=threads)  # fmt: skip
        made.takers.save(scratch)
        summary = _summary(folder, made)
        _close_raw_log(folder, made, summary)
        if made.reader.damage:
            _keep(folder)
        _replace(folder, scratch)
    write_json(folder / SUMMARY_NAME, summary)
    write_manifest(folder)
    added = summary["prompts"] - before
    done = Recovered(folder, made.reader.torn_bytes, added, made.reader.trouble, summary)
    journal = Journal()
    journal.open(folder)
    if CUT_OFF in summary["conditions"]:
        ends_s = summary["detector_time_s"]
        journal.tell(notice("run.never_closed", ends_s=f"{ends_s:.3f}"))
    if lost := summary["frames"]["lost"]:  # the last second's may not have been told
        journal.tell(notice("run.frames_lost", count=lost))
    journal.add("info", done.words())
    journal.close()
    return done


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    for left in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    scratch = folder / f"{_SCRATCH}{os.getpid()}"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _summary(folder: Path, made: SortedLog) -> dict[str, Any]:
    old = _summary_of(folder)
    reports = _reports(old)
    conditions = [w for w in old.get("conditions", []) if not w.startswith(UNSORTED)]
    conditions = [w for w in conditions if not w.startswith(f"incomplete: {raw_log.FILE_NAME} is")]
    cut_off = made.reader.end is None or made.reader.end.get("recovered", False)
    if cut_off and CUT_OFF not in conditions:
        conditions.append(CUT_OFF)
    if made.reader.damage:
        conditions.append(f"incomplete: {made.reader.trouble}")
    created = armed_at(folder)
    facts = RunFacts(
        folder=folder,
        created=created.isoformat() if created else "",
        conditions=tuple(conditions),
        elapsed_s=float(old.get("elapsed_s") or made.pipeline.newest_ps * 1e-12),
        detector_time_s=made.pipeline.newest_ps * 1e-12,
        reports=reports,
        imager=_images(folder, old),
        undelivered=int(old.get("undelivered_to_imager") or 0),
        interruptions=tuple(read_interruptions(folder)),
        markers=tuple(Markers(folder).all),
        ended_by=str(old.get("ended_by") or ""),
    )
    books = Books(made.pipeline, sent_by(list(reports), len(made.pipeline.links)))
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {**summarise(facts, run_config(folder), made.pipeline, made.takers, books),
            "recovered": now}  # fmt: skip


def _reports(old: dict[str, Any]) -> tuple[SourceReport, ...]:
    try:
        return tuple(msgspec.convert(old.get("source", []), list[SourceReport]))
    except msgspec.ValidationError:
        return ()


def _images(folder: Path, old: dict[str, Any]) -> ImagerReport:
    told = old.get("images") or {}
    return ImagerReport(
        run=folder.name,
        images=int(told.get("count") or 0),
        fraction_used=float(told.get("fraction_used") or 0.0),
        prompts_used=int(told.get("prompts_used") or 0),
        image_path=str(told.get("final") or ""),
    )


def _close_raw_log(folder: Path, made: SortedLog, summary: dict[str, Any]) -> None:
    """Cut off a torn tail and write the end block, unless the log was closed."""
    if made.reader.end is not None:
        return
    log = RawLogWriter.reopened(folder / raw_log.FILE_NAME)
    log.close({key: summary[key] for key in ("frames", "singles", "hash")} | {"recovered": True})


def _replace(folder: Path, scratch: Path) -> None:
    """Put what was made in place of what was there."""
    singles = (scratch / listmode_log.FILE_NAME).with_suffix(".tmws")
    if singles.exists():
        singles.rename(scratch / singles_log.FILE_NAME)
    for path in sorted(scratch.iterdir()):
        path.replace(folder / path.name)


def _keep(folder: Path) -> None:
    """Keep what was sorted live from a raw log that is damaged now: it may hold more."""
    for name in (listmode_log.FILE_NAME, singles_log.FILE_NAME):
        kept = folder / f"{KEPT}{name}"
        if (folder / name).exists() and not kept.exists():
            (folder / name).rename(kept)


def _prompts_in(folder: Path) -> int:
    with suppress(LogError):
        reader = listmode_log.ListmodeReader(folder / listmode_log.FILE_NAME)
        return reader.digest()[1].get(listmode_log.KINDS["prompts"], 0)
    return 0


def _summary_of(folder: Path) -> dict[str, Any]:
    try:
        return read_object(folder / SUMMARY_NAME)
    except (OSError, FileRefused):
        return {}
