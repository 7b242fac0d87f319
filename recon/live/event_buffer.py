"""The live imager's memory: a fixed number of the newest events.

All memory is allocated and touched at creation, so memory stays flat over a long run. Old events
leave when new ones need their place, or when the time window has passed them.

What is kept of an event is defined by its source of lines (:mod:`recon.live.lines`): a few
*columns*, arrays of equal length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Columns = tuple[Column, ...]


class EventBuffer:
    """A ring of ``capacity`` events, oldest first.

    Parameters
    ----------
    like : empty columns that give the types and further axes of the ring's columns
    """

    def __init__(self, capacity: int, like: Sequence[Column]) -> None:
        self.capacity = capacity
        self._count = 0
        self._next = 0
        self._columns: Columns = tuple(
            np.empty((capacity, *column.shape[1:]), dtype=column.dtype) for column in like
        )
        # Written, not only reserved: untouched pages would be added to the process as it fills.
        for column in self._columns:
            column.view(np.uint8).fill(0)
        self.weight = np.ones(capacity, dtype=np.float32)

    def __len__(self) -> int:
        return self._count

    def place(self, first: int, stop: int, step: int = 1) -> npt.NDArray[np.intp]:
        """Return the places of the events first, first + step, … < stop; 0 is the oldest."""
        return (self._next - self._count + np.arange(first, stop, step)) % self.capacity

    def take(self, place: npt.NDArray[np.intp]) -> tuple[Columns, npt.NDArray[np.float32]]:
        """Return copies of the columns and weights at ``place``."""
        return tuple(column[place] for column in self._columns), self.weight[place]

    def put(self, place: npt.NDArray[np.intp], columns: Columns) -> None:
        """Replace the columns at ``place``."""
        for kept, column in zip(self._columns, columns, strict=True):
            kept[place] = column

    def overflow(self, coming: int) -> int:
        """Return how many events must leave so that ``coming`` fit."""
        return max(0, self._count + coming - self.capacity)

    def append(self, columns: Columns, weight: npt.NDArray[np.float32]) -> None:
        """Add events, replacing the oldest if there is no room.

        Raises
        ------
        ValueError
            if they exceed the capacity on their own.
        """
        n = len(weight)
        if n > self.capacity:
            raise ValueError(f"{n} events into a buffer of {self.capacity}: thin them first")
        place = (self._next + np.arange(n)) % self.capacity
        self.put(place, columns)
        self.weight[place] = weight
        self._next = int((self._next + n) % self.capacity)
        self._count = min(self.capacity, self._count + n)

    def prepend(self, columns: Columns, weight: npt.NDArray[np.float32]) -> None:
        """Add events before the oldest.

        Raises
        ------
        ValueError
            if there is no room for them.
        """
        n = len(weight)
        if self.overflow(n):
            raise ValueError(f"{n} older events, and room for {self.capacity - self._count}")
        place = self.place(-n, 0)
        self.put(place, columns)
        self.weight[place] = weight
        self._count += n

    def drop(self, count: int) -> None:
        """Forget the ``count`` oldest events."""
        self._count = max(0, self._count - count)

    def clear(self) -> None:
        """Forget all events."""
        self._count = self._next = 0
