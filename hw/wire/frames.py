"""Data frames: sealing them as a module does.

A frame is a 64-byte header and ``event_count`` 64-bit words, little-endian. These are the plain,
obvious forms, for senders of few frames; the daq has its own kernel to check and decode whole
batches.
"""

from __future__ import annotations

import crc32c
import numpy as np
import numpy.typing as npt

from hw.wire.protocol import CRC_OFFSET, HEADER_DTYPE, MAGIC, VERSION


def new_header(module: int, sequence: int, frame_id: int, **fields: int) -> np.void:
    """Return a header (``HEADER_DTYPE`` scalar) with magic and version set, the rest given or 0."""
    header = np.zeros((), dtype=HEADER_DTYPE)
    header["magic"], header["version"] = MAGIC, VERSION
    header["module"], header["sequence"], header["frame_id"] = module, sequence, frame_id
    for name, value in fields.items():
        header[name] = value
    scalar: np.void = header[()]  # type: ignore[assignment]
    return scalar


def seal_frame(header: np.void, words: npt.NDArray[np.uint64]) -> bytes:
    """Return the frame's bytes, with event count and CRC filled in."""
    sealed = header.copy()
    sealed["event_count"] = len(words)
    payload = np.ascontiguousarray(words, dtype="<u8").tobytes()
    sealed["crc"] = frame_crc(sealed.tobytes(), payload)
    return bytes(sealed.tobytes() + payload)


def frame_crc(header_bytes: bytes, payload: bytes) -> int:
    """CRC-32C (RFC 3720) of the header up to the CRC field, then of the payload."""
    return int(crc32c.crc32c(payload, crc32c.crc32c(header_bytes[:CRC_OFFSET])))
