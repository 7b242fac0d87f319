"""CRC-guarded blocks appended to a file: the container of the raw log and the list-mode log.

A file is a sequence of blocks, each a 32-byte header and a payload. The first is a JSON head that
describes the file; the last, if the writer closed properly, a JSON end with totals. A block is
written with one system call before ``append`` returns, so a killed process loses nothing that was
acknowledged, and a torn tail costs at most the block that was not. docs/file-format.md.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import crc32c
import numpy as np

from daq.errors import LogError, StorageError
from daq.folder.appended_file import AppendedFile, lock_file
from daq.folder.format_version import check_format
from hw.wire.block_layout import (
    BLOCK_HEADER,
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    MAX_PAYLOAD,
    BlockKind,
    block_header,
)

__all__ = ["Block", "BlockKind", "BlockReader", "BlockWriter", "LogReader", "LogWriter"]


@dataclass(frozen=True)
class Block:
    """One block as read: its kind, the number of items in its payload, the payload, and the
    position in the file at which it begins.
    """

    kind: BlockKind
    items: int
    payload: bytes
    offset: int


class BlockPlace(NamedTuple):
    """Where a block's header begins in its file, and what the header says."""

    position: int
    sequence: int
    kind: BlockKind
    items: int
    length: int


def is_being_written(path: Path) -> bool:
    """Whether a process has the log open for writing; False if there is none."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock_file(number)
    finally:
        os.close(number)


class BlockWriter:
    """Appends blocks to a new file; when ``append`` returns, the kernel holds the block, and the
    first ``synced_bytes`` of the file have reached the disk.
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        """Create ``path``, which must not exist, and bring its head to the disk.

        Raises StorageError.
        """
        self._begin(AppendedFile(path), sequence=0)
        try:
            self.append(BlockKind.HEAD, _json_bytes(head), items=1)
            self.sync()
        except StorageError:
            self._file.close()
            raise

    def _begin(self, file: AppendedFile, *, sequence: int) -> None:
        self.path = file.path
        self._file = file
        self._sequence = sequence

    @classmethod
    def reopened(cls, path: Path) -> BlockWriter:
        """Open a log whose writer died, to go on with it; a torn tail is cut off.

        Raises
        ------
        LogError
            if it was closed properly, or is no log.
        StorageError
            if it cannot be opened, or another process writes it.
        """
        last = BlockReader(path).last_sound()
        if last.kind is BlockKind.END:
            raise LogError(f"{path} was closed properly: nothing can be added")
        self = cls.__new__(cls)
        size = last.position + BLOCK_HEADER_BYTES + last.length
        self._begin(AppendedFile(path, size=size, new=False), sequence=last.sequence + 1)
        return self

    @property
    def bytes_written(self) -> int:
        """The file's size so far."""
        return self._file.size

    @property
    def synced_bytes(self) -> int:
        """How much of it is on the disk for sure."""
        return self._file.synced_bytes

    def append(self, kind: BlockKind, payload: bytes | memoryview, *, items: int) -> BlockPlace:
        """Append one block; return where it lies.

        Raises
        ------
        StorageError
            if the disk does not take all of it; what was written of the block is cut off again.
        ValueError
            for more than ``MAX_PAYLOAD`` bytes: no reader would accept such a block.
        """
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a block of {len(payload)} bytes, the bound is {MAX_PAYLOAD}")
        header = block_header(kind, payload, sequence=self._sequence, items=items)
        place = BlockPlace(self._file.size, self._sequence, kind, items, len(payload))
        self._file.append(header, payload)
        self._sequence += 1
        return place

    def sync(self) -> int:
        """Bring to the disk what is written; return how many bytes of the log are there for sure.

        May be called by any thread; see :meth:`AppendedFile.sync`. Raises StorageError.
        """
        return self._file.sync()

    def close(self, end: dict[str, Any]) -> None:
        """Write the end block with totals, bring all to the disk and close; raises StorageError."""
        try:
            self.append(BlockKind.END, _json_bytes(end), items=1)
            self.sync()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, without an end block; what is written goes to the disk."""
        with contextlib.suppress(StorageError, OSError):
            self.sync()
        self._file.close()


class BlockReader:
    """Reads a block file front to back; a torn or damaged tail ends the reading and is reported.

    After iteration ``torn_bytes`` says how many bytes at the end were not a complete, valid block,
    and ``end`` holds the end block's totals, or None if the writer never closed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn_bytes = 0
        self.end: dict[str, Any] | None = None
        self.head = self._read_head()

    def _read_head(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                block = self._next(file, 0)
        except OSError as error:
            raise LogError(f"cannot read {self.path}: {error.strerror}") from error
        if block is None or block.kind is not BlockKind.HEAD:
            raise LogError(
                f"{self.path} does not begin with a head block: it is not one of our logs, "
                "or its first bytes are damaged"
            )
        head: dict[str, Any] = json.loads(block.payload)
        return head

    def __iter__(self) -> Iterator[Block]:
        """Yield the data blocks (neither head nor end)."""
        sequence = 0
        with self.path.open("rb") as file:
            while True:
                start = file.tell()
                block = self._next(file, sequence)
                if block is None:
                    self.torn_bytes = file.seek(0, os.SEEK_END) - start
                    return
                sequence += 1
                if block.kind is BlockKind.END:
                    self.end = json.loads(block.payload)
                elif block.kind is not BlockKind.HEAD:
                    yield block

    def places(self) -> Iterator[BlockPlace]:
        """Yield where each data block lies, reading headers alone: payloads are not checked."""
        for place in self._all_places():
            if place.kind not in (BlockKind.HEAD, BlockKind.END):
                yield place

    def _all_places(self) -> Iterator[BlockPlace]:
        sequence = 0
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while True:
                position = file.tell()
                header = self._header(file, sequence)
                if header is None or file.tell() + int(header["length"]) > size:
                    return
                kind, length = BlockKind(int(header["kind"])), int(header["length"])
                yield BlockPlace(position, sequence, kind, int(header["items"]), length)
                sequence += 1
                file.seek(length, os.SEEK_CUR)

    def last_sound(self) -> BlockPlace:
        """Return where the last block lies before a torn tail; its payload is sound."""
        for place in reversed(list(self._all_places())):
            with contextlib.suppress(LogError):
                self.at(place)
                return place
        raise LogError(f"{self.path} has not one sound block")

    def at(self, place: BlockPlace, count: int = 1) -> list[Block]:
        """Return ``count`` blocks from a place on; raises LogError if one is damaged."""
        try:
            with self.path.open("rb") as file:
                file.seek(place.position)
                blocks = [self._next(file, place.sequence + n) for n in range(count)]
        except OSError as error:
            raise LogError(f"cannot read {self.path}: {error.strerror}") from error
        sound = [block for block in blocks if block is not None]
        if len(sound) < count:
            raise LogError(f"{self.path} is damaged after byte {place.position}")
        return sound

    @staticmethod
    def _header(file: Any, sequence: int) -> Any:
        """Return the next block's header, None if there is none that is sound."""
        raw = file.read(BLOCK_HEADER_BYTES)
        if len(raw) < BLOCK_HEADER_BYTES:
            return None
        header = np.frombuffer(raw, dtype=BLOCK_HEADER)[0]
        sound = (
            header["magic"] == BLOCK_MAGIC
            and header["header_crc"] == crc32c.crc32c(raw[:-4])
            and header["sequence"] == sequence
            and header["length"] <= MAX_PAYLOAD
            and header["kind"] in set(BlockKind)
        )
        return header if sound else None

    @classmethod
    def _next(cls, file: Any, sequence: int) -> Block | None:
        header = cls._header(file, sequence)
        if header is None:
            return None
        offset = file.tell()
        payload = file.read(int(header["length"]))
        if len(payload) < header["length"] or crc32c.crc32c(payload) != header["payload_crc"]:
            return None
        return Block(BlockKind(int(header["kind"])), int(header["items"]), payload, offset)


class LogWriter:
    """A new log: a block file whose head names its format."""

    FORMAT: ClassVar[str]

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._blocks = BlockWriter(path, {"format": self.FORMAT, **head})

    @classmethod
    def reopened(cls, path: Path) -> Self:
        """Go on with a log whose writer died; see :meth:`BlockWriter.reopened`."""
        log = cls.__new__(cls)
        log._blocks = BlockWriter.reopened(path)
        return log

    @property
    def bytes_written(self) -> int:
        """The log's size so far."""
        return self._blocks.bytes_written

    @property
    def synced_bytes(self) -> int:
        """How much of the log is on the disk for sure."""
        return self._blocks.synced_bytes

    def sync(self) -> int:
        """Bring the log to the disk, from any thread; see :meth:`BlockWriter.sync`."""
        return self._blocks.sync()

    def close(self, end: dict[str, Any]) -> None:
        """Write the totals and close."""
        self._blocks.close(end)

    def abandon(self) -> None:
        """Close as it is."""
        self._blocks.abandon()


class LogReader:
    """A log of the format ``FORMAT``, or LogError; ``head`` describes the run."""

    FORMAT: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self._blocks = BlockReader(path)
        self.head = self._blocks.head
        check_format(path, self.head)
        if self.head.get("format") != self.FORMAT:
            raise LogError(f"{path} is a {self.head.get('format', 'file of another kind')}")

    @property
    def torn_bytes(self) -> int:
        """After reading: how many bytes at the end are not a complete, valid block."""
        return self._blocks.torn_bytes

    @property
    def end(self) -> dict[str, Any] | None:
        """After reading: the totals written at the end, None where the run was cut off."""
        return self._blocks.end


def _json_bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()
