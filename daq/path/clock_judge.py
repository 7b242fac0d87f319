"""Judges a module's clock by the others': a wrong one must not make all other modules late.

A frame whose period is what its number says is in step, and needs no judge. Any other (the first of
a module, the first after a restart, one whose clock leapt) claims a time. It is accepted where that
harms nobody: where it is no further ahead of the newest of the others than these are waited for. If
it is, most of the other modules must be there, too. Refused claims count, so that modules that all
move on together are followed once most of them have said so. A module whose claims agree with each
other is believed after ``ALONE`` of them if there is no other, and after ``UNOPPOSED`` if no other
has said anything meanwhile.

docs/adr/0025-a-clock-is-judged-by-the-others.md
"""

from __future__ import annotations

import numpy as np

from daq.path.link_state import LEAP_PERIODS
from hw.arrays import Array
from hw.jit import Record, kernel
from hw.wire.protocol import FRAME_PERIOD_PS

ALONE, UNOPPOSED = 8, 64
"""So many claims in a row must agree."""

HARMLESS_PERIODS = 800_000_000_000 // FRAME_PERIOD_PS
"""A module may be so far (0.8 s) ahead of the others: less than the stall bound of 1 s, so they
do not become late by it. One whose link was away is so, where queues are emptied in turns: behind
the gap, its frames come together with what others sent long before.
"""

STALE_PERIODS = 1_000_000_000_000 // FRAME_PERIOD_PS
"""A module that is so far (1 s) behind the newest holds nobody back any more."""


@kernel
def may_claim(h: Record, links: Array, earliest: int) -> bool:
    """Return whether a frame that is out of step may be accepted.

    links : (modules,) LINK; ``earliest`` : the period at which the run, or its sources, began
    """
    period, link = np.int64(h.frame_id), links[h.module]
    others = earliest
    for m in range(links.shape[0]):
        if m != h.module:
            others = max(others, int(links[m].last_frame_id))
    newest = max(others, int(link.last_frame_id))
    if period <= max(others + HARMLESS_PERIODS, newest + LEAP_PERIODS):
        return True
    there = behind = silent = 0
    for m in range(links.shape[0]):
        other = links[m]
        if m == h.module or other.claim < 0 or other.ended:
            continue
        if other.claim >= period - LEAP_PERIODS:
            there += 1
        elif other.claim >= newest - STALE_PERIODS:
            behind += 1
            silent += 1 if other.claimed_at < link.streak_from else 0
    if there > behind:
        return True
    if behind == 0:
        return _agree(link, period) and link.streak >= ALONE
    return behind == silent and _agree(link, period) and link.streak >= UNOPPOSED


@kernel
def _agree(link: Record, period: int) -> bool:
    return link.streak > 0 and 0 < period - link.claim <= LEAP_PERIODS


@kernel
def note_claim(h: Record, link: Record, number: int, refused: bool) -> None:
    """Note what a frame claimed, the ``number``-th of all that came."""
    period = np.int64(h.frame_id)
    if not refused:
        link.streak = 0
    elif _agree(link, period):
        link.streak += 1
    else:
        link.streak, link.streak_from = 1, number
    link.claim, link.claimed_at = period, number
