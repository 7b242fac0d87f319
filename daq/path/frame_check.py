"""Checks every data frame before it is used: form, CRC, run, module, sequence, clock.

A frame is either accepted or rejected under exactly one name. A frame that comes twice is dropped;
one that comes after its successors (by less than 64) is accepted and no longer counts as lost. A
module that restarts during a run, and so numbers from 0 again in later periods, is followed; so is
one whose numbers begin anywhere. A frame that would pull the run's time forward against the other
modules is refused (:mod:`daq.path.clock_judge`): one bad clock must not make all others late.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import crc32c
import numpy as np
import numpy.typing as npt

from daq.path.clock_judge import may_claim, note_claim
from daq.path.link_state import (
    ahead_of,
    begins,
    is_in_step,
    is_straggler,
    new_links,
    take_late,
    take_next,
    take_straggler,
)
from hw.arrays import Array
from hw.jit import Record, kernel
from hw.wire.protocol import (
    CRC_OFFSET,
    FLAG_LAST,
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

_COUNT = struct.Struct("<I")
_COUNT_OFFSET: int = HEADER_DTYPE.fields["event_count"][1]  # type: ignore[index]

Frame = bytes | memoryview


@kernel
def judge_frames(
    headers: Array,
    lengths: Array,
    crcs: Array,
    run_tag: np.uint32,
    links: Array,
    state: Array,
    verdicts: Array,
) -> None:
    """Fill ``verdicts`` (n,) u1 and count into ``links``, frame after frame in order of arrival.

    headers : (n,) HEADER_DTYPE; ``lengths`` (n,) in bytes; ``crcs`` (n,) u4, as computed here
    run_tag : of the open run; ``links`` : (modules,) LINK
    state : (3,) i8, [frames so far, earliest period, whether clocks need no judge]
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
        else:
            verdicts[i] = _judge(h, links, state)


@kernel
def _judge(h: Record, links: Array, state: Array) -> int:
    """Return 0 for a frame that is taken, 8 for one seen before, 9 for one out of step."""
    link = links[h.module]
    ahead = ahead_of(h, link)
    first = begins(h, link)
    if not first and ahead < 0 and np.int64(h.frame_id) <= link.last_frame_id:
        return 0 if take_late(h, link, ahead) else 8
    if not first and is_straggler(h, link, ahead):
        return 0 if take_straggler(h, link) else 8
    state[0] += 1
    in_step = not first and is_in_step(h, link, ahead)
    refused = not in_step and state[2] == 0 and not may_claim(h, links, state[1])
    note_claim(h, link, state[0], refused)
    if refused:
        link.ended |= np.uint8(h.flags & FLAG_LAST != 0)  # it is the last one all the same
        return 9
    take_next(h, link, ahead)
    return 0


@dataclass(frozen=True)
class Refused:
    """A frame that was refused.

    place : the number of frames that had come before, of whatever verdict
    before : the number of frames that had been accepted before
    """

    frame: bytes
    verdict: Verdict
    place: int
    before: int


@dataclass(frozen=True)
class CheckedFrames:
    """The accepted frames of a batch: their bytes end to end, their headers and word positions.

    payload : bytes of all accepted frames, in order of arrival
    headers : (n,) HEADER_DTYPE; word_starts : (n,) i8, index of a frame's first word in the
        payload seen as 64-bit words
    refused : those of the batch that were not accepted
    """

    payload: bytes
    headers: npt.NDArray[np.void]
    word_starts: npt.NDArray[np.int64]
    refused: tuple[Refused, ...] = ()

    def __len__(self) -> int:
        return len(self.headers)


class FrameChecker:
    """Checks batches of one run's frames and keeps the state of the modules' links.

    verdicts : (10,) i8 number of frames by :class:`Verdict`
    """

    def __init__(self, *, n_modules: int, run_tag: int) -> None:
        self.links = new_links(n_modules)
        self.verdicts = np.zeros(len(Verdict), dtype=np.int64)
        self._run_tag = np.uint32(run_tag)
        self._state = np.zeros(3, dtype=np.int64)
        self._came = self._accepted = 0

    def expect(self, period: int) -> None:
        """Expect sources to begin, or to go on, at a period."""
        self._state[1] = max(self._state[1], period)

    def begin_with(self, headers: npt.NDArray[np.void]) -> None:
        """Let each module's numbers begin with its first frame here: the run began earlier."""
        modules, first = np.unique(headers["module"], return_index=True)
        for name, of in (("next_sequence", "sequence"), ("next_word", "events_before")):
            self.links[name][modules] = headers[of][first]

    def check(self, frames: Sequence[Frame], *, recorded: bool = False) -> CheckedFrames:
        """Check the frames in order; return those accepted and count the others.

        recorded : whether they are from a raw log, which holds only accepted frames: their clocks
            were judged already, also by frames that are not in it
        """
        lengths = np.fromiter(map(len, frames), dtype=np.int64, count=len(frames))
        crcs = np.fromiter(map(_crc_of, frames), dtype=np.uint32, count=len(frames))
        joined = b"".join(frames)
        headers = _gather_headers(joined, lengths)
        verdicts = np.empty(len(frames), dtype=np.uint8)
        self._state[2] = recorded
        judge_frames(headers, lengths, crcs, self._run_tag, self.links, self._state, verdicts)
        self.verdicts += np.bincount(verdicts, minlength=len(Verdict))
        refused: tuple[Refused, ...] = ()
        if verdicts.any():
            refused = self._refused(frames, verdicts)
            good = np.flatnonzero(verdicts == Verdict.ACCEPTED)
            joined = b"".join([frames[int(i)] for i in good])
            headers, lengths = headers[good], lengths[good]
        ends = np.cumsum(lengths)
        self._came += len(frames)
        self._accepted += len(headers)
        starts = (ends - lengths + HEADER_BYTES) // WORD_BYTES
        return CheckedFrames(joined, headers, starts, refused)

    def _refused(
        self, frames: Sequence[Frame], verdicts: npt.NDArray[np.uint8]
    ) -> tuple[Refused, ...]:
        accepted = np.cumsum(verdicts == Verdict.ACCEPTED) + self._accepted
        return tuple(
            Refused(bytes(frames[i]), Verdict(int(verdicts[i])), self._came + i, int(accepted[i]))
            for i in map(int, np.flatnonzero(verdicts))
        )

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
