"""A run folder of coincidences sorted elsewhere: no raw log, no singles, no books.

It holds ``run.json``, ``uids.json``, ``scanner.toml``, ``listmode.tmlm`` and ``summary.json``
(docs/file-format.md) and can be reconstructed, exported and tapped like any other; it cannot be
sorted again or verified, and live times are not known.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import ImportDataError
from daq.folder import listmode_log as listmode
from daq.folder.listmode_log import ListmodeHash, ListmodeWriter
from daq.folder.run_config import RunConfig, check_fits, versions
from daq.folder.run_folder import (
    CONFIG_NAME,
    SCANNER_NAME,
    SUMMARY_NAME,
    new_run_folder,
    write_json,
    write_text,
)
from daq.folder.run_identity import draw_uids
from hw.arrays import Records
from hw.wire.block_layout import BlockKind

NO_SINGLES = "imported coincidences: no raw log, no singles, live times are not known"


def write_coincidence_run(
    config: RunConfig,
    runs_root: Path,
    parts: Iterable[tuple[bool, Records]],
    *,
    created: dt.datetime | None = None,
    reached_s: Callable[[], float] = lambda: 0.0,
    notes: Callable[[], list[str]] = list,
) -> dict[str, Any]:
    """Write a run of coincidences and return its summary; on failure, nothing is left behind.

    Parameters
    ----------
    parts : pairs of whether they are delayeds, and ``COINCIDENCE`` records, each kind in order of
        time
    reached_s : called after the last part: how far the measurement went, beyond its last event
    notes : called after the last part: notes to record beside ``NO_SINGLES``

    Raises
    ------
    RunError, StorageError, ImportDataError
    """
    scanner = config.scanner()
    check_fits(config.settings, scanner)
    created = created or dt.datetime.now(dt.UTC)
    folder = new_run_folder(runs_root, config, scanner.name, created)
    try:
        return _fill(folder, config, scanner.n_crystals, parts, created, (reached_s, notes))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fill(
    folder: Path,
    config: RunConfig,
    n_crystals: int,
    parts: Iterable[tuple[bool, Records]],
    created: dt.datetime,
    ending: tuple[Callable[[], float], Callable[[], list[str]]],
) -> dict[str, Any]:
    head = {
        "run": folder.name,
        "run_tag": 0,
        "created": created.isoformat(),
        "config": msgspec.to_builtins(config),
        "calibration": "none",
        "versions": versions(),
    }
    write_json(folder / CONFIG_NAME, head)
    draw_uids(folder)
    write_text(folder / SCANNER_NAME, config.scanner_toml)
    writer = ListmodeWriter(folder / listmode.FILE_NAME, head)
    digest, counts, last_ps = ListmodeHash(), [0, 0], 0
    try:
        for delayed, records in parts:
            if not len(records):
                continue
            if int(records["crystal_b"].max()) >= n_crystals:
                raise ImportDataError(f"crystal {records['crystal_b'].max()} of {n_crystals}")
            kind = BlockKind.DELAYEDS if delayed else BlockKind.PROMPTS
            writer.append(kind, records)
            digest.add(kind, records)
            counts[delayed] += len(records)
            last_ps = max(last_ps, int(records["time_ps"].max()))
        identity = digest.hexdigest()
        writer.close({"prompts": counts[0], "delayeds": counts[1], "hash": identity})
    finally:
        writer.abandon()
    reached_s, notes = ending
    summary = {
        "run": str(folder),
        "name": folder.name,
        "created": head["created"],
        "condition": "good",
        "conditions": [NO_SINGLES, *notes()],
        "detector_time_s": max(reached_s(), last_ps * 1e-12),
        "singles": {"received": 0},
        "prompts": counts[0],
        "delayeds": counts[1],
        "images": {"count": 0},
        "conserved": False,
        "hash": identity,
        "config": head["config"],
        "versions": head["versions"],
    }
    write_json(folder / SUMMARY_NAME, summary)
    return summary
