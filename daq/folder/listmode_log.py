"""The list-mode log of a run: prompts, delayeds and triples in blocks, and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from coincidence.events import RECORD_OF_KIND, TRIPLE
from daq.errors import LogError
from daq.folder.blocks import Block, LogReader, LogWriter
from hw.arrays import Records
from hw.messages.telemetry import EventKind
from hw.wire.block_layout import MAX_PAYLOAD, BlockKind

KINDS: dict[EventKind, BlockKind] = {
    "prompts": BlockKind.PROMPTS,
    "delayeds": BlockKind.DELAYEDS,
    "singles": BlockKind.SINGLES,
    "triples": BlockKind.TRIPLES,
    "angles": BlockKind.ANGLES,
}
FILE_NAME = "listmode.tmlm"
FORMAT = "tomoshibi list-mode log"
MAX_RECORDS = MAX_PAYLOAD // TRIPLE.itemsize
RECORDS = {block: RECORD_OF_KIND[kind] for kind, block in KINDS.items()}
"""The record type of each kind of block that holds events."""


class RecordsHash:
    """A running BLAKE2b-128 of each kind of record, independent of the batching."""

    def __init__(self, *kinds: BlockKind) -> None:
        self._parts = {kind: hashlib.blake2b(digest_size=16) for kind in kinds}

    def add(self, kind: BlockKind, records: Records) -> None:
        """Add records of a kind."""
        self._parts[kind].update(bytes_of(records))

    def of(self, kind: BlockKind) -> str:
        """Return the identity of one kind's records as a hexadecimal number."""
        return self._parts[kind].hexdigest()


class ListmodeHash(RecordsHash):
    """The identity of a list-mode log: one of prompts and delayeds together, one of triples."""

    def __init__(self) -> None:
        super().__init__(BlockKind.PROMPTS, BlockKind.DELAYEDS, BlockKind.TRIPLES)

    def hexdigest(self) -> str:
        """Return ``prompts-delayeds`` as two hexadecimal numbers."""
        return f"{self.of(BlockKind.PROMPTS)}-{self.of(BlockKind.DELAYEDS)}"


class RecordWriter(LogWriter):
    """Appends event records to a new log."""

    def append(self, kind: BlockKind, records: Records) -> None:
        """Append records of a kind, in as many blocks as needed; raises StorageError."""
        for first in range(0, len(records), MAX_RECORDS):
            part = records[first : first + MAX_RECORDS]
            self._blocks.append(kind, bytes_of(part), items=len(part))


class RecordReader(LogReader):
    """Reads a log of events; ``head`` has the run's settings and scanner."""

    KINDS: ClassVar[tuple[BlockKind, ...]]

    def __iter__(self) -> Iterator[tuple[BlockKind, Records]]:
        for kind, records, _ in self.placed():
            yield kind, records

    def placed(self) -> Iterator[tuple[BlockKind, Records, int]]:
        """Yield the records of each block, with their kind and where in the file they begin."""
        for block in self._blocks:
            if block.kind not in self.KINDS:
                raise LogError(
                    f"{self._blocks.path} has a block of {block.kind.name.lower()}, which has no "
                    f"place in a {self.FORMAT}: written by another version?"
                )
            yield block.kind, records_of(block, self._blocks.path), block.offset

    def read_all(self, kind: BlockKind) -> Records:
        """Return all records of a kind in one array."""
        parts = [records for found, records in self if found is kind]
        return np.concatenate(parts) if parts else np.empty(0, dtype=RECORDS[kind])

    def take_in(
        self, digest: RecordsHash, limit: Mapping[BlockKind, int] | None = None
    ) -> dict[BlockKind, int]:
        """Put all records into a hash; return the number of each kind.

        limit : the number of records of each kind to take, from the beginning
        """
        counts = dict.fromkeys(self.KINDS, 0)
        for kind, records in self:
            taken = records if limit is None else records[: limit[kind] - counts[kind]]
            digest.add(kind, taken)
            counts[kind] += len(taken)
        return counts

    @property
    def closed(self) -> bool:
        """After reading: whether the log was closed properly, with its totals."""
        return self.end is not None


class ListmodeWriter(RecordWriter):
    """Appends prompts, delayeds and triples to a new list-mode log."""

    FORMAT = FORMAT


class ListmodeReader(RecordReader):
    """Reads a list-mode log."""

    FORMAT = FORMAT
    KINDS = (BlockKind.PROMPTS, BlockKind.DELAYEDS, BlockKind.TRIPLES)

    def digest(
        self, limit: Mapping[BlockKind, int] | None = None
    ) -> tuple[str, dict[BlockKind, int]]:
        """Return the identity of the prompts and delayeds, and the number of each kind."""
        digest = ListmodeHash()
        counts = self.take_in(digest, limit)
        return digest.hexdigest(), counts


def listmode_notes(log: RecordReader) -> list[str]:
    """Return in words what of a log that was read could not be used."""
    notes = [f"{log.trouble}; rates are too low by that"] if log.damage else []
    if not log.closed:
        notes.append(
            "the log was not closed: it is used up to its last whole block, and "
            f"{log.torn_bytes} bytes behind that are left out"
        )
    return notes


def records_of(block: Block, path: Path) -> Records:
    """Return the records in a block of events; raises LogError if they are not whole."""
    dtype = RECORDS[block.kind]
    if len(block.payload) != block.items * dtype.itemsize:
        raise LogError(
            f"{path}: the block of {block.kind.name.lower()} at byte {block.offset} has "
            f"{len(block.payload)} bytes for {block.items} records of {dtype.itemsize}: written by "
            "another version?"
        )
    return np.frombuffer(block.payload, dtype=dtype)


def bytes_of(records: Records) -> memoryview:
    """Return the records' bytes without a copy."""
    return np.ascontiguousarray(records).view(np.uint8).data
