"""Sorting a run's raw log again: to verify that the bits are the same, or with other settings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coincidence.sorter import SortCounts
from daq.errors import StorageError
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder import singles_log
from daq.folder.blocks import Damage
from daq.folder.calibration_set import CalibrationSet
from daq.folder.listmode_log import ListmodeHash, ListmodeReader, RecordsHash
from daq.folder.own_instrument import check_instrument
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig, check_fits, checked_settings
from daq.folder.run_folder import config_in, own_calibration, tag_in
from daq.folder.singles_log import SinglesReader
from daq.path.books import Books
from daq.path.pipeline import Pipeline
from daq.path.takers import RunTakers
from daq.replay.readmission import Readmission
from hw.messages.sort_settings import SortSettings
from hw.scanner.geometry import build_geometry
from hw.wire.block_layout import BlockKind

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Resorted:
    """The outcome of sorting a raw log again.

    counts : what the sorter counted
    summary : what the takers report, as in a run's summary: windows, TEW estimates, hashes, rates,
        ``randoms`` and ``live_time``
    damage, trouble : what of the raw log could not be read; the same in words, "" if all could
    """

    settings: SortSettings
    calibration: str
    hash: str
    counts: SortCounts
    summary: dict[str, Any]
    singles: dict[str, int]
    frames: dict[str, int]
    torn_bytes: int
    damage: Damage
    trouble: str
    closed: bool


def changed_settings(settings: SortSettings, changes: dict[str, Any]) -> SortSettings:
    """Return settings with changes; None keeps a value."""
    values = msgspec.to_builtins(settings)
    values.update({key: value for key, value in changes.items() if value is not None})
    return checked_settings(values)


def resort(
    folder: Path,
    settings: SortSettings | None = None,
    *,
    calibration: CalibrationSet | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    readmission: Readmission | None = None,
) -> Resorted:
    """Sort a run's raw log; with its own settings and calibration (None), the output equals the
    live run's bit for bit.

    Parameters
    ----------
    calibration : a set to apply, of the run's instrument or one that names none
    output : a list-mode log to write, which must not exist; windowed singles go to a singles log
        beside it, with the same name and the ending ``.tmws``
    progress : called with (bytes done, total bytes)
    threads : 1, or more to run stages in threads of their own; the output is the same
    readmission : refused frames to sort, too

    Raises
    ------
    CalibrationSetError
        where the set is of another scanner, or names another serial number than the run.
    """
    made = sort_log(
        folder,
        settings,
        calibration=calibration,
        output=output,
        progress=progress,
        threads=threads,
        readmission=readmission,
    )
    books = Books(made.pipeline, None)
    return Resorted(
        settings=made.settings,
        calibration=made.calibration,
        hash=made.takers.pairs.hash(),
        counts=made.pipeline.counts,
        summary=made.takers.summary(),
        singles=books.singles(),
        frames=books.frames(),
        torn_bytes=made.reader.torn_bytes,
        damage=made.reader.damage,
        trouble=made.reader.trouble,
        closed=made.reader.end is not None,
    )


@dataclass(frozen=True)
class SortedLog:
    """A raw log read to its end: the pipeline that sorted it, and the takers of the outcome."""

    reader: RawLogReader
    config: RunConfig
    settings: SortSettings
    calibration: str
    pipeline: Pipeline
    takers: RunTakers


def sort_log(
    folder: Path,
    settings: SortSettings | None = None,
    *,
    calibration: CalibrationSet | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    readmission: Readmission | None = None,
) -> SortedLog:
    """Sort a run's raw log as :func:`resort` does; return everything that holds the outcome.

    Parameters
    ----------
    folder : of the run
    settings : to sort with; None for those of the run
    calibration : to apply; None for the run's own
    output : the list-mode log to write, with the singles log beside it; None for none
    progress : is told bytes done and all of them
    threads : how many sort at once
    readmission : frames refused in the run that are to be sorted in; None for none
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    config, run_tag = config_in(reader.head), tag_in(reader.head)
    scanner = config.scanner()
    settings = settings or config.settings
    check_fits(settings, scanner)
    if calibration is None:
        calibration = own_calibration(folder)
    else:
        check_instrument(calibration, config.serial)
    if calibration is not None:
        calibration.check_scanner(scanner)
    head = {key: value for key, value in reader.head.items() if key != "format"}
    head["resorted"] = msgspec.to_builtins(settings)
    head["calibration"] = calibration.identity if calibration else "none"
    if readmission is not None:
        head["readmitted"] = {str(m): n for m, n in sorted(readmission.count.items())}
    _check_free(output, settings)
    geometry, stall_ps = build_geometry(scanner), int(config.stall_s * 1e12)
    takers = RunTakers(
        scanner,
        geometry,
        settings,
        stall_ps=stall_ps,
        listmode=output,
        singles=output and output.with_suffix(".tmws"),
        head=head,
    )
    pipeline = Pipeline(
        scanner,
        geometry,
        settings,
        run_tag=run_tag,
        calibration=calibration.calibration() if calibration else None,
        stall_ps=stall_ps,
        recorded=True,
    )
    batches: Iterator[list[memoryview]] = _batches(reader, folder, progress)
    if readmission is not None:
        batches = readmission.among(batches)
    for batch in pipeline.stream(batches, threads=threads):
        takers.take(batch)
    takers.take(pipeline.finish())
    takers.finish()
    counts, identity = pipeline.counts, takers.pairs.hash()
    takers.close_logs({"prompts": counts.prompts, "delayeds": counts.delayeds, "hash": identity})
    return SortedLog(reader, config, settings, head["calibration"], pipeline, takers)


def _batches(
    reader: RawLogReader, folder: Path, progress: Progress | None
) -> Iterator[list[memoryview]]:
    """Yield the raw log's data frames, reporting progress."""
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        yield frames
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)


def _check_free(output: Path | None, settings: SortSettings) -> None:
    """Refuse, before anything is written, if one of the outputs exists already."""
    paths = [] if output is None else [output]
    if output is not None and settings.singles_windows:
        paths.append(output.with_suffix(".tmws"))
    for path in paths:
        if path.exists() or paths.count(path) > 1:
            raise StorageError(
                f"{path} exists already or is meant for two logs: choose another name, "
                "for instance again.tmlm"
            )


@dataclass(frozen=True)
class Verified:
    """Whether sorting a raw log gives what was written live. ``complete``: the raw log was closed
    properly; otherwise, sorting need only begin with what was written live before it was cut off.

    trouble : which logs are damaged, in words; "" if none is
    live_hash, replay_hash : of prompts and delayeds
    live_further, replay_further : hashes of triples, singles and angles, if the run has them
    """

    identical: bool
    live_hash: str
    replay_hash: str
    live_further: dict[str, str]
    replay_further: dict[str, str]
    complete: bool
    trouble: str
    prompts: int
    delayeds: int


def verify(folder: Path, *, progress: Progress | None = None, threads: int = 1) -> Verified:
    """Sort the raw log with the run's own settings; compare bit for bit with the live logs."""
    live = ListmodeReader(folder / listmode.FILE_NAME)
    with tempfile.TemporaryDirectory(prefix="tomoshibi-verify-") as scratch:
        path = Path(scratch) / listmode.FILE_NAME
        again = resort(folder, output=path, progress=progress, threads=threads)
        limited = not again.closed
        pairs = _compare(live, ListmodeReader(path), limited=limited)
        hashes = {"triples": _further(pairs)} if again.settings.triples else {}
        if again.settings.singles_windows:
            hashes |= _compare_singles(folder, path, limited=limited)
    live_pairs, replay_pairs = pairs
    live_further = {name: found[0] for name, found in hashes.items()}
    replay_further = {name: found[1] for name, found in hashes.items()}
    return Verified(
        identical=live_pairs.hexdigest() == replay_pairs.hexdigest()
        and live_further == replay_further,
        live_hash=live_pairs.hexdigest(),
        replay_hash=replay_pairs.hexdigest(),
        live_further=live_further,
        replay_further=replay_further,
        complete=again.closed,
        trouble="; ".join(filter(None, (again.trouble, live.trouble))),
        prompts=again.counts.prompts,
        delayeds=again.counts.delayeds,
    )


def _compare(
    live: ListmodeReader, replay: ListmodeReader, *, limited: bool
) -> tuple[ListmodeHash, ListmodeHash]:
    """Return the identities of two list-mode logs; ``limited``: the replayed one's is of only as
    many records as the live one has.
    """
    first, second = ListmodeHash(), ListmodeHash()
    counts = live.take_in(first)
    replay.take_in(second, counts if limited else None)
    return first, second


def _further(pairs: tuple[ListmodeHash, ListmodeHash]) -> tuple[str, str]:
    live, replay = pairs
    return live.of(BlockKind.TRIPLES), replay.of(BlockKind.TRIPLES)


def _compare_singles(folder: Path, path: Path, *, limited: bool) -> dict[str, tuple[str, str]]:
    """Return the identities of two singles logs: of the singles, and of any angles."""
    kinds = BlockKind.SINGLES, BlockKind.ANGLES
    first, second = RecordsHash(*kinds), RecordsHash(*kinds)
    counts = SinglesReader(folder / singles_log.FILE_NAME).take_in(first)
    again = SinglesReader(path.with_suffix(".tmws"))
    found = again.take_in(second, counts if limited else None)
    return {
        kind.name.lower(): (first.of(kind), second.of(kind))
        for kind in kinds
        if kind is BlockKind.SINGLES or counts[kind] or found[kind]
    }
