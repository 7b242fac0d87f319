"""`tomoshibi export` of a run's events as tables: Parquet, HDF5, ROOT."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, finish, tell
from daq.cli.progress import ProgressLine
from daq.errors import LogError
from daq.folder import listmode_log, singles_log
from daq.folder.listing.run_images import EXPORTS
from daq.folder.listmode_log import RecordReader, listmode_notes
from hw.wire.block_layout import BlockKind

if TYPE_CHECKING:
    from hw.arrays import Records
    from recon.exchange.tables.columns import Columns

    Block = tuple[BlockKind, Records]

SUFFIXES = {"parquet": ".parquet", "hdf5": ".h5", "root": ".root"}
STEP_PS = 1_000_000_000


def export_tables(options: argparse.Namespace, folder: Path) -> int:
    """Write the events and where the crystals are."""
    from daq.folder.run_folder import run_config
    from hw.scanner.geometry import build_geometry
    from recon.exchange.tables.columns import crystal_columns
    from recon.exchange.tables.table_files import table_file

    if options.singles:
        return _export_raw_singles(options, folder)
    config, path = run_config(folder), _path_of(options, folder)
    spect = config.scanner().modality == "SPECT"
    log = folder / (singles_log.FILE_NAME if spect else listmode_log.FILE_NAME)
    reader, counts = _reader(log, spect=spect), dict[str, int]()
    progress = ProgressLine("exporting")
    with table_file(
        options.format, path, _about(folder), main="singles" if spect else "coincidences"
    ) as tables:
        blocks = _followed(reader, log.stat().st_size, progress)
        rows = _singles(blocks) if spect else _pairs(blocks, delayeds=not options.no_delayeds)
        for table, columns in rows:
            tables.add(table, columns)
            counts[table] = counts.get(table, 0) + len(columns["time_ps"])
        tables.add("crystals", crystal_columns(build_geometry(config.scanner())))
        files = tables.paths
    progress.done()
    for note in (notes := listmode_notes(reader)):
        tell(f"note: {note}")
    result = {"run": str(folder), "files": files, "rows": counts, "notes": notes}
    words = ", ".join(f"{number} {table}" for table, number in counts.items()) or "no events"
    finish(options, result, f"{files[0]}: {words}")
    return 1 if reader.damage else 0


def _export_raw_singles(options: argparse.Namespace, folder: Path) -> int:
    """Write every single of the raw log."""
    from recon.exchange.tables.columns import crystal_columns, sent_columns
    from recon.exchange.tables.table_files import table_file
    from recon.offline.opened_run import open_run

    run, path, count = open_run(folder), _path_of(options, folder), 0
    progress = ProgressLine("exporting")
    try:
        with table_file(options.format, path, _about(folder), main="singles") as tables:
            for singles in run.raw_singles():
                tables.add("singles", sent_columns(singles))
                count += len(singles)
                progress.say(f"exporting: {count} singles")
            tables.add("crystals", crystal_columns(run.geometry))
            files = tables.paths
    except LogError as error:
        raise CommandError(str(error)) from error
    progress.done()
    result = {"run": str(folder), "files": files, "rows": {"singles": count}, "notes": []}
    finish(options, result, f"{files[0]}: {count} singles")
    return 0


def _reader(log: Path, *, spect: bool) -> RecordReader:
    from recon.offline.run_reader import remedy_for

    try:
        return (singles_log.SinglesReader if spect else listmode_log.ListmodeReader)(log)
    except LogError as error:
        raise CommandError(f"{error}; {remedy_for(log)}") from error


def _about(folder: Path) -> dict[str, str]:
    """Return what is known of the run, in words."""
    from recon.offline.kept_images.run_facts import run_facts

    facts: dict[str, Any] = run_facts(folder)
    known = {key: str(facts[key]) for key in ("run", "created", "scanner", "nuclide", "hash")
             if facts.get(key)}  # fmt: skip
    return {**known, "software": "tomoshibi", "units": "as the columns' names say"}


def _pairs(blocks: Iterable[Block], *, delayeds: bool) -> Iterator[tuple[str, Columns]]:
    """Yield prompts and delayeds together in order of time; one empty part if there are none."""
    from recon.exchange.event_parts import intervals
    from recon.exchange.tables.columns import coincidence_columns

    wanted = (BlockKind.PROMPTS, BlockKind.DELAYEDS) if delayeds else (BlockKind.PROMPTS,)
    parts = ((kind is BlockKind.DELAYEDS, records) for kind, records in blocks if kind in wanted)
    for some in intervals(parts, step_ps=STEP_PS):
        yield "coincidences", coincidence_columns(some.prompts, some.delayeds)


def _singles(blocks: Iterable[Block]) -> Iterator[tuple[str, Columns]]:
    from recon.exchange.tables.columns import angle_columns, single_columns

    for kind, records in blocks:
        if kind is BlockKind.ANGLES:
            yield "angles", angle_columns(records)
        else:
            yield "singles", single_columns(records)


def _followed(reader: RecordReader, size: int, progress: ProgressLine) -> Iterator[Block]:
    for kind, records, offset in reader.placed():
        progress(offset, max(1, size))
        yield kind, records


def _path_of(options: argparse.Namespace, folder: Path) -> Path:
    suffix = SUFFIXES[options.format]
    if options.output is not None:
        path: Path = options.output
        if not path.name or path.is_dir():
            raise CommandError(f"--output {path} is a folder: give the name of a file in it")
        return path
    name = folder.resolve().name
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    paths = (folder / EXPORTS / f"{one}{suffix}" for one in names)
    return next(one for one in paths if not one.exists())
