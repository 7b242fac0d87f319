"""The records of a run's logs as numpy views of the file: nothing is copied unless requested.

A log is a sequence of blocks with a header each (docs/file-format.md), so records of one kind are
not contiguous in the file: every block is a separate view, and one array of all of them is a copy.
Opening reads the log once to check each block's CRC; later access comes from the page cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE
from daq.folder import raw_log
from daq.folder.listmode_log import RECORDS, RecordReader
from daq.folder.raw_log import RawLogReader
from hw.arrays import Records
from hw.wire.block_layout import BlockKind
from hw.wire.protocol import (
    FRAME_PERIOD_LOG2,
    HEADER_BYTES,
    HEADER_DTYPE,
    KIND_SINGLE,
    ticks_to_ps,
    unpack_words,
)


class EventBlocks(Sequence[Records]):
    """Records of one kind in a log, block by block, in the order of the log.

    A sequence of blocks: ``len(blocks)`` is their number, ``blocks[0]`` and iteration give (n,)
    read-only structured views of the memory-mapped file. They are not aligned in memory: numpy
    reads them as they are, compiled code may need ``np.require(block, requirements=["A"])``, a copy
    of that block. ``np.asarray(blocks)`` is :meth:`concatenate`.

    Attributes
    ----------
    path : Path
        The log.
    dtype : numpy.dtype
        The record: ``COINCIDENCE`` (32 bytes), ``SINGLE``, ``ANGLE`` (16) or ``TRIPLE`` (40) of
        ``coincidence.events``.
    """

    def __init__(self, path: Path, kind: BlockKind, places: Sequence[tuple[int, int]]) -> None:
        self.path = path
        self.dtype: np.dtype[np.void] = RECORDS[kind]
        self._places = list(places)
        self._map = np.memmap(path, dtype=np.uint8, mode="r")

    @property
    def size(self) -> int:
        """Number of records in all blocks."""
        return sum(records for _, records in self._places)

    @property
    def nbytes(self) -> int:
        """Bytes of all records: the memory that :meth:`concatenate` takes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> Records: ...
    @overload
    def __getitem__(self, number: slice) -> list[Records]: ...
    def __getitem__(self, number: int | slice) -> Records | list[Records]:
        """Return a block, or a slice of blocks, as views."""
        if isinstance(number, slice):
            return [self._view(*place) for place in self._places[number]]
        return self._view(*self._places[number])

    def __iter__(self) -> Iterator[Records]:
        return (self._view(*place) for place in self._places)

    def _view(self, offset: int, records: int) -> Records:
        return np.frombuffer(self._map.data, self.dtype, count=records, offset=offset)

    def concatenate(self) -> Records:
        """Return all records in one writable array: a copy of :attr:`nbytes`.

        It reads and writes every record once, at some ten million coincidences a second, and takes
        the memory; a loop over the blocks avoids both.
        """
        return np.concatenate([np.empty(0, self.dtype), *self])

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self}: blocks do not lie side by side, one array is a copy")
        found = self.concatenate()
        return found if dtype is None else found.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"EventBlocks({self.path.name}: {self.size} records in {len(self)} blocks)"


def blocks_of(reader: RecordReader, path: Path) -> dict[BlockKind, EventBlocks]:
    """Return a log's records by kind, after checking every block once.

    A log that was not closed, or is damaged, is used up to its last whole block.
    """
    places: dict[BlockKind, list[tuple[int, int]]] = {kind: [] for kind in reader.KINDS}
    for kind, records, offset in reader.placed():
        if len(records):
            places[kind].append((offset, len(records)))
    return {kind: EventBlocks(path, kind, found) for kind, found in places.items()}


def raw_singles(
    folder: Path, crystals_per_module: int, crystal_map: npt.NDArray[np.uint16]
) -> Iterator[Records]:
    """Yield the singles of a run's raw log, block by block, as the modules sent them.

    They are neither calibrated nor selected by energy, and in order of arrival, not of time. Event
    words are packed (8 bytes), so these arrays of ``SINGLE`` (16 bytes) are unpacked, not views.

    Parameters
    ----------
    crystal_map : (modules, 4096) u2, the crystal of each raw position, as in a calibration set;
        empty where the words name crystals
    """
    for frames in RawLogReader(folder / raw_log.FILE_NAME):
        heads = b"".join(bytes(frame[:HEADER_BYTES]) for frame in frames)
        headers = np.frombuffer(heads, dtype=HEADER_DTYPE)
        payload = b"".join(bytes(frame[HEADER_BYTES:]) for frame in frames)
        words = unpack_words(np.frombuffer(payload, dtype="<u8"))
        count = headers["event_count"]
        module = np.repeat(headers["module"].astype(np.int64), count)
        period = np.repeat(headers["frame_id"].astype(np.int64), count)
        crystal = crystal_map[module, words["crystal"]] if len(crystal_map) else words["crystal"]
        seen = (words["kind"] == KIND_SINGLE) & (crystal < crystals_per_module)
        singles = np.zeros(int(seen.sum()), dtype=SINGLE)
        singles["time_ps"] = ticks_to_ps((period << FRAME_PERIOD_LOG2) + words["time"])[seen]
        singles["crystal"] = (module * crystals_per_module + crystal)[seen]
        singles["energy"] = words["energy"][seen]
        singles["flags"] = words["flags"][seen]
        singles["doi"] = words["doi"][seen]
        yield singles
