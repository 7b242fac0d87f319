"""Which events a live image contains, their weights, and how long they were collected.

Updates are booked one by one: prompts, events kept, wall and live seconds. From them a window
computes the sum of weights N and the exposure E that the image is divided by:

    grow              N = Σ n,                        E = Σ e
    slide, N s        the same over the last N s;     older updates leave
    forget, half h    N = Σ n 2^(−age/h),             E = Σ e 2^(−age/h)
    e = ∫ L(t) 2^(−t/T½) dt of an update, L the live share and T½ the half-life

so that the image shows the activity at the start of the run if decay is corrected, else the mean
over the window. Forgetting is done with weights that *grow*: an event at t has the weight 2^((t −
t₀)/h) for good, and all sums with it; the common factor cancels. t₀ is moved (:meth:`rescale`)
before numbers get large.

Memory is bounded: neighbouring updates are joined if there are more than ``MOST_ENTRIES``.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.messages.live_settings import TimeWindow

MOST_ENTRIES = 1024
LARGEST_WEIGHT = 2.0**20
HALF_LIVES_KEPT = 25.0
"""After this many half-lives an event counts 3e-8 of a new one and is forgotten."""


@dataclass
class Update:
    """The contents of one update.

    kept : how many of its events the buffer still holds
    weight : the prompts that these represent
    used : how many events were kept at first
    wall_s, live_s : time covered, and the part in which the scanner was live
    decayed_s, decayed_live_s : the same, weighted by 2^(−t/T½)
    thinned : whether some of its events have left the buffer
    """

    begin_ps: int
    end_ps: int
    kept: int
    weight: float
    wall_s: float
    live_s: float
    decayed_s: float
    decayed_live_s: float
    used: int = 0
    thinned: bool = False

    @property
    def middle_ps(self) -> int:
        """The time at which the whole update counts."""
        return (self.begin_ps + self.end_ps) // 2

    def exposure_s(self, *, live: bool, decay: bool) -> float:
        """Return its share of the exposure, depending on what is corrected."""
        if decay:
            return self.decayed_live_s if live else self.decayed_s
        return self.live_s if live else self.wall_s

    def join(self, other: Update) -> None:
        """Merge the following update into this one."""
        self.end_ps = other.end_ps
        self.kept += other.kept
        self.weight += other.weight
        self.used += other.used
        self.wall_s += other.wall_s
        self.live_s += other.live_s
        self.decayed_s += other.decayed_s
        self.decayed_live_s += other.decayed_live_s


class WindowBooks:
    """The books of one run under one window; see the module's formulae.

    Parameters
    ----------
    half_life_s : of the nuclide, 0 if unknown

    Attributes
    ----------
    missed : prompts of the run from before the books begin, seen by nobody here
    """

    def __init__(self, window: TimeWindow, *, half_life_s: float = 0.0) -> None:
        self.window = window
        self.half_life_s = half_life_s
        self.updates: deque[Update] = deque()
        self.missed = 0
        self._let_go: deque[tuple[int, float]] = deque()
        """End, ps, and prompts of updates that left as the window was changed, and belong to it."""
        self._zero_ps = 0

    def relative(self, time_ps: int) -> float:
        """Return the weight of an event at a time: 1 unless the window forgets."""
        if self.window.kind != "forget":
            return 1.0
        exponent = (time_ps - self._zero_ps) * 1e-12 / self.window.seconds
        return float(2.0 ** max(exponent, -100.0))

    def book(
        self, begin_ps: int, end_ps: int, *, kept: int, weight: float, live_share: float
    ) -> Update:
        """Add an update and return it.

        Parameters
        ----------
        begin_ps, end_ps : detector time that it covers, ps
        kept : number of its events that the buffer keeps
        weight : number of prompts that these represent
        live_share : the scanner's mean live share in this time; 1 if unknown
        """
        update = self._update(begin_ps, end_ps, kept, weight, live_share)
        self.updates.append(update)
        self._join_short()
        return dataclasses.replace(update)

    def _update(
        self, begin_ps: int, end_ps: int, kept: int, weight: float, live_share: float
    ) -> Update:
        wall_s = max(end_ps - begin_ps, 0) * 1e-12
        decayed_s = wall_s * self._decay((begin_ps + end_ps) / 2)
        return Update(
            begin_ps, end_ps, kept, weight, wall_s, wall_s * live_share,
            decayed_s, decayed_s * live_share, kept,
        )  # fmt: skip

    def begin_at(self, time_ps: int, *, missed: int) -> None:
        """Begin later than the run, of which ``missed`` prompts came before."""
        self.missed, self._zero_ps = missed, time_ps

    def book_before(
        self, begin_ps: int, end_ps: int, *, kept: int, weight: float, live_share: float
    ) -> Update | None:
        """Add an update from before all others and return it; None if the window has passed it.

        Its prompts no longer count as missed.

        Parameters
        ----------
        begin_ps, end_ps, kept, weight, live_share : as in :meth:`book`
        """
        now_ps = self.updates[-1].end_ps if self.updates else end_ps
        if end_ps <= self._oldest_ps(now_ps):
            return None
        update = self._update(begin_ps, end_ps, kept, weight, live_share)
        update.used, update.thinned = round(weight), not kept
        self.updates.appendleft(update)
        self.missed = max(0, self.missed - round(weight))
        self._join_many()
        return dataclasses.replace(update)

    def expire(self, now_ps: int) -> int:
        """Drop updates that the window has passed; return how many kept events leave."""
        oldest_ps, leaving = self._oldest_ps(now_ps), 0
        while self.updates and self.updates[0].end_ps <= oldest_ps:
            leaving += self.updates.popleft().kept
        while self._let_go and self._let_go[0][0] <= oldest_ps:
            self._let_go.popleft()
        return leaving

    def left_after(self, seconds: float) -> float:
        """Return the share of a count's weight that is left after a time.

        1 unless the window forgets. Under a sliding window the weight fades as if the window forgot
        over its own length.
        """
        if self.window.kind == "slide":
            return math.exp(-seconds / self.window.seconds)
        return 2.0 ** (-seconds / self.window.seconds) if self.window.kind == "forget" else 1.0

    def _oldest_ps(self, now_ps: int) -> float:
        """Return the time before which the window has passed everything."""
        lasts = {"grow": math.inf, "slide": 1.0, "forget": HALF_LIVES_KEPT}[self.window.kind]
        return now_ps - lasts * self.window.seconds * 1e12 if self.window.seconds else -1

    def change(self, window: TimeWindow) -> int:
        """Use another window; return how many of the oldest events leave the buffer.

        Updates whose events have left the buffer are known only as a sum, which is useless for
        another window: they are dropped, and the new window begins after them. While it would still
        hold them, they count as seen but not used.
        """
        self.window, self._zero_ps = window, self.updates[-1].end_ps if self.updates else 0
        leaving = 0
        while self.updates and self.updates[0].thinned:
            gone = self.updates.popleft()
            self._let_go.append((gone.end_ps, gone.weight))
            leaving += gone.kept
        return leaving

    def release(self, count: int) -> None:
        """Record that the oldest ``count`` kept events have left the buffer for lack of room."""
        for update in self.updates:
            if count <= 0:
                return
            gone = min(count, update.kept)
            update.kept -= gone
            update.thinned = True
            count -= gone

    def exposure_s(self, *, live: bool, decay: bool) -> float:
        """Return E in units of the relative weights; see :meth:`relative`."""
        return math.fsum(
            self.relative(one.middle_ps) * one.exposure_s(live=live, decay=decay)
            for one in self.updates
        )

    def release_whole(self, count: int) -> int:
        """Drop the oldest updates until ``count`` kept events have left; return how many did."""
        leaving = 0
        while self.updates and leaving < count:
            leaving += self.updates.popleft().kept
        return leaving

    def event_weights(self) -> npt.NDArray[np.float32]:
        """Return the weights of all kept events, oldest first."""
        each = [
            self.relative(one.middle_ps) * one.weight / max(one.kept, 1) for one in self.updates
        ]
        return np.repeat(np.array(each, np.float32), [one.kept for one in self.updates])

    @property
    def wall_s(self) -> float:
        """Detector time that the window holds, in units of the relative weights."""
        return math.fsum(self.relative(one.middle_ps) * one.wall_s for one in self.updates)

    @property
    def prompts(self) -> float:
        """Prompts that the window holds, in units of the relative weights."""
        return math.fsum(self.relative(one.middle_ps) * one.weight for one in self.updates)

    @property
    def seen(self) -> float:
        """Prompts that came within the window, those lost included, each counted once.

        A window over the whole run also holds those from before the books begin.
        """
        let_go = math.fsum(prompts for _, prompts in self._let_go)
        return self._came + let_go + (self.missed if self.window.kind == "grow" else 0)

    @property
    def _came(self) -> float:
        return math.fsum(one.weight for one in self.updates)

    @property
    def fraction_used(self) -> float:
        """Share of :attr:`seen` that was used."""
        return self._used / max(self.seen, 1.0)

    def use_all(self) -> None:
        """Record that all prompts of the window are used, those left out before, too."""
        for one in self.updates:
            one.used = round(one.weight)

    @property
    def each_worth(self) -> float:
        """What a prompt of the window is worth for the noise: events used over events that came."""
        return self._used / max(self._came, 1.0)

    @property
    def _used(self) -> int:
        return sum(one.used for one in self.updates)

    def rescale(self, now_ps: int) -> float:
        """Move t₀ to now if weights have grown large; return the divisor of all weights."""
        largest = self.relative(now_ps)
        if largest < LARGEST_WEIGHT:
            return 1.0
        self._zero_ps = now_ps
        return largest

    def _decay(self, time_ps: float) -> float:
        return 2.0 ** (-time_ps * 1e-12 / self.half_life_s) if self.half_life_s > 0 else 1.0

    def _join_short(self) -> None:
        """Join the newest two if both are short compared with the window."""
        shortest_s = self.window.seconds / 1000 if self.window.kind != "grow" else 0.0
        if len(self.updates) >= 2 and self.updates[-2].wall_s < shortest_s:
            last = self.updates.pop()
            self.updates[-1].join(last)
        self._join_many()

    def _join_many(self) -> None:
        """Join neighbours if there are too many updates."""
        if len(self.updates) > MOST_ENTRIES:
            pairs = list(self.updates)
            for one, other in zip(pairs[0::2], pairs[1::2], strict=False):
                one.join(other)
            self.updates = deque(pairs[0::2])
