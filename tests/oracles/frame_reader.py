"""Opens a data frame as a careful reader would: the plain, obvious reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.wire.frames import frame_crc
from hw.wire.protocol import HEADER_BYTES, HEADER_DTYPE, MAGIC, MAX_EVENTS, VERSION


class FrameError(ValueError):
    """A data frame cannot be used; the message says why."""


def open_frame(frame: bytes) -> tuple[np.void, npt.NDArray[np.uint64]]:
    """Return (header, words) of a frame after every check.

    Raises
    ------
    FrameError
        naming the field, the value found and the value expected.
    """
    if len(frame) < HEADER_BYTES:
        raise FrameError(f"truncated: {len(frame)} bytes, a header alone has {HEADER_BYTES}")
    header = np.frombuffer(frame, dtype=HEADER_DTYPE, count=1)[0]
    _expect("magic", int(header["magic"]), MAGIC)
    _expect("version", int(header["version"]), VERSION)
    count = int(header["event_count"])
    if count > MAX_EVENTS:
        raise FrameError(f"event_count is {count}, the bound is {MAX_EVENTS}")
    _expect("length", len(frame), HEADER_BYTES + 8 * count)
    payload = frame[HEADER_BYTES:]
    _expect("crc", int(header["crc"]), frame_crc(frame[:HEADER_BYTES], payload))
    return header, np.frombuffer(payload, dtype="<u8")


def _expect(field: str, found: int, expected: int) -> None:
    if found != expected:
        raise FrameError(f"{field} is {found:#x}, expected {expected:#x}")
