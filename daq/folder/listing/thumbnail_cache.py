"""Small pictures of runs, kept in the catalogue's file: a cache, made anew whenever in doubt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daq.folder.listing.catalogue import FILE_NAME

MOST_PX = 64
_TABLE = (
    "CREATE TABLE IF NOT EXISTS thumbnails "
    "(run TEXT PRIMARY KEY, stamp TEXT, width INTEGER, height INTEGER, levels BLOB)"
)


@dataclass(frozen=True)
class Thumbnail:
    """``levels``: a byte a pixel, 0 to 255 of the window, rows from the top; at most 64 × 64."""

    width: int
    height: int
    levels: bytes

    @property
    def sound(self) -> bool:
        """Whether it has as many levels as it says."""
        sides = 0 < self.width <= MOST_PX and 0 < self.height <= MOST_PX
        return sides and len(self.levels) == self.width * self.height


def stamp_of(image: Path) -> str:
    """Return a stamp that tells this image from another; raises OSError."""
    status = image.stat()
    return f"{image.name} {status.st_size} {status.st_mtime_ns}"


class ThumbnailCache:
    """The thumbnails of the runs in a folder. Where none can be kept, none are found."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE_NAME

    def find(self, run: str, stamp: str) -> Thumbnail | None:
        """Return the thumbnail of a run's image, None where it is not kept."""
        with suppress(sqlite3.DatabaseError), self._open() as database:
            words = "SELECT width, height, levels FROM thumbnails WHERE run = ? AND stamp = ?"
            row = database.execute(words, (run, stamp)).fetchone()
            if row is not None and list(map(type, row)) == [int, int, bytes]:
                found = Thumbnail(*row)
                return found if found.sound else None
        return None

    def keep(self, run: str, stamp: str, made: Thumbnail) -> None:
        """Keep a thumbnail, if that is possible."""
        row = (run, stamp, made.width, made.height, made.levels)
        with suppress(sqlite3.DatabaseError), self._open() as database:
            database.execute("REPLACE INTO thumbnails VALUES (?, ?, ?, ?, ?)", row)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5.0)) as database, database:
            database.execute(_TABLE)
            yield database
