"""The live imager's memory: the newest events, a fixed number of them.

All memory is taken and touched when it is made, so a long run's memory curve is flat. Old events
leave when new ones need their place; they are handed out so that their statistics can be kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recon.events import EventList, Lors, Selection


class EventBuffer:
    """A ring of ``capacity`` events."""

    def __init__(self, capacity: int, *, tof: bool) -> None:
        self.capacity = capacity
        self._count = 0
        self._next = 0
        lines = Lors(
            np.zeros((capacity, 3), np.float32),
            np.zeros((capacity, 3), np.float32),
            np.zeros(capacity if tof else 0, np.float32),
        )
        # Written, not only reserved: untouched pages would be added to the process as it fills.
        self._events = EventList.plain(lines)
        for array in (lines.start, lines.end, lines.offset_mm):
            array.fill(1.0)

    def __len__(self) -> int:
        return self._count

    @property
    def events(self) -> EventList:
        """The events held, as views, in no order."""
        return self._events.take(slice(0, self._count))

    def oldest(self, count: int) -> EventList:
        """Return copies of the ``count`` oldest events."""
        first = (self._next - self._count) % self.capacity
        return self._events.take((first + np.arange(count)) % self.capacity)

    def overflow(self, coming: int) -> int:
        """Return how many events must leave before ``coming`` fit."""
        return max(0, self._count + coming - self.capacity)

    def append(self, new: EventList) -> None:
        """Add events, in place of the oldest where there is no room.

        Raises
        ------
        ValueError
            where ``new`` alone is more than the capacity.
        """
        if len(new) > self.capacity:
            raise ValueError(f"{len(new)} events into a buffer of {self.capacity}: thin them first")
        place = (self._next + np.arange(len(new))) % self.capacity
        self._put(place, new)
        self._next = int((self._next + len(new)) % self.capacity)
        self._count = min(self.capacity, self._count + len(new))

    def clear(self) -> None:
        """Forget all events."""
        self._count = self._next = 0

    def _put(self, place: Selection, new: EventList) -> None:
        kept = self._events
        kept.lors.start[place] = new.lors.start
        kept.lors.end[place] = new.lors.end
        if len(kept.lors.offset_mm):
            kept.lors.offset_mm[place] = new.lors.offset_mm
        kept.weight[place] = new.weight
        kept.pair[place] = new.pair
        kept.factor[place] = new.factor


@dataclass
class PendingPrompts:
    """What came since the last update."""

    prompts: list[npt.NDArray[np.void]] = field(default_factory=list)
    count: int = 0
    missing: int = 0
