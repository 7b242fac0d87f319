"""A file of events, written as they come: numpy's .npy or one of our logs, by its ending.

Whatever stops the writer, what it wrote before can be read: a log is valid up to its last block,
and the header of an .npy gives the records present when it was last written.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from daq.errors import StorageError
from daq.folder.listmode_log import KINDS, RECORDS, ListmodeWriter, RecordWriter, bytes_of
from daq.folder.singles_log import SinglesWriter
from hw.arrays import Records
from hw.messages.telemetry import EventKind

ENDINGS: dict[EventKind, str] = {
    "prompts": ".tmlm",
    "delayeds": ".tmlm",
    "singles": ".tmws",
    "triples": ".tmlm",
    "angles": ".tmws",
}


class EventFile(Protocol):
    """Takes records until it is closed."""

    def append(self, records: Records) -> None:
        """Write records; raises StorageError."""

    def close(self) -> None:
        """Complete the file; raises StorageError."""


class NpyFile:
    """A growing .npy (version 1.0): numpy leaves room in the header for a longer shape."""

    def __init__(self, path: Path, dtype: np.dtype[np.void]) -> None:
        self._path = path
        self._dtype = dtype
        self._records = 0
        try:
            self._file: BinaryIO = path.open("xb")
        except OSError as error:
            raise StorageError(f"cannot create {path}: {error.strerror}") from error
        self._write_header()

    def append(self, records: Records) -> None:
        """Write records, and the header with their new number."""
        try:
            self._file.seek(0, 2)
            self._file.write(bytes_of(records))
        except OSError as error:
            raise StorageError(f"cannot write to {self._path}: {error.strerror}") from error
        self._records += len(records)
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._records,),
        }
        try:
            self._file.seek(0)
            np.lib.format.write_array_header_1_0(self._file, header)
            self._file.flush()
        except OSError as error:
            raise StorageError(f"cannot write to {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LogFile:
    """One of our logs, with one kind of record."""

    def __init__(self, writer: RecordWriter, kind: EventKind) -> None:
        self._writer = writer
        self._kind = kind
        self._records = 0

    def append(self, records: Records) -> None:
        """Write records as a block."""
        self._writer.append(KINDS[self._kind], records)
        self._records += len(records)

    def close(self) -> None:
        """Write the totals and close."""
        self._writer.close({self._kind: self._records})


def check_event_file(path: Path, kind: EventKind) -> None:
    """Refuse a file that cannot be written, before any event arrives; raises StorageError."""
    if path.suffix not in (".npy", ENDINGS[kind]):
        raise StorageError(f"{path}: {kind} go to a file named .npy or {ENDINGS[kind]}")
    if path.exists():
        raise StorageError(f"{path} exists already and is never overwritten: choose another name")
    if not path.absolute().parent.is_dir():
        raise StorageError(f"{path}: there is no folder {path.absolute().parent}")


def open_event_file(path: Path, kind: EventKind, run: str) -> EventFile:
    """Create the file for a run's events of a kind; raises StorageError."""
    check_event_file(path, kind)
    if path.suffix == ".npy":
        return NpyFile(path, RECORDS[KINDS[kind]])
    writer = SinglesWriter if ENDINGS[kind] == ".tmws" else ListmodeWriter
    return LogFile(writer(path, {"run": run, "tapped": kind, "windows": []}), kind)
