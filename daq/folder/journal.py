"""The journal of a run: what happened and when, one JSON object per line, and its latest entries
for displays.

Repetition does not fill it: of entries of one kind, ``BURST`` are written in
``FOLD_S`` seconds, and how many more there were is told in one entry at the end of that time.

An entry is on the disk when ``add`` returns, as long as a slow disk does not hold the service up.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from daq.errors import StorageError
from daq.folder.appended_file import AppendedFile
from hw.bounded_files import FileRefused, regular_file
from hw.messages.telemetry import ALIKE, REPEATED, JournalEntry, JournalLine, Severity
from hw.notices.catalogue import notice

FILE_NAME = "journal.jsonl"
FOLD_S = 10.0
BURST = 5
MOST_CHARACTERS = 2000
LEAST_SYNC_S = 0.05
SYNC_SHARE = 0.2
"""Of the time, at most, that is spent in bringing entries to the disk."""

_TAIL = 50
_MOST_FOLDS = 500
MOST_READ = 20_000
MOST_BYTES = 64 << 20
"""Of a journal's end, that are read; 20,000 entries of ordinary length have a tenth of it."""


@dataclass
class _Fold:
    """Entries of one kind since a time: how many were written, and how many more there were."""

    since_s: float
    line: JournalLine
    same: bool = True
    written: int = 0
    more: int = 0


def _folded(fold: _Fold) -> JournalLine:
    """Return the line that tells how many more there were: in words, and by a value."""
    name, words = (REPEATED, "repeated") if fold.same else (ALIKE, "and others like it,")
    text = f"{fold.line.text} ({words} {fold.more:,} times)"
    values = fold.line.values | {name: str(fold.more)}
    return msgspec.structs.replace(fold.line, text=text, values=values)


class Journal:
    """Numbers entries over the service's lifetime; also writes them to the open run's folder.

    ``listen`` is called with every line that is told, those too that are folded.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        listen: Callable[[JournalLine], None] = lambda line: None,
    ) -> None:
        self.tail: deque[JournalEntry] = deque(maxlen=_TAIL)
        self.write_errors = 0
        self._listen = listen
        self._clock = clock
        self._file: AppendedFile | None = None
        self._missing = 0
        self._unsafe = False
        self._next_sync_s = 0.0
        self._number = 0
        self._folds: dict[tuple[Severity, str], _Fold] = {}

    def open(self, folder: Path) -> None:
        """From now on, write to the folder's journal, which is made if there is none; half an entry
        at its end, which a power cut may leave, or zeros, are cut off and told.

        Raises
        ------
        StorageError
            if it cannot be made or written.
        """
        self.close()
        whole, torn = _whole_lines(folder / FILE_NAME)
        self._file = AppendedFile(folder / FILE_NAME, size=whole if torn else None, new=False)
        self._missing, self._unsafe, self._next_sync_s = 0, False, 0.0
        if torn:
            self._write(self._of_its_own("journal.torn", bytes=torn))

    def close(self) -> None:
        """Stop writing to a folder; what was written is on the disk then, if the disk takes it."""
        self.tell_repeated(all_of_them=True)
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(StorageError, OSError):  # it was told, when it began
                file.sync()
            file.close()

    @property
    def file(self) -> AppendedFile | None:
        """The open run's journal."""
        return self._file

    def sync(self) -> None:
        """Bring to the disk what an entry of its own could not, from any thread; to be called about
        once a second. Raises StorageError.
        """
        if (file := self._file) is not None:
            file.sync()

    def add(
        self, severity: Literal["info"], text: str, *, kind: str = "", burst: int = BURST
    ) -> None:
        """Add an event, as :meth:`tell` does; what is more than that has an id in the catalogue."""
        self.tell(JournalLine(severity, text), kind=kind, burst=burst)

    def tell(self, line: JournalLine, *, kind: str = "", burst: int = BURST) -> None:
        """Add an entry; a failed write is counted, never fatal: displays still show the entry.

        kind : what entries are folded by whose words differ, such as those with an outsider's
            words in them; "" for the text itself
        burst : how many of a kind are written
        """
        line = _bounded(line)
        self._listen(line)
        now, text = self._clock(), line.text
        key = (line.severity, kind or text)
        fold = self._folds.get(key)
        if fold is None or now - fold.since_s >= FOLD_S:
            self.tell_repeated(all_of_them=len(self._folds) >= _MOST_FOLDS)
            fold = self._folds[key] = _Fold(now, line)
        fold.same, fold.line = fold.same and fold.line.text == text, line
        if fold.written < burst:
            fold.written += 1
            self._write(line)
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
                self._write(_folded(fold))

    def _write(self, line: JournalLine) -> None:
        entry = self._show(line)
        if self._file is None:
            return
        try:
            self._file.append(msgspec.json.encode(entry) + b"\n")
        except StorageError as error:
            self._miss(error)
            return
        if self._missing:
            missing, self._missing = self._missing, 0
            self._write(self._of_its_own("journal.gap", count=missing))
        self._sync_soon(self._file)

    def _miss(self, error: StorageError) -> None:
        """Count an entry that is not kept; show displays that this has begun."""
        self.write_errors += 1
        self._missing += 1
        if self._missing == 1:
            self._missing += 1
            self._show(self._of_its_own("journal.unkept", why=error))

    def _sync_soon(self, file: AppendedFile) -> None:
        """Bring an entry to the disk at once, unless that would take more than ``SYNC_SHARE`` of
        the time: then it waits for the next entry, or for :meth:`sync`.
        """
        now, began = self._clock(), time.monotonic()
        if now < self._next_sync_s:
            return
        try:
            file.sync()
        except (StorageError, OSError) as error:
            self.write_errors += 1
            if not self._unsafe:
                self._unsafe = True
                self._next_sync_s = now + LEAST_SYNC_S
                self._write(self._of_its_own("journal.unsafe", why=error))
        took_s = time.monotonic() - began
        self._next_sync_s = now + max(LEAST_SYNC_S, took_s / SYNC_SHARE)

    def _of_its_own(self, name: str, **values: object) -> JournalLine:
        """Return a line of the journal's own, about itself."""
        line = _bounded(notice(name, **values))
        self._listen(line)
        return line

    def _show(self, line: JournalLine) -> JournalEntry:
        self._number += 1
        wall = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        entry = JournalEntry(
            number=self._number, wall=wall, severity=line.severity, text=line.text,
            id=line.id, values=line.values,
        )  # fmt: skip
        self.tail.append(entry)
        return entry


def _bounded(line: JournalLine) -> JournalLine:
    """Return a line as it is kept."""
    values = {name: _kept(value) for name, value in line.values.items()}
    return msgspec.structs.replace(line, text=_kept(line.text), values=values)


def _kept(text: str) -> str:
    """Return a text of bounded length, without the bytes of a file's name that are no UTF-8."""
    text = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"
    return text.encode(errors="replace").decode()


def read_entries(folder: Path) -> list[JournalEntry]:
    """Return the entries of a run's journal, the last ``MOST_READ`` in its last ``MOST_BYTES``;
    none where it cannot be read.

    Lines that are no entries, as a power cut, a flipped bit or another version may leave, are left
    out.
    """
    found: deque[JournalEntry] = deque(maxlen=MOST_READ)
    try:
        data, _ = _its_end(folder / FILE_NAME)
    except (FileRefused, OSError):
        return []
    for line in data.split(b"\n"):
        with contextlib.suppress(msgspec.DecodeError, ValueError, RecursionError):
            found.append(msgspec.json.decode(line, type=JournalEntry))
    return list(found)


def _its_end(path: Path) -> tuple[bytes, int]:
    """Return a file's last ``MOST_BYTES``, and how many bytes are before them."""
    with regular_file(path) as file:
        before = max(0, os.fstat(file.fileno()).st_size - MOST_BYTES)
        file.seek(before)
        return file.read(MOST_BYTES), before


def _whole_lines(path: Path) -> tuple[int, int]:
    """Return how many bytes a journal's whole entries take, and how many are behind them."""
    if not path.exists():
        return 0, 0
    try:
        data, before = _its_end(path)
    except (FileRefused, OSError) as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    whole = data.rfind(b"\n") + 1
    return before + whole, len(data) - whole
