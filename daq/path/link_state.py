"""What is known of each module's link, and how accepted frames change it.

Per module ``sent = received + lost`` follows from the sequence numbers alone, and ``words sent =
words received + words lost`` from the cumulative counter in every header. All that is decided here
follows from the frames that were accepted, in their order: a replay of these decides alike.
"""

from __future__ import annotations

import numpy as np

from hw.jit import Record, kernel
from hw.messages.modules import LOW_BIAS_MV
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST, FLAG_SYNC_LOST

LINK = np.dtype(
    [
        ("next_sequence", "<i8"),
        ("seen", "<u8"),
        ("received", "<i8"),
        ("lost", "<i8"),
        ("reordered", "<i8"),
        ("resets", "<i8"),
        ("next_word", "<i8"),
        ("frames_base", "<i8"),
        ("words_base", "<i8"),
        ("words_received", "<i8"),
        ("words_lost", "<i8"),
        ("lost_in_module", "<i8"),
        ("dead_events", "<i8"),
        ("dead_time", "<i8"),
        ("last_frame_id", "<i8"),
        ("offset", "<i8"),
        ("slips", "<i8"),
        ("miscounts", "<i8"),
        ("sync_lost", "<i8"),
        ("epochs", "<i8"),
        ("low_bias", "<i8"),
        ("old_next", "<i8"),
        ("old_seen", "<u8"),
        ("claim", "<i8"),
        ("claimed_at", "<i8"),
        ("streak", "<i8"),
        ("streak_from", "<i8"),
        ("epoch", "<u2"),
        ("temperature", "<i2"),
        ("bias", "<u2"),
        ("bias_asked", "<u2"),
        ("flags", "u1"),
        ("ended", "u1"),
        ("heard", "u1"),
        ("spare", "u1"),
    ]
)
"""A module's link: sequence state and counters. ``seen``: bit k set = sequence next−1−k has come.
``frames_base``, ``words_base``: the counts when the module last restarted; ``old_next``,
``old_seen``: what ``next_sequence`` and ``seen`` were then. ``dead_time`` in 5 ns
units. ``offset``: period less sequence number; ``slips``: changes of it; ``miscounts``: frames
whose counter of words disagrees with their number; ``sync_lost``: frames without SYNC; ``epochs``:
changes of ``epoch``. ``bias_asked``: the bias of the first frame, in 10 mV, for no run begins
before the bias that was asked for is there; ``low_bias``: frames with less than that. For
:mod:`daq.path.clock_judge`: ``claim``: the period of the newest frame,
accepted or not, which came as the ``claimed_at``-th of all; ``streak``: so many in a row were
refused and agree, the first of them the ``streak_from``-th.
"""

LEAP_PERIODS = 64
"""A frame whose period is further than this from what its number says is out of step. Smaller steps
are followed and counted: they delay nobody, for the stall bound is longer.
"""

LOW_BIAS_10_MV = LOW_BIAS_MV // 10

WINDOW = 64
"""So many numbers back a frame may still come late."""

ALL_SEEN = np.uint64(0xFFFFFFFFFFFFFFFF)


def new_links(n_modules: int) -> np.ndarray:
    """Return the links of modules that have not been heard, (modules,) LINK."""
    links = np.zeros(n_modules, dtype=LINK)
    links["last_frame_id"] = links["claim"] = -1
    links["seen"] = ALL_SEEN  # nothing comes before sequence 0
    return links


@kernel
def ahead_of(h: Record, link: Record) -> int:
    """Return how far the frame's number is ahead of the expected one, wrapping round."""
    ahead = int(h.sequence) - (link.next_sequence & 0xFFFFFFFF)
    if ahead > 0x7FFFFFFF:
        ahead -= 0x100000000
    elif ahead < -0x7FFFFFFF:
        ahead += 0x100000000
    return ahead


@kernel
def begins(h: Record, link: Record) -> bool:
    """Return whether a module's numbers begin with this frame, as its flag says."""
    return h.flags & FLAG_FIRST != 0 and np.int64(h.frame_id) > link.last_frame_id


@kernel
def is_in_step(h: Record, link: Record, ahead: int) -> bool:
    """Return whether the frame's period is what its number says, within ``LEAP_PERIODS``."""
    return _goes_with_number(h, link, ahead) or _has_just_restarted(h, link, ahead)


@kernel
def _has_just_restarted(h: Record, link: Record, ahead: int) -> bool:
    """Return whether the module restarted, with number 0, soon after its last frame: its number is
    old, or its counter of events is, and as many periods have passed as its number says.
    """
    if link.heard == 0 or (ahead >= 0 and np.int64(h.events_before) >= link.next_word):
        return False
    passed = np.int64(h.frame_id) - link.last_frame_id
    return 0 < passed - np.int64(h.sequence) <= LEAP_PERIODS


@kernel
def _goes_with_number(h: Record, link: Record, ahead: int) -> bool:
    if link.heard == 0 or ahead < 0:
        return False
    off = np.int64(h.frame_id) - (link.next_sequence + ahead) - link.offset
    return -LEAP_PERIODS <= off <= LEAP_PERIODS


@kernel
def take_late(h: Record, link: Record, ahead: int) -> bool:
    """Take a frame that comes after its successors; return False for a repeated one."""
    back = -ahead - 1
    bit = np.uint64(1) << np.uint64(back)
    if back >= WINDOW or (link.seen & bit) != 0:
        return False
    link.seen |= bit
    link.reordered += 1
    _found(h, link)
    _count_frame(h, link)
    return True


@kernel
def is_straggler(h: Record, link: Record, ahead: int) -> bool:
    """Return whether a frame comes from before the module's restart, of which there was one."""
    if link.resets == 0 or ahead <= 0 or np.int64(h.frame_id) >= link.last_frame_id:
        return False
    return -WINDOW <= np.int64(h.sequence) - (link.old_next & 0xFFFFFFFF) < WINDOW


@kernel
def take_straggler(h: Record, link: Record) -> bool:
    """Take a frame from before the module's restart; return False for a repeated one."""
    beyond = np.int64(h.sequence) - (link.old_next & 0xFFFFFFFF)
    if beyond >= 0:
        link.old_seen = (
            (link.old_seen << np.uint64(beyond + 1)) if beyond + 1 < WINDOW else np.uint64(0)
        )
        link.old_seen |= np.uint64(1)
        link.old_next += beyond + 1
        link.lost += beyond
        link.frames_base += beyond + 1  # nobody missed it: its numbers ended before it
        link.words_base += np.int64(h.event_count)
    else:
        bit = np.uint64(1) << np.uint64(-beyond - 1)
        if (link.old_seen & bit) != 0:
            return False
        link.old_seen |= bit
        _found(h, link)
    link.reordered += 1
    _count_frame(h, link)
    return True


@kernel
def _found(h: Record, link: Record) -> None:
    """Count a frame as no longer lost."""
    link.lost -= 1
    known = min(np.int64(h.event_count), link.words_lost)
    link.words_lost -= known
    link.words_base += np.int64(h.event_count) - known  # only where the counters disagree


@kernel
def take_next(h: Record, link: Record, ahead: int) -> None:
    """Take a frame that is accepted and not late; ``ahead`` : of :func:`ahead_of`."""
    if begins(h, link):
        _begin(h, link)
        ahead = 0
    elif not (_goes_with_number(h, link, ahead) or _goes_on(h, link, ahead)):
        ahead = _begin_anew(h, link)
    gap = np.int64(h.events_before) - link.next_word
    if gap < 0 or (gap > 0 and ahead == 0):
        link.miscounts += 1
    link.lost += ahead
    link.words_lost += max(np.int64(0), gap)
    link.words_base -= min(np.int64(0), gap)
    link.next_sequence += ahead + 1
    link.next_word = np.int64(h.events_before) + np.int64(h.event_count)
    link.seen = (link.seen << np.uint64(ahead + 1)) if ahead + 1 < WINDOW else np.uint64(0)
    link.seen |= np.uint64(1)
    offset = np.int64(h.frame_id) - link.next_sequence + 1
    if link.heard and offset != link.offset and not h.flags & FLAG_FIRST:
        link.slips += 1
    link.offset = offset
    _count_frame(h, link)


@kernel
def _goes_on(h: Record, link: Record, ahead: int) -> bool:
    """Return whether a frame out of step continues the numbers, so that only its clock has moved.

    A module sends a frame a period: its numbers cannot have gained more than the time that passed.
    """
    if ahead < 0:
        return False
    passed = max(np.int64(h.frame_id) - link.last_frame_id, np.int64(0))
    return ahead <= passed + LEAP_PERIODS and np.int64(h.events_before) >= link.next_word


@kernel
def _begin(h: Record, link: Record) -> None:
    """Let the module's numbers begin with this frame, its first ever or since a restart."""
    link.old_next, link.old_seen = link.next_sequence, link.seen
    link.resets += link.heard
    link.frames_base += link.next_sequence - np.int64(h.sequence)
    link.words_base += link.next_word - np.int64(h.events_before)
    link.next_sequence = np.int64(h.sequence)
    link.next_word = np.int64(h.events_before)
    link.seen = ALL_SEEN


@kernel
def _begin_anew(h: Record, link: Record) -> int:
    """Let numbers begin anew without a FIRST frame; return how many frames were lost since.

    They begin at 0 where that can be, and the counter of words agrees that the module restarted.
    """
    link.old_next, link.old_seen = link.next_sequence, link.seen
    fresh, before = int(h.sequence), int(h.events_before)
    at_zero = fresh <= np.int64(h.frame_id) - link.last_frame_id + LEAP_PERIODS
    restarted = before < link.next_word or link.next_word == 0
    if not at_zero or not restarted:
        words_go_on = link.heard and before >= link.next_word
        link.resets += np.int64(link.heard and not words_go_on)
        link.frames_base += link.next_sequence - fresh
        link.next_sequence = fresh
        if not words_go_on:
            link.words_base += link.next_word - before
            link.next_word = before
        link.seen = ALL_SEEN
        link.offset = np.int64(h.frame_id) - fresh
        return 0
    link.resets += link.heard
    link.frames_base += link.next_sequence
    link.words_base += link.next_word
    link.next_sequence = link.next_word = np.int64(0)
    link.seen = ALL_SEEN
    link.offset = np.int64(h.frame_id) - fresh
    return fresh


@kernel
def _count_frame(h: Record, link: Record) -> None:
    if h.flags & FLAG_SYNC_LOST:
        link.sync_lost += 1
    if np.int64(h.frame_id) > link.last_frame_id:
        if link.heard and h.epoch != link.epoch:
            link.epochs += 1
        link.epoch = h.epoch
    if link.heard == 0:
        link.bias_asked = h.bias
    if np.int64(h.bias) + LOW_BIAS_10_MV < np.int64(link.bias_asked):
        link.low_bias += 1
    link.received += 1
    link.words_received += h.event_count
    link.lost_in_module += h.lost_events
    link.dead_events += h.dead_events
    link.dead_time += h.dead_time
    link.last_frame_id = max(link.last_frame_id, np.int64(h.frame_id))
    link.temperature, link.bias, link.flags = h.temperature, h.bias, h.flags
    link.heard = 1
    if h.flags & FLAG_LAST:
        link.ended = 1
