"""What the live imager remembers: events in a ring, their books, and samples of them.

Ring and books stay in step: what leaves one leaves the other. Under a growing window, events that
leave for lack of room go to a spool on disk, if there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.arrays import Records
from hw.messages.live_settings import TimeWindow
from recon.core.events import EventList
from recon.live.event_buffer import Columns, EventBuffer
from recon.live.lines import LiveLines
from recon.live.run_list import RunList
from recon.live.spool import EventSpool
from recon.live.time_window import Update, WindowBooks

RESTATED_AT_ONCE = 60_000
"""Kept events whose lines get new corrections in one update, some 20 ms."""


class Kept(NamedTuple):
    """Events of the ring, and their places in it."""

    events: EventList
    places: npt.NDArray[np.intp]


class Sample(NamedTuple):
    """Some of the kept events.

    columns : what is kept of them; the records first weight : their weights, times the number of
    events of the window that each represents seconds : the time in which that many prompts come
    exposure : the mean exposure of a second of that time
    """

    columns: Columns
    weight: npt.NDArray[np.float32]
    seconds: float
    exposure: float


class EventMemory:
    """The events kept for one window.

    weight : the sum of their weights, which compensate for lost and omitted events
    spool : holds events of the window that have left the ring, or None
    listed : all events of the window, in place of what ring and spool hold, or None
    """

    def __init__(self, capacity: int, lines: LiveLines) -> None:
        self.buffer = EventBuffer(capacity, lines.empty)
        self._lines = lines
        self.spool: EventSpool | None = None
        self.listed: RunList | None = None
        self.begin(TimeWindow(), half_life_s=0.0)

    def begin(
        self, window: TimeWindow, *, half_life_s: float, spool: EventSpool | None = None
    ) -> None:
        """Forget everything and open the books of this window."""
        self.forget_spooled()
        self.spool, self.listed = spool, None
        self.books = WindowBooks(window, half_life_s=half_life_s)
        self.buffer.clear()
        self.weight = 0.0
        self._phase = 0
        self._to_restate = 0

    def __len__(self) -> int:
        return len(self.buffer)

    @property
    def keeps_every(self) -> int:
        """Interval of new events to keep (every k-th), so that a sliding window fits the ring."""
        window = self.books.window
        if window.kind != "slide" or self.books.wall_s <= 0:
            return 1
        coming = self.books.prompts / self.books.wall_s * window.seconds
        return max(1, int(np.ceil(1.05 * coming / self.buffer.capacity)))

    def add(self, columns: Columns, weights: npt.NDArray[np.float32], booked: Update) -> None:
        """Keep as many of the new events as were booked, to represent all of them."""
        total = float(weights.sum(dtype=np.float64))
        every = -(-len(weights) // booked.kept)
        share = np.float32(len(weights) / booked.kept)
        self.buffer.append(tuple(one[::every] for one in columns), weights[::every] * share)
        self.weight += total

    def has_room_before(self, events: int) -> bool:
        """Whether events from before all others can be held in the ring, in order of time."""
        return not self._left and not self.buffer.overflow(events)

    def add_before(self, columns: Columns, weights: npt.NDArray[np.float32]) -> None:
        """Hold events from before all others; see :meth:`has_room_before`."""
        self.buffer.prepend(columns, weights)
        self.weight += float(weights.sum(dtype=np.float64))
        if self._to_restate:
            self._to_restate += len(weights)

    def pass_by(self, records: Records, weights: npt.NDArray[np.float32]) -> None:
        """Count events of the window that the ring has no room for, and spool them if the window
        grows.
        """
        self._left += len(records)
        if self.spool is not None and self.books.window.kind == "grow":
            self.spool.append(records, weights)

    def coming(self, events: int, kept: int) -> npt.NDArray[np.intp]:
        """Return the places that new events will have; those not kept share a neighbour's."""
        every = max(1, -(-events // max(kept, 1)))
        return self.buffer.place(len(self.buffer), len(self.buffer) + kept)[
            np.minimum(np.arange(events) // every, max(kept - 1, 0))
        ]

    def sampled(self, first: int, sample: int) -> Kept:
        """Return about ``sample`` of the kept events from ``first`` on, weighted for all."""
        n = len(self.buffer)
        step = max(1, -(-(n - first) // max(sample, 1)))
        start = first + self._phase % step
        self._phase += 1
        place = self.buffer.place(min(start, n), n, step)
        columns, weight = self.buffer.take(place)
        weight = weight * np.float32((n - first) / max(len(place), 1))
        return Kept(self._lines.events(columns, weight), place)

    @property
    def held(self) -> int:
        """Number of events of the window, in the ring and spooled, or listed."""
        return len(self.buffer) + self._spooled if self.listed is None else len(self.listed)

    @property
    def complete(self) -> bool:
        """Whether no event of the window has left both ring and spool, or all are listed."""
        return self.listed is not None or self._left == self._spooled

    def parts(self, events: int) -> Iterator[EventList]:
        """Yield all events of the window in chunks, with the present corrections.

        Raises OSError if spooled ones cannot be read, ReconError if listed ones cannot.
        """
        if self.listed is not None:
            for some in self.listed.parts(events):
                yield self._lines.taken_in(some, np.ones(len(some), np.float32))[1]
            return
        for records, weight in self.spool.parts(events) if self.spool is not None else ():
            yield self._lines.taken_in(records, weight)[1]
        n = len(self.buffer)
        for first in range(0, n, events):
            place = self.buffer.place(first, min(first + events, n))
            yield self._lines.events(*self.buffer.take(place))

    def forget_spooled(self) -> None:
        """Discard the spooled events."""
        self._left = 0
        if self.spool is not None:
            self.spool.clear()

    @property
    def _spooled(self) -> int:
        return len(self.spool) if self.spool is not None else 0

    def sample_of_all(self, most: int, *, live: bool, decay: bool) -> Sample:
        """Return at most about ``most`` of the ring's events, spread evenly over their time.

        live, decay : what the exposure accounts for, see ``WindowBooks.exposure_s``
        """
        exposure_s = represented_s = 0.0
        n, step = len(self.buffer), max(1, -(-len(self.buffer) // most))
        for one in self.books.updates:
            if one.kept and one.weight > 0:
                # by its events: of the oldest update only some may be left, others are thinned
                share = one.kept / one.weight
                exposure_s += one.exposure_s(live=live, decay=decay) * share
                represented_s += one.wall_s * share
        place = self.buffer.place(0, n, step)
        columns, weight = self.buffer.take(place)
        kept = float(weight.sum(dtype=np.float64))
        return Sample(
            columns,
            weight * np.float32(self.books.prompts / kept if kept > 0 else 1.0),
            represented_s * len(place) / max(n, 1),
            exposure_s / represented_s if represented_s > 0 else 1.0,
        )

    def between(self, begin_ps: int, end_ps: int) -> tuple[Columns, npt.NDArray[np.float32]] | None:
        """Return the kept events of a time and their weights; None if some have left the ring.

        Events are in the order of their arrival: a few may be missing at either end.
        """
        first, last = self._place_at(begin_ps), self._place_at(end_ps)
        if last <= first or (first == 0 and self._left):
            return None
        return self.buffer.take(self.buffer.place(first, last))

    def _place_at(self, time_ps: int) -> int:
        """Return how many kept events came before a time, by bisection."""
        low, high = 0, len(self.buffer)
        while low < high:
            middle = (low + high) // 2
            columns, _ = self.buffer.take(self.buffer.place(middle, middle + 1))
            if int(columns[0]["time_ps"][0]) < time_ps:
                low = middle + 1
            else:
                high = middle
        return low

    # --- events that leave --------------------------------------------------------------------

    def expire(self, now_ps: int) -> float:
        """Forget what the window has passed; return its share of the weight."""
        return self._drop(self.books.expire(now_ps))

    def make_room(self, coming: int) -> tuple[Kept | None, float]:
        """Remove the oldest events to make room for ``coming`` new ones.

        Returns them if their statistic is to be kept (a sliding window keeps none), and their share
        of the weight.
        """
        leaving = self.buffer.overflow(coming)
        if not leaving:
            return None, 0.0
        if self.books.window.kind == "slide":
            return None, self._drop(self.books.release_whole(leaving))
        place = self.buffer.place(0, leaving)
        columns, weight = self.buffer.take(place)
        gone = Kept(self._lines.events(columns, weight), place)
        self._left += leaving
        if self.spool is not None and self.books.window.kind == "grow":
            self.spool.append(columns[0], weight)
        self.books.release(leaving)
        return gone, self._drop(leaving)

    def change_window(self, window: TimeWindow, now_ps: int) -> float:
        """Use another window; return the factor for the statistic of the kept events."""
        before = self.weight
        self.forget_spooled()
        self._drop(self.books.change(window))
        self.expire(now_ps)
        weights = self.books.event_weights()
        self.buffer.weight[self.buffer.place(0, len(self.buffer))] = weights
        share = self.weight / before if before > 0 else 0.0
        left, self.weight = self.weight, float(weights.sum(dtype=np.float64))
        return share * self.weight / left if left > 0 else 0.0

    def rescale(self, now_ps: int) -> float:
        """Divide all weights once they have grown large; return the divisor."""
        divided_by = self.books.rescale(now_ps)
        if divided_by != 1.0:
            self.buffer.weight /= np.float32(divided_by)
            self.weight /= divided_by
        return divided_by

    def _drop(self, leaving: int) -> float:
        """Forget the oldest events; return their share of the weight."""
        if leaving <= 0:
            return 0.0
        weight = float(self.buffer.weight[self.buffer.place(0, leaving)].sum(dtype=np.float64))
        share = min(1.0, weight / max(self.weight, weight, 1e-30))
        self.weight = max(0.0, self.weight - weight)
        self.buffer.drop(leaving)
        self._to_restate = max(0, self._to_restate - leaving)
        return share

    # --- corrections that change --------------------------------------------------------------

    @property
    def restated(self) -> bool:
        """Whether all kept lines have the present corrections."""
        return self._to_restate <= 0

    def lines_changed(self) -> None:
        """Record that the corrections of the kept events' lines have changed."""
        self._to_restate = len(self.buffer)

    def restate(self, at_once: int = RESTATED_AT_ONCE) -> bool:
        """Update the lines of the next kept events, newest first; return whether any are left."""
        if self._to_restate > 0:
            first = max(0, self._to_restate - at_once)
            place = self.buffer.place(first, self._to_restate)
            columns, _ = self.buffer.take(place)
            self.buffer.put(place, self._lines.columns(columns[0]))
            self._to_restate = first
        return self._to_restate > 0
