"""The journal of a run: what happened and when, one JSON object per line, and its latest entries
for displays.

Whoever repeats himself does not fill it: of entries of one kind, ``BURST`` are written in
``FOLD_S`` seconds, and how many more there were is told in one entry at the end of that time.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hw.messages.telemetry import JournalEntry, Severity

FILE_NAME = "journal.jsonl"
FOLD_S = 10.0
BURST = 5
MOST_CHARACTERS = 2000
_TAIL = 50
_MOST_FOLDS = 500


@dataclass
class _Fold:
    """Entries of one kind since a time: how many were written, and how many more there were."""

    since_s: float
    text: str = ""
    same: bool = True
    written: int = 0
    more: int = 0


class Journal:
    """Numbers entries over the service's lifetime; also writes them to the open run's folder."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.tail: deque[JournalEntry] = deque(maxlen=_TAIL)
        self.write_errors = 0
        self._clock = clock
        self._path: Path | None = None
        self._number = 0
        self._folds: dict[tuple[Severity, str], _Fold] = {}

    def open(self, folder: Path) -> None:
        """From now on, write to the folder's journal."""
        self._path = folder / FILE_NAME
        try:
            self._path.touch()
        except OSError as error:
            self._show("alarm", f"the journal cannot be written: {self._path}: {error.strerror}")

    def close(self) -> None:
        """Stop writing to a folder."""
        self.tell_repeated(all_of_them=True)
        self._path = None

    def add(self, severity: Severity, text: str, *, kind: str = "") -> None:
        """Add an entry; a failed write is counted, never fatal: displays still show the entry.

        kind : what entries are folded by whose words differ, such as those with an outsider's
            words in them; "" for the text itself
        """
        now, key = self._clock(), (severity, kind or text)
        fold = self._folds.get(key)
        if fold is None or now - fold.since_s >= FOLD_S:
            self.tell_repeated(all_of_them=len(self._folds) >= _MOST_FOLDS)
            fold = self._folds[key] = _Fold(now, text)
        fold.same, fold.text = fold.same and fold.text == text, text
        if fold.written < BURST:
            fold.written += 1
            self._write(severity, text)
        else:
            fold.more += 1

    def tell_repeated(self, *, all_of_them: bool = False) -> None:
        """Write how often what was folded was repeated, where its time is over; to be called now
        and then.
        """
        now = self._clock()
        over = [k for k, f in self._folds.items() if all_of_them or now - f.since_s >= FOLD_S]
        for key in over:
            fold = self._folds.pop(key)
            if fold.more:
                times = "repeated" if fold.same else "and others like it,"
                self._write(key[0], f"{fold.text} ({times} {fold.more:,} times)")

    def _write(self, severity: Severity, text: str) -> None:
        entry = self._show(severity, text)
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(entry) + b"\n")
        except OSError:
            self.write_errors += 1

    def _show(self, severity: Severity, text: str) -> JournalEntry:
        self._number += 1
        wall = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        text = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"
        text = text.encode(errors="replace").decode()  # a file's name may be no UTF-8
        entry = JournalEntry(number=self._number, wall=wall, severity=severity, text=text)
        self.tail.append(entry)
        return entry
