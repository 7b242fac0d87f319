"""The catalogue of runs: an SQLite index over the run folders, rebuilt whenever it is in doubt.

The folders are the record; the index is a cache. ``refresh`` brings it up to date by looking at
which folders changed, so that runs copied in or deleted by hand are noticed.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from daq.run import CONFIG_NAME, SUMMARY_NAME

FILE_NAME = "runs.sqlite"
_COLUMNS = (
    "name TEXT PRIMARY KEY, created TEXT, scanner TEXT, condition TEXT, detector_time_s REAL, "
    "singles INTEGER, prompts INTEGER, delayeds INTEGER, images INTEGER, bytes INTEGER, "
    "conserved INTEGER, stamp REAL"
)


@dataclass(frozen=True)
class RunRow:
    """One run as listed. ``condition`` is "open" where no summary was written (yet)."""

    name: str
    created: str
    scanner: str
    condition: str
    detector_time_s: float
    singles: int
    prompts: int
    delayeds: int
    images: int
    bytes: int
    conserved: bool
    stamp: float


class Catalogue:
    """The runs below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._path = root / FILE_NAME

    def rows(self) -> list[RunRow]:
        """Return all runs, newest first, after bringing the index up to date."""
        if not self.root.is_dir():
            return []
        with closing(self._connect()) as database, database:
            self._refresh(database)
            found = database.execute("SELECT * FROM runs ORDER BY created DESC, name DESC")
            return [_as_row(row) for row in found]

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.DatabaseError:
            self._path.unlink()  # damaged: it is only a cache
            return self._open()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=5.0)
        database.execute(f"CREATE TABLE IF NOT EXISTS runs ({_COLUMNS})")
        database.execute("SELECT stamp FROM runs LIMIT 1")
        return database

    def _refresh(self, database: sqlite3.Connection) -> None:
        known = dict(database.execute("SELECT name, stamp FROM runs").fetchall())
        folders = {path.parent.name: path.parent for path in self.root.glob(f"*/{CONFIG_NAME}")}
        database.executemany(
            "DELETE FROM runs WHERE name = ?", [(n,) for n in known.keys() - folders.keys()]
        )
        for name, folder in folders.items():
            stamp = _stamp(folder)
            if known.get(name) != stamp:
                row = asdict(_row(folder, stamp))
                marks = ",".join("?" * len(row))
                database.execute(f"REPLACE INTO runs VALUES ({marks})", tuple(row.values()))


def _as_row(values: tuple[Any, ...]) -> RunRow:
    row = dict(zip((field.name for field in fields(RunRow)), values, strict=True))
    return RunRow(**{**row, "conserved": bool(row["conserved"])})


def _stamp(folder: Path) -> float:
    paths = (folder / CONFIG_NAME, folder / SUMMARY_NAME)
    return max(path.stat().st_mtime for path in paths if path.exists())


def _row(folder: Path, stamp: float) -> RunRow:
    config = _load(folder / CONFIG_NAME)
    summary = _load(folder / SUMMARY_NAME)
    labels = config.get("config", {}).get("labels", {})
    return RunRow(
        name=folder.name,
        created=config.get("created", ""),
        scanner=labels.get("scanner", ""),
        condition=summary.get("condition", "open"),
        detector_time_s=summary.get("detector_time_s", 0.0),
        singles=summary.get("singles", {}).get("received", 0),
        prompts=summary.get("prompts", 0),
        delayeds=summary.get("delayeds", 0),
        images=summary.get("images", {}).get("count", 0),
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        conserved=bool(summary.get("conserved", False)),
        stamp=stamp,
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
