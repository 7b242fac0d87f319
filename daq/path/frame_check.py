"""Checks every data frame before it is used: form, CRC, run, module, sequence.

A frame is either accepted or rejected under exactly one name, and per module ``sent = received +
lost`` follows from the sequence numbers alone, ``words sent = words received + words lost`` from
the cumulative counter in every header. A frame that comes twice is dropped; one that comes after
its successors (by less than 64) is accepted and no longer counts as lost. A module that restarts
during a run, and so numbers from 0 again in later periods, is followed; so is one whose numbers
begin anywhere, if its FIRST frame says so. A period far ahead of the frame's number is refused: one
bad clock must not make all other modules late.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import crc32c
import numpy as np
import numpy.typing as npt

from hw.jit import Array, Record, kernel
from hw.wire.protocol import (
    CRC_OFFSET,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_SYNC_LOST,
    HEADER_BYTES,
    HEADER_DTYPE,
    MAGIC,
    MAX_EVENTS,
    VERSION,
    WORD_BYTES,
)


class Verdict(IntEnum):
    """The verdict on a frame. All but ACCEPTED are rejections, each with its own counter."""

    ACCEPTED = 0
    TRUNCATED = 1
    BAD_MAGIC = 2
    BAD_VERSION = 3
    BAD_LENGTH = 4
    BAD_CRC = 5
    OTHER_RUN = 6
    UNKNOWN_MODULE = 7
    DUPLICATE = 8
    OUT_OF_STEP = 9


CORRUPT = (Verdict.TRUNCATED, Verdict.BAD_MAGIC, Verdict.BAD_LENGTH, Verdict.BAD_CRC)
"""The verdicts that mean damaged bytes; counted together as ``frames.corrupt``."""

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
        ("sync_lost", "<i8"),
        ("epochs", "<i8"),
        ("epoch", "<u2"),
        ("temperature", "<i2"),
        ("bias", "<u2"),
        ("flags", "u1"),
        ("ended", "u1"),
        ("heard", "u1"),
        ("spare", "u1"),
    ]
)
"""A module's link: sequence state and counters. ``seen``: bit k set = sequence next−1−k has come.
``frames_base``, ``words_base``: the counts when the module last restarted. ``dead_time`` in 5 ns
units. ``offset``: period less sequence number; ``slips``: changes of it; ``sync_lost``: frames
without SYNC; ``epochs``: changes of ``epoch``.
"""

LEAP_PERIODS = 64
"""A frame whose period is further than this ahead of what its number says is refused. Smaller steps
are followed and counted: they delay nobody, for the stall bound is longer.
"""

_WINDOW = 64
_ALL_SEEN = np.uint64(0xFFFFFFFFFFFFFFFF)

_COUNT = struct.Struct("<I")
_COUNT_OFFSET: int = HEADER_DTYPE.fields["event_count"][1]  # type: ignore[index]

Frame = bytes | memoryview


@kernel
def judge_frames(
    headers: Array, lengths: Array, crcs: Array, run_tag: np.uint32, links: Array, verdicts: Array
) -> None:
    """Fill ``verdicts`` (n,) u1 and count into ``links``, frame after frame in order of arrival.

    headers : (n,) HEADER_DTYPE; ``lengths`` (n,) in bytes; ``crcs`` (n,) u4, as computed here
    run_tag : of the open run; ``links`` : (modules,) records, see above
    """
    for i in range(headers.shape[0]):
        h = headers[i]
        if lengths[i] < HEADER_BYTES:
            verdicts[i] = 1
        elif h.magic != MAGIC:
            verdicts[i] = 2
        elif h.version != VERSION:
            verdicts[i] = 3
        elif h.event_count > MAX_EVENTS or lengths[i] != HEADER_BYTES + WORD_BYTES * h.event_count:
            verdicts[i] = 4
        elif h.crc != crcs[i]:
            verdicts[i] = 5
        elif h.run_tag != run_tag:
            verdicts[i] = 6
        elif h.module >= links.shape[0]:
            verdicts[i] = 7
        elif _leaps(h, links[h.module]):
            verdicts[i] = 9
        elif not _follow_sequence(h, links[h.module]):
            verdicts[i] = 8
        else:
            verdicts[i] = 0
            _count_frame(h, links[h.module])


@kernel
def _ahead(h: Record, link: Record) -> int:
    """Return how far the frame's number is ahead of the expected one, wrapping round."""
    ahead = int(h.sequence) - (link.next_sequence & 0xFFFFFFFF)
    if ahead > 0x7FFFFFFF:
        ahead -= 0x100000000
    elif ahead < -0x7FFFFFFF:
        ahead += 0x100000000
    return ahead


@kernel
def _leaps(h: Record, link: Record) -> bool:
    """Return whether the frame's period is far ahead of what its number says."""
    ahead = _ahead(h, link)
    if link.heard == 0 or h.flags & FLAG_FIRST or ahead < 0:
        return False
    return np.int64(h.frame_id) - (link.next_sequence + ahead) - link.offset > LEAP_PERIODS


@kernel
def _follow_sequence(h: Record, link: Record) -> bool:
    """Advance the module's sequence; return False for a frame seen before."""
    count = np.int64(h.event_count)
    periods = np.int64(h.frame_id) - link.last_frame_id
    if h.flags & FLAG_FIRST and periods > 0:
        _begin(h, link)
    ahead = _ahead(h, link)
    if ahead >= 0:
        link.lost += ahead
        link.words_lost += max(np.int64(0), np.int64(h.events_before) - link.next_word)
        link.next_sequence += ahead + 1
        link.next_word = np.int64(h.events_before) + count
        link.seen = (link.seen << np.uint64(ahead + 1)) if ahead + 1 < _WINDOW else np.uint64(0)
        link.seen |= np.uint64(1)
        offset = np.int64(h.frame_id) - link.next_sequence + 1
        if link.heard and offset != link.offset and not h.flags & FLAG_FIRST:
            link.slips += 1
        link.offset = offset
        return True
    if periods > 0:  # an old number in a new period: the module began anew
        fresh = np.int64(h.sequence)
        if fresh >= periods:
            return False
        link.resets += 1
        link.frames_base += link.next_sequence
        link.words_base += link.next_word
        link.lost += fresh
        link.words_lost += np.int64(h.events_before)
        link.next_sequence = fresh + 1
        link.offset = np.int64(h.frame_id) - fresh
        link.next_word = np.int64(h.events_before) + count
        link.seen = (_ALL_SEEN << np.uint64(fresh + 1)) if fresh + 1 < _WINDOW else np.uint64(0)
        link.seen |= np.uint64(1)
        return True
    back = -ahead - 1
    bit = np.uint64(1) << np.uint64(back)
    if back >= _WINDOW or (link.seen & bit) != 0:
        return False
    link.seen |= bit
    link.reordered += 1
    link.lost -= 1
    link.words_lost -= count
    return True


@kernel
def _begin(h: Record, link: Record) -> None:
    """Let the module's numbers begin with this frame, its first ever or since a restart."""
    link.resets += link.heard
    link.frames_base += link.next_sequence - np.int64(h.sequence)
    link.words_base += link.next_word - np.int64(h.events_before)
    link.next_sequence = np.int64(h.sequence)
    link.next_word = np.int64(h.events_before)
    link.seen = _ALL_SEEN


@kernel
def _count_frame(h: Record, link: Record) -> None:
    if h.flags & FLAG_SYNC_LOST:
        link.sync_lost += 1
    if np.int64(h.frame_id) > link.last_frame_id:
        if link.heard and h.epoch != link.epoch:
            link.epochs += 1
        link.epoch = h.epoch
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


@dataclass(frozen=True)
class CheckedFrames:
    """The accepted frames of a batch: their bytes end to end, their headers and word positions.

    payload : bytes of all accepted frames, in order of arrival
    headers : (n,) HEADER_DTYPE; word_starts : (n,) i8, index of a frame's first word in the
        payload seen as 64-bit words
    """

    payload: bytes
    headers: npt.NDArray[np.void]
    word_starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.headers)


class FrameChecker:
    """Checks batches of one run's frames and keeps the state of the modules' links.

    verdicts : (10,) i8 number of frames by :class:`Verdict`
    """

    def __init__(self, *, n_modules: int, run_tag: int) -> None:
        self.links = np.zeros(n_modules, dtype=LINK)
        self.links["last_frame_id"] = -1
        self.links["seen"] = _ALL_SEEN  # nothing comes before sequence 0
        self.verdicts = np.zeros(len(Verdict), dtype=np.int64)
        self._run_tag = np.uint32(run_tag)

    def begin_with(self, headers: npt.NDArray[np.void]) -> None:
        """Let each module's numbers begin with its first of these frames: the run began before."""
        modules, first = np.unique(headers["module"], return_index=True)
        for name, of in (("next_sequence", "sequence"), ("next_word", "events_before")):
            self.links[name][modules] = headers[of][first]

    def check(self, frames: Sequence[Frame]) -> CheckedFrames:
        """Check the frames in order; return those accepted and count the others."""
        lengths = np.fromiter(map(len, frames), dtype=np.int64, count=len(frames))
        crcs = np.fromiter(map(_crc_of, frames), dtype=np.uint32, count=len(frames))
        joined = b"".join(frames)
        headers = _gather_headers(joined, lengths)
        verdicts = np.empty(len(frames), dtype=np.uint8)
        judge_frames(headers, lengths, crcs, self._run_tag, self.links, verdicts)
        self.verdicts += np.bincount(verdicts, minlength=len(Verdict))
        if verdicts.any():
            good = np.flatnonzero(verdicts == Verdict.ACCEPTED)
            joined = b"".join([frames[int(i)] for i in good])
            headers, lengths = headers[good], lengths[good]
        ends = np.cumsum(lengths)
        return CheckedFrames(joined, headers, (ends - lengths + HEADER_BYTES) // WORD_BYTES)

    def disown(self, frames: CheckedFrames) -> None:
        """Count accepted frames as lost after all: they could not be recorded."""
        modules = frames.headers["module"]
        count = np.bincount(modules, minlength=len(self.links))
        words = np.bincount(modules, frames.headers["event_count"], len(self.links))
        for name, amount in (("", count), ("words_", words.astype(np.int64))):
            self.links[f"{name}received"] -= amount
            self.links[f"{name}lost"] += amount


def joined(first: CheckedFrames, second: CheckedFrames) -> CheckedFrames:
    """Return two batches as one."""
    moved = second.word_starts + len(first.payload) // WORD_BYTES
    return CheckedFrames(
        first.payload + second.payload,
        np.concatenate((first.headers, second.headers)),
        np.concatenate((first.word_starts, moved)),
    )


def recorded_frames(payload: bytes) -> CheckedFrames:
    """Return frames that were accepted and recorded, as they lie end to end in a block."""
    starts, at = [], 0
    while at < len(payload):
        starts.append(at)
        (count,) = _COUNT.unpack_from(payload, at + _COUNT_OFFSET)
        at += HEADER_BYTES + WORD_BYTES * count
    bounds = np.array([*starts, at], dtype=np.int64)
    lengths = bounds[1:] - bounds[:-1]
    ends = np.cumsum(lengths)
    headers = _gather_headers(payload, lengths)
    return CheckedFrames(payload, headers, (ends - lengths + HEADER_BYTES) // WORD_BYTES)


def _crc_of(frame: Frame) -> int:
    view = memoryview(frame)
    return crc32c.crc32c(view[HEADER_BYTES:], crc32c.crc32c(view[:CRC_OFFSET]))


def _gather_headers(joined: bytes, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Copy the headers from the joined frames; a frame too short for one gives zeros."""
    buffer = np.frombuffer(joined, dtype=np.uint8)
    starts = np.cumsum(lengths) - lengths
    rows = np.zeros((len(lengths), HEADER_BYTES), dtype=np.uint8)
    whole = lengths >= HEADER_BYTES
    if whole.any():
        rows[whole] = buffer[starts[whole, None] + np.arange(HEADER_BYTES)]
    return rows.view(HEADER_DTYPE)[:, 0]
