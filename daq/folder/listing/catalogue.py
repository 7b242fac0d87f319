"""The catalogue of runs: an SQLite index of the run folders, rebuilt whenever in doubt.

The folders are the record; the index is a cache. Each query first brings it up to date by checking
which folders changed, so that runs copied in or deleted by hand are noticed. A damaged or outdated
index is rebuilt; where none can be stored (a read-only disk), one in memory is used.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from daq.errors import LogError
from daq.folder.identity.review_file import REVIEW_NAME
from daq.folder.listing.archive_record import read_copies
from daq.folder.listing.run_images import EXPORTS, IMAGES
from daq.folder.plain_json import read_object
from daq.folder.run_folder import CONFIG_NAME, SUMMARY_NAME

FILE_NAME = "runs.sqlite"
MOST_LETTERS = 2000
SEARCHED = (
    "name", "created", "scanner", "condition", "review", "protocol", "nuclide", "conditions",
)  # fmt: skip
"""Of a row: where a search looks."""

T = TypeVar("T")
_COLUMNS = (
    "name TEXT PRIMARY KEY, created TEXT, scanner TEXT, condition TEXT, detector_time_s REAL, "
    "singles INTEGER, prompts INTEGER, delayeds INTEGER, images INTEGER, bytes INTEGER, "
    "conserved INTEGER, review TEXT, protocol TEXT, nuclide TEXT, conditions TEXT, "
    "copies INTEGER, stamp REAL"
)


@dataclass(frozen=True)
class RunRow:
    """One run as listed.

    condition : "open" if no summary has been written (yet); ``conditions``: what it is for
    protocol : name@version, "" without; ``copies``: how many the run has a record of
    """

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
    review: str
    protocol: str
    nuclide: str
    conditions: str
    copies: int
    stamp: float


def is_found(row: Mapping[str, Any], search: str) -> bool:
    """Whether a row, as plain values, has all words of a search, anywhere, in any case."""
    text = " ".join(str(row.get(name, "")) for name in SEARCHED).casefold()
    return all(word in text for word in search.casefold().split())


class Catalogue:
    """The runs in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._path = root / FILE_NAME

    def rows(self) -> list[RunRow]:
        """Return all runs, newest first, after bringing the index up to date."""
        if not self.root.is_dir():
            return []
        try:
            return self._read(self._path)
        except (sqlite3.DatabaseError, ValueError):
            return self._read_anew()

    def _read_anew(self) -> list[RunRow]:
        try:
            self._path.unlink(missing_ok=True)
            return self._read(self._path)
        except (sqlite3.DatabaseError, OSError):
            return self._read(":memory:")

    def _read(self, path: Path | str) -> list[RunRow]:
        with closing(sqlite3.connect(path, timeout=5.0)) as database, database:
            database.execute(f"CREATE TABLE IF NOT EXISTS runs ({_COLUMNS})")
            self._refresh(database)
            found = database.execute("SELECT * FROM runs ORDER BY created DESC, name DESC")
            return [_as_row(row) for row in found]

    def _refresh(self, database: sqlite3.Connection) -> None:
        known = dict(database.execute("SELECT name, stamp FROM runs").fetchall())
        paths = [path.parent for path in self.root.glob(f"*/{CONFIG_NAME}")]
        folders = {_printable(path.name): path for path in paths}
        database.executemany(
            "DELETE FROM runs WHERE name = ?", [(n,) for n in known.keys() - folders.keys()]
        )
        for name, folder in folders.items():
            stamp = _stamp(folder)
            if known.get(name) != stamp:
                row = asdict(_row(name, folder, stamp))
                marks = ",".join("?" * len(row))
                database.execute(f"REPLACE INTO runs VALUES ({marks})", tuple(row.values()))


def _as_row(values: tuple[Any, ...]) -> RunRow:
    row = dict(zip((field.name for field in fields(RunRow)), values, strict=True))
    return RunRow(**{**row, "conserved": bool(row["conserved"])})


def _stamp(folder: Path) -> float:
    times = []
    watched = (CONFIG_NAME, SUMMARY_NAME, REVIEW_NAME, "", IMAGES, EXPORTS)
    for path in (folder / name for name in watched):
        with suppress(OSError):  # not there, or a link that leads in a circle
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def _printable(name: str) -> str:
    """Return a folder's name as text, whatever bytes it has."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _row(name: str, folder: Path, stamp: float) -> RunRow:
    config = _load(folder / CONFIG_NAME)
    summary = _load(folder / SUMMARY_NAME)
    return RunRow(
        name=name,
        created=_at(config, "created", ""),
        scanner=_at(config, "config.labels.scanner", ""),
        condition=_at(summary, "condition", "open"),
        detector_time_s=_at(summary, "detector_time_s", 0.0),
        singles=_at(summary, "singles.received", 0),
        prompts=_at(summary, "prompts", 0),
        delayeds=_at(summary, "delayeds", 0),
        images=_at(summary, "images.count", 0),
        bytes=sum(_size(path) for path in folder.rglob("*")),
        conserved=_at(summary, "conserved", False),
        review=_review(folder),
        protocol=_protocol(config),
        nuclide=_at(config, "config.labels.nuclide", "")
        or _at(config, "config.protocol.nuclide", ""),
        conditions="; ".join(map(str, _at(summary, "conditions", [])))[:MOST_LETTERS],
        copies=_copies(folder),
        stamp=stamp,
    )


def _protocol(config: dict[str, Any]) -> str:
    name = _at(config, "config.protocol.name", "")
    return f"{name}@{_at(config, 'config.protocol.version', 1)}" if name else ""


def _copies(folder: Path) -> int:
    try:
        return len(read_copies(folder))
    except (LogError, OSError):
        return 0


def _review(folder: Path) -> str:
    """Return what was decided of a run and, with a tick, that it was signed."""
    review = _load(folder / REVIEW_NAME)
    signed = " ✓" if _at(review, "reviewed_by", "") else ""
    return f"{_at(review, 'verdict', '')}{signed}".strip()


def _size(path: Path) -> int:
    """Return a plain file's size; 0 for anything else."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _at(document: dict[str, Any], path: str, default: T) -> T:
    """Return the value at a dotted path, or ``default`` if it is absent or of another type."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, int) and abs(value) >= 2**63:  # more than the index can hold
        return default
    return value if isinstance(value, type(default)) else default


def _load(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except LogError:
        return {}
