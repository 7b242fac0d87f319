"""Data frames: sealing them as a module does, opening one as a reader would.

A frame is a 64-byte header and ``event_count`` 64-bit words, little-endian. These are the plain,
obvious forms, used by tests, tools and senders of few frames; the daq checks and decodes whole
batches in a kernel of its own.
"""

from __future__ import annotations

import crc32c
import numpy as np
import numpy.typing as npt

from hw.errors import TomoshibiError
from hw.wire.protocol import CRC_OFFSET, HEADER_BYTES, HEADER_DTYPE, MAGIC, MAX_EVENTS, VERSION


class FrameError(TomoshibiError, ValueError):
    """A data frame that cannot be used; the message says why."""


def new_header(module: int, sequence: int, frame_id: int, **fields: int) -> np.void:
    """Return a header (``HEADER_DTYPE`` scalar) with magic and version set, the rest 0 or given."""
    header = np.zeros((), dtype=HEADER_DTYPE)
    header["magic"], header["version"] = MAGIC, VERSION
    header["module"], header["sequence"], header["frame_id"] = module, sequence, frame_id
    for name, value in fields.items():
        header[name] = value
    scalar: np.void = header[()]  # type: ignore[assignment]
    return scalar


def seal_frame(header: np.void, words: npt.NDArray[np.uint64]) -> bytes:
    """Return the frame's bytes: event count and CRC filled in, the header otherwise as given."""
    sealed = header.copy()
    sealed["event_count"] = len(words)
    payload = np.ascontiguousarray(words, dtype="<u8").tobytes()
    sealed["crc"] = frame_crc(sealed.tobytes(), payload)
    return bytes(sealed.tobytes() + payload)


def frame_crc(header_bytes: bytes, payload: bytes) -> int:
    """CRC-32C (RFC 3720) of the header up to the CRC field, then of the payload."""
    return int(crc32c.crc32c(payload, crc32c.crc32c(header_bytes[:CRC_OFFSET])))


def open_frame(frame: bytes) -> tuple[np.void, npt.NDArray[np.uint64]]:
    """Return (header, words) of a frame after every check.

    Raises
    ------
    FrameError
        naming the field, what was found and what was expected.
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
