"""CRC-guarded blocks appended to a file: the container of the raw log and the list-mode log.

A file is a sequence of blocks, each a 32-byte header and a payload. The first is a JSON head that
describes the file; the last, if the writer closed properly, a JSON end with totals. A block is
written with one system call before ``append`` returns, so a killed process loses nothing that was
acknowledged, and a torn tail costs at most the block that was not. docs/file-format.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from daq.errors import LogError, StorageError
from daq.folder.appended_file import AppendedFile, lock_file
from daq.folder.block_walk import BlockPlace, BlockWalk, Damage
from daq.folder.format_version import check_format
from daq.folder.plain_json import json_text, object_in
from hw.bounded_files import FileRefused, regular_file
from hw.wire.block_layout import BLOCK_HEADER_BYTES as HEADER
from hw.wire.block_layout import MAX_PAYLOAD, BlockKind, block_header

__all__ = [
    "Block",
    "BlockKind",
    "BlockPlace",
    "BlockReader",
    "BlockWriter",
    "Damage",
    "LogReader",
    "LogWriter",
]


@dataclass(frozen=True)
class Block:
    """One block as read: its kind, the number of items in its payload, the payload, and the
    position in the file at which it begins.
    """

    kind: BlockKind
    items: int
    payload: bytes
    offset: int


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

    file : as it lies open, for :class:`~daq.folder.log_watch.LogWatch`
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        """Create ``path``, which must not exist, and bring its head to the disk.

        Raises StorageError.
        """
        self._begin(AppendedFile(path), sequence=0)
        try:
            self.append(BlockKind.HEAD, json_text(head).encode(), items=1)
            self.sync()
        except StorageError:
            self.file.close()
            raise

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.file.path

    def _begin(self, file: AppendedFile, *, sequence: int) -> None:
        self.file = file
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
        self._begin(AppendedFile(path, size=last.end, new=False), sequence=last.sequence + 1)
        return self

    @property
    def bytes_written(self) -> int:
        """The file's size so far."""
        return self.file.size

    @property
    def synced_bytes(self) -> int:
        """How much of it is on the disk for sure."""
        return self.file.synced_bytes

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
        place = BlockPlace(self.file.size, self._sequence, kind, items, len(payload))
        self.file.append(header, payload)
        self._sequence += 1
        return place

    def sync(self) -> int:
        """Bring to the disk what is written; return how many bytes of the log are there for sure.

        May be called by any thread; see :meth:`AppendedFile.sync`. Raises StorageError.
        """
        return self.file.sync()

    def close(self, end: dict[str, Any]) -> None:
        """Write the end block with totals, bring all to the disk and close; raises StorageError."""
        try:
            self.append(BlockKind.END, json_text(end).encode(), items=1)
            self.sync()
        finally:
            self.file.close()

    def abandon(self) -> None:
        """Close the file as it is, without an end block; what is written goes to the disk."""
        with contextlib.suppress(StorageError, OSError):
            self.sync()
        self.file.close()


class BlockReader:
    """Reads a block file front to back, past whatever is damaged.

    After iteration ``damage`` says what was lost, ``torn_bytes`` how many bytes at the end were not
    a complete, valid block, and ``end`` holds the end block's totals, or None if the writer never
    closed.
    """

    def __init__(self, path: Path) -> None:
        """Read the head; raises LogError."""
        self.path = path
        self.torn_bytes = 0
        self.damage = Damage()
        self.end: dict[str, Any] | None = None
        self.head = self._read_head()

    def _read_head(self) -> dict[str, Any]:
        with self._walk() as walk:
            found = walk.at(0, 0)
        if found is None or found[0].kind is not BlockKind.HEAD:
            raise LogError(
                f"{self.path} does not begin with a head block: it is not one of our logs, "
                "or its first bytes are damaged"
            )
        return self._object(found[1], "head")

    def _object(self, payload: bytes, what: str) -> dict[str, Any]:
        try:
            return object_in(payload)
        except FileRefused as error:
            raise LogError(f"{self.path}: its {what} block is of no use: {error}") from error

    @contextlib.contextmanager
    def _walk(self) -> Iterator[BlockWalk]:
        try:
            with regular_file(self.path) as file:
                yield BlockWalk(file.fileno(), self.path)
        except FileRefused as error:
            raise LogError(f"cannot read {self.path}: {error}") from error

    def __iter__(self) -> Iterator[Block]:
        """Yield the data blocks (neither head nor end); raises LogError if there is no file."""
        with self._walk() as walk:
            for place, payload in walk:
                if place.kind is BlockKind.END:
                    self.end = self._object(payload, "end")
                elif place.kind is not BlockKind.HEAD:
                    yield Block(place.kind, place.items, payload, place.position + HEADER)
            self.damage, self.torn_bytes = walk.damage, walk.torn_bytes

    def places(self) -> Iterator[BlockPlace]:
        """Yield where each data block lies, reading headers alone: payloads are not checked."""
        for place in self._all_places():
            if place.kind not in (BlockKind.HEAD, BlockKind.END):
                yield place

    def _all_places(self) -> Iterator[BlockPlace]:
        with self._walk() as walk:
            yield from walk.places()

    def last_sound(self) -> BlockPlace:
        """Return where the last block lies before a torn tail; its payload is sound."""
        for place in reversed(list(self._all_places())):
            with contextlib.suppress(LogError):
                self.at(place)
                return place
        raise LogError(f"{self.path} has not one sound block")

    def at(self, place: BlockPlace, count: int = 1) -> list[Block]:
        """Return ``count`` blocks from a place on; raises LogError if one is damaged."""
        blocks, position = [], place.position
        with self._walk() as walk:
            for number in range(place.sequence, place.sequence + count):
                found = walk.at(position, number)
                if found is None:
                    raise LogError(f"{self.path} is damaged at byte {position}")
                one, payload = found
                blocks.append(Block(one.kind, one.items, payload, one.position + HEADER))
                position = one.end
        return blocks


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

    @property
    def file(self) -> AppendedFile:
        """The open file, for :class:`~daq.folder.log_watch.LogWatch`."""
        return self._blocks.file

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
    ITEMS: ClassVar[str] = "events"

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
    def damage(self) -> Damage:
        """After reading: what could not be read though sound blocks follow it."""
        return self._blocks.damage

    @property
    def trouble(self) -> str:
        """After reading: in words what is damaged, "" if nothing is; a torn tail is no damage."""
        words = self.damage.words(self.ITEMS)
        return f"{self._blocks.path.name} is {words}" if words else ""

    @property
    def end(self) -> dict[str, Any] | None:
        """After reading: the totals written at the end, None where the run was cut off."""
        return self._blocks.end
