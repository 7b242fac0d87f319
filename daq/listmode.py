"""The list-mode log of a run: prompts and delayeds in blocks, and their identity as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE
from daq.blocks import MAX_PAYLOAD, BlockKind, BlockReader, BlockWriter
from daq.errors import LogError

Records = npt.NDArray[np.void]
FILE_NAME = "listmode.tmlm"
FORMAT = "tomoshibi list-mode log"
MAX_RECORDS = MAX_PAYLOAD // COINCIDENCE.itemsize


class ListmodeHash:
    """A running BLAKE2b-128 of prompts and of delayeds, independent of how they were batched."""

    def __init__(self) -> None:
        self._parts = {
            BlockKind.PROMPTS: hashlib.blake2b(digest_size=16),
            BlockKind.DELAYEDS: hashlib.blake2b(digest_size=16),
        }

    def add(self, kind: BlockKind, records: Records) -> None:
        """Take in more records of a kind."""
        self._parts[kind].update(_bytes_of(records))

    def hexdigest(self) -> str:
        """Return ``prompts-delayeds`` as two hexadecimal numbers."""
        return "-".join(part.hexdigest() for part in self._parts.values())


class ListmodeWriter:
    """Appends prompts and delayeds to a new list-mode log."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._blocks = BlockWriter(path, {"format": FORMAT, **head})

    def append(self, kind: BlockKind, records: Records) -> None:
        """Append records of a kind in as many blocks as they need; raises StorageError."""
        for first in range(0, len(records), MAX_RECORDS):
            part = records[first : first + MAX_RECORDS]
            self._blocks.append(kind, _bytes_of(part), items=len(part))

    def close(self, end: dict[str, Any]) -> None:
        """Write the totals and close."""
        self._blocks.close(end)

    def abandon(self) -> None:
        """Close as it is."""
        self._blocks.abandon()


class ListmodeReader:
    """Reads a list-mode log; ``head`` has the run's settings and scanner."""

    def __init__(self, path: Path) -> None:
        self._blocks = BlockReader(path)
        self.head = self._blocks.head
        if self.head.get("format") != FORMAT:
            raise LogError(f"{path} is a {self.head.get('format', 'file of another kind')}")

    def __iter__(self) -> Iterator[tuple[BlockKind, Records]]:
        for block in self._blocks:
            yield block.kind, np.frombuffer(block.payload, dtype=COINCIDENCE)

    def read_all(self, kind: BlockKind) -> Records:
        """Return all records of a kind in one array."""
        parts = [records for found, records in self if found is kind]
        return np.concatenate(parts) if parts else np.empty(0, dtype=COINCIDENCE)

    def digest(self, limit: dict[BlockKind, int] | None = None) -> tuple[str, dict[BlockKind, int]]:
        """Return the identity of what is in the log, and how many records of each kind that is.

        limit : take only so many records of each kind, from the front
        """
        digest = ListmodeHash()
        counts = {BlockKind.PROMPTS: 0, BlockKind.DELAYEDS: 0}
        for kind, records in self:
            taken = records if limit is None else records[: limit[kind] - counts[kind]]
            digest.add(kind, taken)
            counts[kind] += len(taken)
        return digest.hexdigest(), counts

    @property
    def closed(self) -> bool:
        """After reading: whether the log was closed well, with its totals."""
        return self._blocks.end is not None


def _bytes_of(records: Records) -> memoryview:
    """Return the records' bytes without a copy."""
    return np.ascontiguousarray(records).view(np.uint8).data
