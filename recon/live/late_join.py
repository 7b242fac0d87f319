"""Events from before an imager joined its run, brought into the image bit by bit.

The list that the daq writes is read from its end to its beginning (:mod:`recon.live.past_events`),
so that the imager always holds one stretch of time, in order. Every event is kept, in memory or
spooled, as if it had come in time; ``STEP_SAMPLE`` events of a part move the image at once, and
later steps treat the others like all older events. A part's gain is its share of the counts: unlike
new events it says nothing more recent than the image does.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import F4, Records
from recon.core.events import EventList
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.live.memory import Kept
from recon.live.past_events import PastEvents, begin_of

STEP_SAMPLE = 4_000
"""Events of a part, and of those held before, that move the image."""

WINDOW_PIECES = 50
"""What a sliding or forgetting window may pass is booked in stretches of this part of it."""


class LateJoin:
    """What a late imager missed, and how far it has caught up.

    Parameters
    ----------
    at_ps : detector time from which the imager has events of its own; None if it has none
    live_share : the scanner's mean live share before that, 1 if not known
    """

    def __init__(
        self,
        imager: LiveImager[CrystalLines],
        events: PastEvents,
        *,
        at_ps: int | None,
        live_share: float = 1.0,
    ) -> None:
        self._imager = imager
        self._events = events
        self._live_share = live_share
        self._begin_ps = self.at_ps = 0
        self._passed = False
        self._joined = at_ps is not None
        if at_ps is not None:
            self._join(at_ps)

    def close(self) -> None:
        """Give up the rest."""
        self._events.close()

    @property
    def error(self) -> str:
        """Why the rest cannot be read."""
        return self._events.error

    @property
    def under_way(self) -> bool:
        """Whether there is more to come."""
        return self._events.waited_for

    @property
    def complete(self) -> bool:
        """Whether the image lacks nothing of what its time window holds."""
        return self._passed or self._events.complete

    def words(self) -> str:
        """Say how far it has caught up, "" once nothing is missing."""
        if self.complete:
            return ""
        if self.under_way:
            return f"catching up {100 * self._events.share:.0f} %"
        return f"from {self._begin_ps * 1e-12:.1f} s on: the imager was not there before"

    def advance(self, most: int, *, wait_s: float = 0.0) -> bool:
        """Take in at most ``most`` prompts, the newest that are missing; False if none is ready.

        wait_s : how long to wait for them
        """
        part = self._events.take(most, wait_s=wait_s)
        if part is None:
            return False
        if not self._joined:
            self._join(int(part.prompts["time_ps"].max(initial=0)) + 1)
        begin_ps = min(begin_of(part), self._begin_ps) if self._events.left else 0
        if not self._take(part.prompts, part.delayeds, begin_ps):
            self._passed = True
            self.close()
        return True

    def _join(self, at_ps: int) -> None:
        self._begin_ps, self.at_ps, self._joined = at_ps, at_ps, True
        self._imager.begin_at(at_ps, missed=self._events.prompts)

    def _take(self, prompts: Records, delayeds: Records, begin_ps: int) -> bool:
        """Return whether the window still reaches all of them, and memory has room for them."""
        imager, end_ps = self._imager, self._begin_ps
        memory, books = imager.memory, imager.books
        fits, every = memory.has_room_before(len(prompts)), memory.keeps_every
        if not fits and books.window.kind == "slide":
            return False
        records, weights, passed = [prompts[:0]], [np.empty(0, np.float32)], False
        for first_ps, some in self._pieces(prompts, begin_ps):
            kept = some[::every]
            booked = books.book_before(
                first_ps,
                self._begin_ps,
                kept=len(kept) if fits else 0,
                weight=len(some),
                live_share=self._live_share,
            )
            if passed := booked is None:
                break
            self._begin_ps = first_ps
            each = len(some) * books.relative(booked.middle_ps) / max(len(kept), 1)
            records.append(kept)
            weights.append(np.full(len(kept), each, dtype=np.float32))
            imager.intake.take_past(len(some), 0)
        self._take_delayeds(delayeds, end_ps)
        self._image(np.concatenate(records[::-1]), np.concatenate(weights[::-1]), fits=fits)
        return not passed

    def _pieces(self, prompts: Records, begin_ps: int) -> list[tuple[int, Records]]:
        """Return the prompts in stretches that the window may pass one by one, newest first."""
        window = self._imager.books.window
        if window.kind == "grow":
            return [(begin_ps, prompts)]
        length_ps = max(1, round(window.seconds * 1e12 / WINDOW_PIECES))
        edges = np.arange(self._begin_ps - length_ps, begin_ps, -length_ps)
        places = np.searchsorted(prompts["time_ps"], edges)
        begins = [*(int(edge) for edge in edges), begin_ps]
        stops = [len(prompts), *places]
        return [
            (first_ps, prompts[first:stop])
            for first_ps, first, stop in zip(begins, [*places, 0], stops, strict=True)
        ]

    def _take_delayeds(self, delayeds: Records, end_ps: int) -> None:
        """Take the delayeds that came up to ``end_ps`` since where the prompts now begin."""
        imager, books = self._imager, self._imager.books
        imager.intake.take_past(0, len(delayeds))
        age_s = max(0.0, (imager.intake.watermark_ps - end_ps) * 1e-12)
        seconds, share = (end_ps - self._begin_ps) * 1e-12, books.left_after(age_s)
        imager.lines.take_past_delayeds(delayeds, seconds=seconds, share=share)

    def _image(self, records: Records, weights: F4, *, fits: bool) -> None:
        """Hold the events before all others, or spool them; move the image by a sample."""
        imager, memory = self._imager, self._imager.memory
        if len(records) and fits:
            self._hold(records, weights)
        elif len(records):
            memory.pass_by(records, weights)
            every = _step(len(records))
            some, total = weights[::every], weights.sum(dtype=np.float64)
            for_all = some * np.float32(total / some.sum(dtype=np.float64))
            _, events = imager.lines.taken_in(records[::every], for_all)
            imager.estimates.freeze(Kept(events, np.arange(len(events))))
        imager.estimates.maximise(imager.exposure_s)

    def _hold(self, records: Records, weights: F4) -> None:
        imager, memory = self._imager, self._imager.memory
        columns, events = imager.lines.taken_in(records, weights)
        before, old = memory.weight, memory.sampled(0, STEP_SAMPLE)
        places = memory.buffer.place(-len(records), 0)
        memory.add_before(columns, weights)
        every = _step(len(records))
        some = events.take(np.arange(0, len(records), every))
        total = float(weights.sum(dtype=np.float64))
        scale = total / max(float(weights[::every].sum(dtype=np.float64)), 1e-30)
        scaled = EventList(some.lors, some.weight * np.float32(scale), some.addend)
        new = Kept(scaled, places[::every])
        if before <= 0:
            imager.estimates.step(new, old, keep=0.0, gain=1.0)
            return
        gain = min(1.0, total / max(imager.books.prompts, total))
        imager.estimates.step(new, old, keep=(1.0 - gain) * (1.0 + total / before), gain=gain)


def _step(events: int) -> int:
    """Return of how many events one moves the image."""
    return max(1, -(-events // STEP_SAMPLE))
