"""The raw log: the accepted data frames of a run as they came, after a self-describing head.

It is the record of the run: everything else in a run folder can be made from it again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from daq.errors import LogError
from daq.folder.blocks import Block, BlockPlace, LogReader, LogWriter
from hw.wire.block_layout import BlockKind
from hw.wire.protocol import HEADER_BYTES, HEADER_DTYPE, WORD_BYTES

FILE_NAME = "raw.tmraw"
FORMAT = "tomoshibi raw log"
COUNT_OFFSET: int = HEADER_DTYPE.fields["event_count"][1]  # type: ignore[index]


class RawLogWriter(LogWriter):
    """Appends accepted frames to a new raw log, one block per batch."""

    FORMAT = FORMAT

    def append(self, payload: bytes | memoryview, *, frames: int) -> BlockPlace:
        """Write frames laid end to end, and return where; they then outlive this process.

        Raises StorageError.
        """
        return self._blocks.append(BlockKind.FRAMES, payload, items=frames)


class RawLogReader(LogReader):
    """Reads a raw log back as batches of frames."""

    FORMAT = FORMAT
    ITEMS = "frames"

    @property
    def closed(self) -> bool:
        """Whether the log's writer closed it."""
        return self._blocks.last_sound().kind is BlockKind.END

    def places(self) -> Iterator[BlockPlace]:
        """Yield where each block of frames lies."""
        return self._blocks.places()

    def frames_at(self, place: BlockPlace) -> list[memoryview]:
        """Return the frames of a block; raises LogError if it is damaged."""
        (block,) = self._blocks.at(place)
        return self._frames(block)

    def __iter__(self) -> Iterator[list[memoryview]]:
        """Yield the frames of each block."""
        for block in self._blocks:
            yield self._frames(block)

    def _frames(self, block: Block) -> list[memoryview]:
        try:
            return split_frames(block.payload)
        except LogError as error:
            raise LogError(f"{self._blocks.path}, block at {block.offset}: {error}") from error


def split_frames(payload: bytes) -> list[memoryview]:
    """Separate frames laid end to end; each header gives the frame's length."""
    view, frames, start = memoryview(payload), [], 0
    while start < len(view):
        end = start + HEADER_BYTES
        if end <= len(view):
            at = start + COUNT_OFFSET
            end += WORD_BYTES * int(np.frombuffer(view[at : at + 4], dtype="<u4")[0])
        if end > len(view):
            raise LogError(f"raw log block: a frame at byte {start} runs beyond the block's end")
        frames.append(view[start:end])
        start = end
    return frames
