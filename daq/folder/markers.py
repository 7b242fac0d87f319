"""Markers that people set in a run: words and the detector time, in ``markers.json``.

They say what happened at the scanner (a dose given, a patient who moved); sorting and images know
nothing of them. The journal has each of them, too.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import msgspec

from daq.errors import LogError, RunError
from daq.folder.run_folder import write_json
from hw.bounded_files import FileRefused, read_object
from hw.messages.bounds import Finite, Name

FILE_NAME = "markers.json"
MOST = 1000
MOST_CHARACTERS = 200

MarkerWords = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS)]


class Marker(msgspec.Struct, kw_only=True, frozen=True):
    """One marker. ``at_s``: detector time; ``wall``: ISO 8601 UTC, as in the journal."""

    at_s: Finite
    wall: Name
    text: MarkerWords


class _File(msgspec.Struct):
    markers: Annotated[list[Marker], msgspec.Meta(max_length=MOST)]


def marker_words(text: object) -> str:
    """Return a marker's words in one line; raises RunError for none, and for too many."""
    words = " ".join(str(text).split()) if isinstance(text, str) else ""
    if not words or len(words) > MOST_CHARACTERS or not words.isprintable():
        raise RunError(f"mark: 1 to {MOST_CHARACTERS} letters in one line are needed")
    return words


class Markers:
    """Those of one run, the oldest first."""

    def __init__(self, folder: Path) -> None:
        """Take up those in a folder, including any set by a daq that died."""
        self._path = folder / FILE_NAME
        self.all: list[Marker] = []
        self._damaged = ""
        try:
            self.all = read_markers(folder)
        except LogError as error:
            self._damaged = str(error)

    def add(self, text: str, *, at_s: float) -> Marker:
        """Set one, and write it to the disk.

        Raises
        ------
        RunError
            if there are ``MOST`` already, or the file is damaged, which nobody overwrites
        StorageError
            if it cannot be written
        """
        if self._damaged:
            raise RunError(f"mark: {self._damaged}")
        if len(self.all) >= MOST:
            raise RunError(f"mark: the run has {MOST} markers, and takes no more")
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        marker = Marker(at_s=at_s, wall=now, text=text)
        write_json(self._path, msgspec.to_builtins(_File([*self.all, marker])))
        self.all.append(marker)
        return marker


def read_markers(folder: Path) -> list[Marker]:
    """Return a run's markers, the oldest first; raises LogError."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    try:
        return msgspec.convert(read_object(path), _File).markers
    except (FileRefused, msgspec.ValidationError) as error:
        raise LogError(f"{path} holds no markers: {error}; correct it, or remove it") from error
