"""The log of refused frames: those not accepted, each with why, when and where.

``refused.tmraw`` is made when there is something to keep. It is bounded in bytes and in rate, so
that a source gone mad fills no disk; what is not kept is counted by verdict. docs/file-format.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from daq.errors import LogError, StorageError
from daq.folder.blocks import Block, LogReader, LogWriter
from hw.wire.block_layout import BlockKind

FILE_NAME = "refused.tmraw"
FORMAT = "tomoshibi refused frames"

MOST_BYTES = 256 * 2**20
BYTES_PER_S = 4 * 2**20
BURST_BYTES = 32 * 2**20

REFUSED = np.dtype(
    [
        ("arrival_ns", "<i8"),
        ("before", "<i8"),
        ("place", "<i8"),
        ("length", "<u4"),
        ("verdict", "<u4"),
    ]
)
"""What stands before each frame: when its verdict came, by the clock that never goes back; the
number of frames accepted, and of all that came, before it; its length in bytes, and why it was
refused.
"""


class RefusedFrame(Protocol):
    """A frame that was refused, as the frame checker hands it on."""

    @property
    def frame(self) -> bytes:
        """Its bytes."""

    @property
    def verdict(self) -> int:
        """Why it was refused."""

    @property
    def place(self) -> int:
        """The number of frames that had come before."""

    @property
    def before(self) -> int:
        """The number of frames that had been accepted before."""


class RefusedWriter(LogWriter):
    """Appends refused frames to a new log, one block per batch."""

    FORMAT = FORMAT

    def append(self, payload: bytes, *, frames: int) -> None:
        """Write records and frames end to end; raises StorageError."""
        self._blocks.append(BlockKind.REFUSED, payload, items=frames)


class RefusedFrames:
    """Keeps one run's refused frames, within bounds. If it fails, nothing else does.

    kept : the number of frames in the log
    not_kept : the numbers of others, by verdict
    error : why it keeps no more, "" while it does
    """

    def __init__(self, path: Path, head: dict[str, Any], *, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._head = path, head
        self._room, self._bucket, self._then_ns = most_bytes, BURST_BYTES, 0
        self._log: RefusedWriter | None = None
        self.kept = 0
        self.not_kept: dict[str, int] = {}
        self.error = ""

    def keep(self, frames: Sequence[RefusedFrame], arrival_ns: int) -> None:
        """Write what fits and count the rest; never raises StorageError."""
        if not frames:
            return
        since_ns, self._then_ns = arrival_ns - (self._then_ns or arrival_ns), arrival_ns
        gained = max(0, since_ns) * BYTES_PER_S // 10**9
        self._bucket = min(BURST_BYTES, self._bucket + gained)
        chosen = [one for one in frames if self._has_room(one)]
        if chosen and not self._write(chosen, arrival_ns):
            for one in chosen:
                self._count_out(one)

    def _has_room(self, one: RefusedFrame) -> bool:
        size = REFUSED.itemsize + len(one.frame)
        if self.error or size > min(self._room, self._bucket):
            self._count_out(one)
            return False
        self._room -= size
        self._bucket -= size
        return True

    def _count_out(self, one: RefusedFrame) -> None:
        name = getattr(one.verdict, "name", str(one.verdict)).lower()
        self.not_kept[name] = self.not_kept.get(name, 0) + 1

    def _write(self, frames: Sequence[RefusedFrame], arrival_ns: int) -> bool:
        payload = b"".join(
            np.array(
                (arrival_ns, one.before, one.place, len(one.frame), int(one.verdict)), REFUSED
            ).tobytes()
            + one.frame
            for one in frames
        )
        try:
            if self._log is None:
                self._log = RefusedWriter(self._path, self._head)
            self._log.append(payload, frames=len(frames))
        except StorageError as error:
            self.error = f"refused frames are kept no more, only counted: {error}"
            return False
        self.kept += len(frames)
        return True

    def close(self) -> None:
        """Close the log, if there is one; never raises StorageError."""
        if self._log is None:
            return
        try:
            self._log.close({"refused_kept": self.kept, "refused_not_kept": self.not_kept})
        except StorageError as error:
            self.error = self.error or str(error)
        self._log = None

    def abandon(self) -> None:
        """Close the log as it is."""
        if self._log is not None:
            self._log.abandon()
            self._log = None


class RefusedReader(LogReader):
    """Reads refused frames back: each with its record, () REFUSED."""

    FORMAT = FORMAT
    ITEMS = "refused frames"

    def __iter__(self) -> Iterator[tuple[np.void, bytes]]:
        """Yield the frames with their records; raises LogError."""
        for block in self._blocks:
            yield from self._frames(block)

    def _frames(self, block: Block) -> Iterator[tuple[np.void, bytes]]:
        at = 0
        while at < len(block.payload):
            begin = at + REFUSED.itemsize
            if begin > len(block.payload):
                raise LogError(f"{self._blocks.path}, block at {block.offset}: a record is cut off")
            record = np.frombuffer(block.payload, REFUSED, 1, at)[0]
            at = begin + int(record["length"])
            if at > len(block.payload):
                raise LogError(f"{self._blocks.path}, block at {block.offset}: a frame is cut off")
            yield record, block.payload[begin:at]
