"""The books of a module's data frames: what came intact, what did not, and the events in it.

``frames + lost_frames`` is exactly how far the module's numbers have come, and ``words +
lost_words`` how many words it has sent, from the headers alone (docs/protocol.md, *How losses are
counted exactly*). Losses after the last frame are added from the module's report. A damaged frame
counts as invalid when it is met, and as lost when its number is missed.
"""

from __future__ import annotations

import crc32c
import numpy as np

from hw.wire.protocol import (
    CRC_OFFSET,
    FLAG_FIRST,
    FLAG_LAST,
    HEADER_BYTES,
    MAGIC,
    MAX_EVENTS,
    VERSION,
    WORD_BYTES,
)

_U4 = 0xFFFFFFFF
_HALF = 0x80000000
_REMEMBERED = 64


def frame_is_whole(frame: bytes) -> bool:
    """Return whether a frame's magic, version, length and CRC are right."""
    if len(frame) < HEADER_BYTES or int.from_bytes(frame[:4], "little") != MAGIC:
        return False
    count = int.from_bytes(frame[20:24], "little")
    if frame[4] != VERSION or count > MAX_EVENTS or len(frame) != HEADER_BYTES + WORD_BYTES * count:
        return False
    view = memoryview(frame)
    crc = crc32c.crc32c(view[HEADER_BYTES:], crc32c.crc32c(view[:CRC_OFFSET]))
    return bool(crc == int.from_bytes(view[CRC_OFFSET:HEADER_BYTES], "little"))


class FrameBooks:
    """One module's frames of one run, on one line.

    frames, words : accepted; lost_frames, lost_words : missing by their numbers; repeated : came
    twice; run_tag : of the run, 0 before the first one; ended : LAST has come
    frames_ever, lost_ever, invalid : since the books were made; invalid are damaged frames
    """

    def __init__(self) -> None:
        self.frames_ever = self.lost_ever = self.invalid = 0
        self._announced: tuple[int, int] | None = None
        self.ended = False
        self._begin(0)

    def open_run(self, run_tag: int, first_sequence: int = 0) -> None:
        """Expect a run, or its continuation after a restart of the module, from this number on.

        Called before the run is ordered; the counts change with its first frame.
        """
        self._announced = (run_tag, first_sequence)

    def withdraw(self) -> None:
        """Forget the announced run: it will not come."""
        self._announced = None

    def accept(self, frame: bytes) -> bool:
        """Book a frame; return whether it is intact and new."""
        if not frame_is_whole(frame):
            self.invalid += 1
            return False
        run_tag = int.from_bytes(frame[16:20], "little")
        sequence = int.from_bytes(frame[8:12], "little")
        self._enter(run_tag)
        ahead = (sequence - self._next_sequence) & _U4
        period = int.from_bytes(frame[12:16], "little")
        if frame[5] & FLAG_FIRST and ahead and period > self._last_period:
            self._expect(sequence, int.from_bytes(frame[24:32], "little"))
            ahead = 0
        if ahead >= _HALF:
            return self._accept_late(frame, sequence)
        self._book(frame, sequence, ahead)
        self.ended = self.ended or bool(frame[5] & FLAG_LAST)
        return True

    def close(self, report: np.void) -> int:
        """Add what the module sent and we did not receive; return the number of those frames.

        report : ``STRUCTS["report"]`` of this run, as the module sends it at the end
        """
        self._enter(int(report["run_tag"]))
        missing = self.missing(report)
        words = int(report["words"]) - (self.words + self.lost_words - self._words_before)
        self._lose(missing, max(0, words))
        return missing

    def missing(self, report: np.void) -> int:
        """Return how many frames of a report are missing but not yet counted as lost."""
        made = int(report["frames"]) + int(report["frames_dropped"])
        if int(report["run_tag"]) != self.run_tag:
            return made
        if self._announced is not None and self._announced[0] == self.run_tag:
            return made
        return max(0, made - (self.frames + self.lost_frames - self._frames_before))

    def _enter(self, run_tag: int) -> None:
        if run_tag != self.run_tag:
            self._begin(run_tag)
        if self._announced is not None and self._announced[0] == run_tag:
            self._expect(self._announced[1], 0)
            self._announced, self.ended = None, False

    def _begin(self, run_tag: int) -> None:
        self.run_tag = run_tag
        self.frames = self.words = self.lost_frames = self.lost_words = self.repeated = 0
        self.ended = False
        self._last_period = -1
        self._expect(0, 0)

    def _expect(self, sequence: int, word: int) -> None:
        self._next_sequence, self._next_word = sequence, word
        self._frames_before = self.frames + self.lost_frames
        self._words_before = self.words + self.lost_words
        self._missing: list[int] = []

    def _book(self, frame: bytes, sequence: int, ahead: int) -> None:
        before = int.from_bytes(frame[24:32], "little")
        count = (len(frame) - HEADER_BYTES) // WORD_BYTES
        if ahead:
            newest = range(1, min(ahead, _REMEMBERED) + 1)
            self._missing += [(sequence - back) & _U4 for back in reversed(newest)]
            del self._missing[:-_REMEMBERED]
        self._lose(ahead, max(0, before - self._next_word))
        self._gain(count)
        self._next_sequence = (sequence + 1) & _U4
        self._next_word = before + count
        self._last_period = int.from_bytes(frame[12:16], "little")

    def _accept_late(self, frame: bytes, sequence: int) -> bool:
        """Accept a frame that comes after its successors, as datagrams may."""
        if sequence not in self._missing:
            self.repeated += 1
            return False
        self._missing.remove(sequence)
        count = (len(frame) - HEADER_BYTES) // WORD_BYTES
        self._lose(-1, -count)
        self._gain(count)
        return True

    def _gain(self, words: int) -> None:
        self.frames += 1
        self.frames_ever += 1
        self.words += words

    def _lose(self, frames: int, words: int) -> None:
        self.lost_frames += frames
        self.lost_ever += frames
        self.lost_words += words
