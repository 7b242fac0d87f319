"""Sorting a run's raw log again: the same bits (verify), or with other settings."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daq import calibration_set, listmode, rawlog
from daq.calibration_set import CalibrationSet
from daq.conservation import Books
from daq.errors import LogError
from daq.listmode import ListmodeReader, ListmodeWriter
from daq.pipeline import Pipeline
from daq.rawlog import RawLogReader
from daq.run import CONFIG_NAME
from daq.run_config import RunConfig, checked_settings
from hw.geometry import build_geometry
from hw.settings import SortSettings

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Resorted:
    """The outcome of sorting a raw log again."""

    settings: SortSettings
    calibration: str
    hash: str
    prompts: int
    delayeds: int
    multiples: int
    singles: dict[str, int]
    frames: dict[str, int]
    torn_bytes: int
    closed: bool


def run_config(folder: Path) -> RunConfig:
    """Return the configuration in a run folder; raises LogError where it is unreadable."""
    path = folder / CONFIG_NAME
    try:
        head: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(head["config"], RunConfig)
    except (OSError, ValueError, KeyError) as error:
        raise LogError(f"{path} is no run configuration: {error}") from error


def run_tag(folder: Path) -> int:
    """Return the tag that the run's data frames carry."""
    return int(RawLogReader(folder / rawlog.FILE_NAME).head["run_tag"])


def changed_settings(settings: SortSettings, changes: dict[str, Any]) -> SortSettings:
    """Return settings with changes; None leaves a value as it is."""
    values = msgspec.to_builtins(settings)
    values.update({key: value for key, value in changes.items() if value is not None})
    return checked_settings(values)


def own_calibration(folder: Path) -> CalibrationSet | None:
    """Return the calibration set that the run was sorted with, None where there was none.

    Raises
    ------
    CalibrationSetError
        where the folder's set is missing, or not the one that the raw log's head names.
    """
    named = RawLogReader(folder / rawlog.FILE_NAME).head.get("calibration", "none")
    if named == "none":
        return None
    path = folder / calibration_set.FILE_NAME
    found = calibration_set.load_set(path)
    if found.identity != named:
        raise calibration_set.CalibrationSetError(
            f"{path} is {found.identity}, but the run was sorted with {named}: put that set back"
        )
    return found


def resort(
    folder: Path,
    settings: SortSettings | None = None,
    *,
    calibration: CalibrationSet | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
) -> Resorted:
    """Sort a run's raw log; with its own settings and calibration (None) the bits are those of
    the live run.

    Parameters
    ----------
    output : a list-mode log to write, which must not exist
    progress : called with (bytes done, bytes in all)
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    config = msgspec.convert(reader.head["config"], RunConfig)
    scanner = config.scanner()
    settings = settings or config.settings
    calibration = calibration or own_calibration(folder)
    if calibration is not None:
        calibration.check_scanner(scanner)
    head = {key: value for key, value in reader.head.items() if key != "format"}
    head["resorted"] = msgspec.to_builtins(settings)
    head["calibration"] = calibration.identity if calibration else "none"
    writer = ListmodeWriter(output, head) if output else None
    pipeline = Pipeline(
        scanner,
        build_geometry(scanner),
        settings,
        run_tag=reader.head["run_tag"],
        calibration=calibration.calibration() if calibration else None,
        stall_ps=int(config.stall_s * 1e12),
        listmode=writer,
    )
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        pipeline.process(frames)
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
    pipeline.finish()
    result = _outcome(pipeline, settings, head["calibration"], reader)
    if writer is not None:
        writer.close({"prompts": result.prompts, "delayeds": result.delayeds, "hash": result.hash})
    return result


def _outcome(
    pipeline: Pipeline, settings: SortSettings, identity: str, reader: RawLogReader
) -> Resorted:
    books, counts = Books(pipeline, None), pipeline.sorter.counts
    return Resorted(
        settings=settings,
        calibration=identity,
        hash=pipeline.digest.hexdigest(),
        prompts=counts.prompts,
        delayeds=counts.delayeds,
        multiples=counts.multiples,
        singles=books.singles(),
        frames=books.frames(),
        torn_bytes=reader.torn_bytes,
        closed=reader.end is not None,
    )


@dataclass(frozen=True)
class Verified:
    """Whether a raw log sorts to what was written live. ``complete``: the raw log was closed well;
    otherwise what was written live before it was cut off must be where the sorting begins."""

    identical: bool
    live_hash: str
    replay_hash: str
    complete: bool
    prompts: int
    delayeds: int


def verify(folder: Path, *, progress: Progress | None = None) -> Verified:
    """Sort the raw log with the run's own settings and compare to the bit with the live log."""
    live = ListmodeReader(folder / listmode.FILE_NAME)
    with tempfile.TemporaryDirectory(prefix="tomoshibi-verify-") as scratch:
        path = Path(scratch) / listmode.FILE_NAME
        again = resort(folder, output=path, progress=progress)
        replay = ListmodeReader(path)
        live_hash, counts = live.digest()
        replay_hash, _ = replay.digest(None if again.closed else counts)
    return Verified(
        identical=live_hash == replay_hash,
        live_hash=live_hash,
        replay_hash=replay_hash,
        complete=again.closed,
        prompts=again.prompts,
        delayeds=again.delayeds,
    )
