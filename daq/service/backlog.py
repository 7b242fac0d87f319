"""What is recorded and not sorted yet: in memory within a bound, beyond it on the disk only.

The raw log is written first. Where sorting cannot follow, frames leave the memory, and are read
from the log when their turn comes, so a slow sorter costs neither memory nor data.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from daq.folder.appended_file import AppendedFile
from daq.folder.blocks import BlockPlace, BlockReader
from daq.path.frame_check import CheckedFrames, recorded_frames

MOST_BYTES = 256 * 2**20
"""Of frames kept in memory."""


@dataclass
class _Batch:
    """Frames of one block of the log; ``frames`` is None where only the disk has them."""

    place: BlockPlace
    newest_ps: int
    size: int
    frames: CheckedFrames | None


class Backlog:
    """The batches of one run's raw log that wait to be sorted, oldest first.

    bytes : of all that wait; ``unloaded`` : batches that only the disk has
    """

    def __init__(self, log: AppendedFile, *, most_bytes: int = MOST_BYTES) -> None:
        self.bytes = 0
        self.unloaded = 0
        self._log, self._most_bytes = log, most_bytes
        self._reader: BlockReader | None = None
        self._batches: deque[_Batch] = deque()
        self._in_memory = 0

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def newest_ps(self) -> int:
        """The newest frame end of what waits; 0 if nothing does."""
        return max((batch.newest_ps for batch in self._batches), default=0)

    def add(self, frames: CheckedFrames, place: BlockPlace, newest_ps: int) -> None:
        """Add a batch that the log holds at ``place``."""
        size = len(frames.payload)
        fits = self._in_memory + size <= self._most_bytes
        self._batches.append(_Batch(place, newest_ps, size, frames if fits else None))
        self.bytes += size
        if fits:
            self._in_memory += size
        else:
            self.unloaded += 1

    def add_unloaded(self, place: BlockPlace, newest_ps: int) -> None:
        """Add a batch that only the disk has."""
        self._batches.append(_Batch(place, newest_ps, place.length, None))
        self.bytes += place.length
        self.unloaded += 1

    def take(self) -> CheckedFrames:
        """Return the oldest batch, which must exist; raises LogError if the log cannot be read."""
        batch = self._batches.popleft()
        self.bytes -= batch.size
        if batch.frames is not None:
            self._in_memory -= batch.size
            return batch.frames
        self.unloaded -= 1
        if self._reader is None or self._reader.path != self._log.path:
            self._reader = BlockReader(self._log.path)
        (block,) = self._reader.at(batch.place)
        return recorded_frames(block.payload)

    def clear(self) -> None:
        """Forget all."""
        self._batches.clear()
        self.bytes = self.unloaded = self._in_memory = 0
