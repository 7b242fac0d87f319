"""Frames that a source keeps until the daq says that they are on the disk.

A daq that is restarted loses what was on its way; it tells how far its raw log goes, and gets the
rest again. A frame that was lost between others is asked for by its number. What is kept is
bounded: beyond, the oldest frames are let go, and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

import numpy as np

from hw.wire.frames import frame_crc
from hw.wire.protocol import HEADER_BYTES, HEADER_DTYPE, VERSION

MOST_BYTES = 256 * 2**20


class KeptFrames:
    """The newest frames of some modules, in the order in which they were sent.

    bytes : of all that is kept
    let_go : frames that were let go before they were on the disk
    """

    def __init__(self, n_modules: int, *, most_bytes: int = MOST_BYTES) -> None:
        self.bytes = 0
        self.let_go = 0
        self._most_bytes = most_bytes
        self._frames: list[deque[tuple[int, bytes]]] = [deque() for _ in range(n_modules)]
        self._sent = 0

    def add(self, module: int, frame: bytes | memoryview) -> None:
        """Keep a frame that was sent."""
        self._frames[module].append((self._sent, bytes(frame)))
        self._sent += 1
        self.bytes += len(frame)
        while self.bytes > self._most_bytes:
            longest = max(self._frames, key=len)
            self.bytes -= len(longest.popleft()[1])
            self.let_go += 1

    def release(self, sequences: Sequence[int], periods: Sequence[int]) -> None:
        """Let go of all frames up to those with these numbers and periods, by module."""
        for module, mark in enumerate(zip(sequences, periods, strict=True)):
            if module < len(self._frames) and mark[0] >= 0:
                self._release(self._frames[module], mark)

    def _release(self, frames: deque[tuple[int, bytes]], mark: tuple[int, int]) -> None:
        """A mark that is not among them was let go before, or is of another source's frames."""
        for place, (_, frame) in enumerate(frames):
            if _mark(frame) == mark:
                for _ in range(place + 1):
                    self.bytes -= len(frames.popleft()[1])
                return

    def of(self, module: int) -> list[bytes]:
        """Return what is kept of a module, oldest first."""
        return [frame for _, frame in self._frames[module]]

    def numbered(self, module: int, numbers: Collection[int]) -> list[bytes]:
        """Return what is kept of a module with these numbers: of the same number the newest. What
        was damaged before it was sent is left out: it would only be refused once more.
        """
        found: dict[int, bytes] = {}
        if numbers and module < len(self._frames):
            found = {_mark(frame)[0]: frame for _, frame in self._frames[module]}
        asked = [found[number] for number in sorted(numbers) if number in found]
        return [frame for frame in asked if _is_sound(frame, module)]

    def in_order(self) -> list[tuple[int, bytes]]:
        """Return all that is kept with its module, in the order in which it was sent."""
        every = [
            (number, module, frame)
            for module, frames in enumerate(self._frames)
            for number, frame in frames
        ]
        return [(module, frame) for _, module, frame in sorted(every)]


def _mark(frame: bytes) -> tuple[int, int]:
    header = np.frombuffer(frame, HEADER_DTYPE, 1)[0] if len(frame) >= HEADER_BYTES else None
    return (-1, -1) if header is None else (int(header["sequence"]), int(header["frame_id"]))


def _is_sound(frame: bytes, module: int) -> bool:
    header = np.frombuffer(frame, HEADER_DTYPE, 1)[0]
    crc = frame_crc(frame[:HEADER_BYTES], frame[HEADER_BYTES:])
    own = (int(header["version"]), int(header["module"])) == (VERSION, module)
    return own and int(header["crc"]) == crc
