"""Reading a truth file: what an emulator knows of each event word sent by its modules.

The labels of a data frame are found by the frame's own header (module, frame id, events before),
so frames that came late, twice or not at all shift nothing. docs/file-format.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from daq.errors import LogError
from daq.folder.blocks import Block, BlockReader
from hw.arrays import Records
from hw.wire.block_layout import BlockKind
from hw.wire.truth_layout import FORMAT, FRAME, LABEL, UNKNOWN

_AHEAD = 512
"""How many periods a frame may be later than others: far more than the horizon allows."""

Key = tuple[int, int, int]


class TruthReader:
    """The labels of a run's frames, read as far as needed; ``head`` as written."""

    def __init__(self, path: Path) -> None:
        self._reader = BlockReader(path)
        self.head = self._reader.head
        if self.head.get("format") != FORMAT:
            raise LogError(f"{path} is a {self.head.get('format', 'file of another kind')}")
        self._blocks: Iterator[Block] = iter(self._reader)
        self._frames: dict[Key, Records] = {}
        self._periods: list[tuple[int, list[Key]]] = []
        self._newest = -1

    def labels_of(self, header: np.void) -> Records:
        """Return the labels of a data frame's words, (event_count,) LABEL.

        Words that are not in the file have the kind UNKNOWN.
        """
        key = (int(header["module"]), int(header["frame_id"]), int(header["events_before"]))
        while key not in self._frames and self._newest <= key[1] + _AHEAD and self._read_block():
            pass
        found = self._frames.get(key)
        count = int(header["event_count"])
        if found is None or len(found) != count:
            found = np.zeros(count, LABEL)
            found["kind"] = UNKNOWN
        return found

    def _read_block(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        if block.kind is not BlockKind.TRUTH:
            raise LogError(f"{self._reader.path} has a block of {block.kind.name.lower()}")
        table, labels = self._tables(block)
        ends = np.cumsum(table["words"], dtype=np.int64)
        keys = [
            (int(row["module"]), int(row["frame_id"]), int(row["events_before"])) for row in table
        ]
        for key, words, end in zip(keys, table["words"], ends, strict=True):
            self._frames[key] = labels[end - int(words) : end]
        self._newest = max([self._newest, *(key[1] for key in keys)])
        self._periods.append((self._newest, keys))
        self._forget()
        return True

    def _tables(self, block: Block) -> tuple[Records, Records]:
        """Return the frames and the labels in a block; raises LogError if they do not fit."""
        size = block.items * FRAME.itemsize
        labels_bytes = len(block.payload) - size
        if labels_bytes >= 0 and labels_bytes % LABEL.itemsize == 0:
            table = np.frombuffer(block.payload, FRAME, block.items)
            labels = np.frombuffer(block.payload, LABEL, offset=size)
            if int(table["words"].sum(dtype=np.int64)) == len(labels):
                return table, labels
        raise LogError(
            f"{self._reader.path}: the block of truth at byte {block.offset} does not hold the "
            "labels of its frames: written by another version?"
        )

    def _forget(self) -> None:
        """Forget periods so old that their frames can only be late; memory stays bounded."""
        while self._periods and self._periods[0][0] < self._newest - 2 * _AHEAD:
            for key in self._periods.pop(0)[1]:
                self._frames.pop(key, None)
