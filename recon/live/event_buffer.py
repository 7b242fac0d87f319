"""The live imager's memory: the newest events, a fixed number of them.

All memory is taken and touched when it is made, so a long run's memory curve is flat. Old events
leave when new ones need their place, or when a time window has passed them.

What is kept of an event is for its source of lines to say (:mod:`recon.live.lines`): a few
*columns*, arrays of one length.
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
    like : empty columns, whose types and further axes the ring's columns take
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
        """Return where the events first, first + step, … < stop lie; 0 is the oldest."""
        return (self._next - self._count + np.arange(first, stop, step)) % self.capacity

    def take(self, place: npt.NDArray[np.intp]) -> tuple[Columns, npt.NDArray[np.float32]]:
        """Return copies of the columns and weights at ``place``."""
        return tuple(column[place] for column in self._columns), self.weight[place]

    def put(self, place: npt.NDArray[np.intp], columns: Columns) -> None:
        """Replace the columns at ``place``."""
        for kept, column in zip(self._columns, columns, strict=True):
            kept[place] = column

    def overflow(self, coming: int) -> int:
        """Return how many events must leave before ``coming`` fit."""
        return max(0, self._count + coming - self.capacity)

    def append(self, columns: Columns, weight: npt.NDArray[np.float32]) -> None:
        """Add events, in place of the oldest where there is no room.

        Raises
        ------
        ValueError
            where they alone are more than the capacity.
        """
        n = len(weight)
        if n > self.capacity:
            raise ValueError(f"{n} events into a buffer of {self.capacity}: thin them first")
        place = (self._next + np.arange(n)) % self.capacity
        self.put(place, columns)
        self.weight[place] = weight
        self._next = int((self._next + n) % self.capacity)
        self._count = min(self.capacity, self._count + n)

    def drop(self, count: int) -> None:
        """Forget the ``count`` oldest events."""
        self._count = max(0, self._count - count)

    def clear(self) -> None:
        """Forget all events."""
        self._count = self._next = 0
