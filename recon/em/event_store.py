"""Prepared events on disk: memory does not grow with the list, every pass reads sequentially.

Events come in parts (any size, in order of time) and leave in *blocks*: arrays of one subset,
ordered so that neighbours meet the same voxels. A short list stays in memory. Beyond
``memory_limit_bytes`` all blocks go to one temporary file, unlinked as soon as it is open so that a
killed process leaves nothing behind, and are read through a memory map whose pages are released
after every subset. An event is 32 bytes: two ends, weight and addend (36 with TOF).

Subsets hold every M-th event of each buffer sorted by direction (``by="time"``: each subset covers
all times and directions equally), or the events of every M-th of about ``VIEWS`` transaxial views
(``by="angle"``, the classical OSEM of H. M. Hudson and R. S. Larkin, IEEE Trans. Med. Imaging 13
(1994) 601). Either way a subset sees about the same share of every voxel's sensitivity: 1/M, or its
share of the events where a scanner's few directions fill the views unequally.

Events of weight 0 (lines without sensitivity) are left out and counted.
"""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from hw.arrays import F4
from recon.core.events import EventList, Lors, joined
from recon.core.grid import ReconError
from recon.projector.event_order import order_for_cache

Partition = Literal["time", "angle"]

MEMORY_LIMIT_BYTES = 256 << 20
VIEWS = 96
BLOCK_EVENTS = 1 << 17
LEAST_BUFFER, MOST_BUFFER = 1 << 18, 1 << 21


class EventStoreError(ReconError):
    """Events cannot be stored: no room, or values that no reconstruction can use."""


@dataclass(frozen=True)
class _Place:
    """Where a block lies in the file."""

    offset: int
    events: int


class EventStore:
    """Prepared events, subset by subset; create it with :meth:`build`, close it after use."""

    def __init__(
        self, *, folder: Path | None, subsets: int, by: Partition, memory_limit_bytes: int
    ) -> None:
        if not 1 <= subsets <= 1000:
            raise EventStoreError(f"subsets = {subsets}: must lie in 1..1000")
        self.subsets = subsets
        self._weights = [0.0] * subsets
        self.left_out = 0
        self.has_tof: bool | None = None
        self._by = by
        self._folder = folder
        self._limit = memory_limit_bytes
        self._events = 0
        self._held: list[list[EventList]] = [[] for _ in range(subsets)]
        self._places: list[list[_Place]] = [[] for _ in range(subsets)]
        self._file: BinaryIO | None = None
        self._map: mmap.mmap | None = None
        self._closed = False

    @classmethod
    def build(
        cls,
        parts: Iterable[EventList],
        *,
        folder: Path | None = None,
        subsets: int = 8,
        by: Partition = "time",
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> EventStore:
        """Return a store of all events of ``parts``, which are consumed one by one.

        Parameters
        ----------
        parts : lists, all with TOF offsets or all without
        folder : where the temporary file goes; None for the system's temporary folder
        memory_limit_bytes : events beyond this go to the file

        Raises
        ------
        EventStoreError
            if a weight or addend is negative or not finite, or the disk is full
        """
        store = cls(folder=folder, subsets=subsets, by=by, memory_limit_bytes=memory_limit_bytes)
        try:
            store._fill(parts)
        except BaseException:
            store.close()
            raise
        return store

    def like(self, parts: Iterable[EventList]) -> EventStore:
        """Return a store of other events with the same subsets, in the same places."""
        return EventStore.build(
            parts,
            folder=self._folder,
            subsets=self.subsets,
            by=self._by,
            memory_limit_bytes=self._limit,
        )

    def __len__(self) -> int:
        return self._events

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def on_disk(self) -> bool:
        """Whether the events lie in a file."""
        return self._file is not None

    @property
    def total_weight(self) -> float:
        """Sum of all events' weights."""
        return sum(self._weights)

    def share(self, subset: int) -> float:
        """Return a subset's share of the total weight, about 1 / subsets."""
        total = self.total_weight
        return self._weights[subset] / total if total > 0 else 1.0 / self.subsets

    def subset(self, number: int) -> Iterator[EventList]:
        """Yield the blocks of one subset, in the same order every time."""
        if self._closed:
            raise EventStoreError("the event store is closed")
        yield from self._held[number]
        for place in self._places[number]:
            yield self._read(place)
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Release memory and disk. Blocks already handed out keep theirs until dropped."""
        self._held = [[] for _ in range(self.subsets)]
        self._places = [[] for _ in range(self.subsets)]
        self._map = None
        self._closed = True
        if self._file is not None:
            with contextlib.suppress(OSError):  # of what a full disk could not take
                self._file.close()
            self._file = None

    def _fill(self, parts: Iterable[EventList]) -> None:
        room = min(max(self.subsets * BLOCK_EVENTS, LEAST_BUFFER), MOST_BUFFER)
        waiting: list[EventList] = []
        count = 0
        for part in parts:
            for first in range(0, len(part), room):
                piece = self._checked(part.take(slice(first, first + room)))
                if count + len(piece) > room:
                    self._store(waiting)
                    waiting, count = [], 0
                waiting.append(piece)
                count += len(piece)
        self._store(waiting)
        if self._file is not None:
            # private, so that the arrays are writable: kernels for read-only ones are others
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)

    def _checked(self, events: EventList) -> EventList:
        """Return the events with weight above 0; raise if one cannot be used."""
        if self.has_tof is None:
            self.has_tof = events.lors.has_tof
        if self.has_tof != events.lors.has_tof:
            raise EventStoreError("some events have TOF offsets and some have none: use one kind")
        _check_numbers("weight", events.weight)
        _check_numbers("addend", events.addend)
        seen = events.weight > 0
        if seen.all():
            return events
        self.left_out += int(len(seen) - seen.sum())
        return events.take(np.flatnonzero(seen))

    def _store(self, waiting: list[EventList]) -> None:
        if not any(len(part) for part in waiting):
            return
        events = joined(waiting)
        self._events += len(events)
        order = order_for_cache(events.lors)
        for number, chosen in enumerate(self._dealt(events.lors, order)):
            if len(chosen):
                dealt = events.take(chosen)
                self._weights[number] += float(dealt.weight.sum(dtype=np.float64))
                self._held[number].append(dealt)
        if self._file is not None or self._events * self._event_bytes > self._limit:
            self._spill()

    def _dealt(self, lors: Lors, order: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
        """Return the events that each subset gets, in order."""
        if self._by == "time":
            return [order[number :: self.subsets] for number in range(self.subsets)]
        subset = (view_of(lors, self.subsets * max(1, VIEWS // self.subsets)) % self.subsets)[order]
        return [order[subset == number] for number in range(self.subsets)]

    @property
    def _event_bytes(self) -> int:
        return 36 if self.has_tof else 32

    def _spill(self) -> None:
        """Move all blocks held in memory to the end of the file."""
        where = self._folder or Path(tempfile.gettempdir())
        needed = self._event_bytes * sum(len(block) for held in self._held for block in held)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=where, prefix="tomoshibi-events-")  # noqa: SIM115
            for number, held in enumerate(self._held):
                for block in held:
                    self._places[number].append(_Place(self._file.tell(), len(block)))
                    for column in _columns(block):
                        self._file.write(column.data)
            self._file.flush()
        except OSError as error:
            raise EventStoreError(
                f"cannot keep {needed / 1e6:.0f} MB more of events in {where} "
                f"({error.strerror or error}): free some room or name another temporary folder"
            ) from error
        self._held = [[] for _ in range(self.subsets)]

    def _read(self, place: _Place) -> EventList:
        assert self._map is not None
        n, at = place.events, place.offset
        columns = []
        for width in (3, 3, 1, 1, 1) if self.has_tof else (3, 3, 1, 1):
            flat = np.frombuffer(self._map, np.float32, count=n * width, offset=at)
            columns.append(flat.reshape(n, 3) if width == 3 else flat)
            at += flat.nbytes
        start, end, weight, addend, *offset = columns
        return EventList(Lors(start, end, *offset), weight, addend)


def view_of(lors: Lors, views: int) -> npt.NDArray[np.int64]:
    """Return the view of each line: which of ``views`` equal steps of transaxial angle in 0..π."""
    along = lors.end - lors.start
    angle = np.nan_to_num(np.arctan2(along[:, 1], along[:, 0])) % np.float32(np.pi)
    return np.asarray(angle * (views / np.pi), dtype=np.int64).clip(0, views - 1)


def _check_numbers(name: str, values: F4) -> None:
    bad = int(len(values) - (np.isfinite(values) & (values >= 0)).sum())
    if bad:
        raise EventStoreError(
            f"{bad} events have a negative or infinite {name}: the rates or efficiencies of "
            "their lines are wrong"
        )


def _columns(events: EventList) -> list[F4]:
    lors = events.lors
    addend = events.addend if len(events.addend) else np.zeros(len(events), np.float32)
    columns = [lors.start, lors.end, events.weight, addend]
    if lors.has_tof:
        columns.append(lors.offset_mm)
    return [np.ascontiguousarray(column, dtype=np.float32) for column in columns]
