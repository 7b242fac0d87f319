"""The journal of a run: what happened and when, one JSON object per line, and its latest entries
for displays.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from pathlib import Path

import msgspec

from hw.messages.telemetry import JournalEntry, Severity

FILE_NAME = "journal.jsonl"
_TAIL = 50


class Journal:
    """Numbers entries over the service's lifetime; also writes them to the open run's folder."""

    def __init__(self) -> None:
        self.tail: deque[JournalEntry] = deque(maxlen=_TAIL)
        self.write_errors = 0
        self._path: Path | None = None
        self._number = 0

    def open(self, folder: Path) -> None:
        """From now on, write to the folder's journal."""
        self._path = folder / FILE_NAME

    def close(self) -> None:
        """Stop writing to a folder."""
        self._path = None

    def add(self, severity: Severity, text: str) -> None:
        """Add an entry; a failed write is counted, never fatal: displays still show the entry."""
        self._number += 1
        wall = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        entry = JournalEntry(number=self._number, wall=wall, severity=severity, text=text)
        self.tail.append(entry)
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(entry) + b"\n")
        except OSError:
            self.write_errors += 1
