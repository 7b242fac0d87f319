"""Consistent overhead byte stuffing: packets without zero bytes (Cheshire and Baker 1999).

S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7
(1999) 159. Data frames have a zero in nearly every word, so each block is only a few bytes: a
kernel decodes them. Commands are short and few. (The wheel of the package ``cobs`` has no compiled
code; it is the tests' reference.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.jit import kernel

_LONGEST_BLOCK = 254
U1 = npt.NDArray[np.uint8]


def encoded(packet: bytes) -> bytes:
    """Return a packet without zero bytes; the caller appends the zero that ends it."""
    out = bytearray()
    parts = packet.split(b"\0")
    for place, part in enumerate(parts):
        while len(part) >= _LONGEST_BLOCK:
            out += b"\xff" + part[:_LONGEST_BLOCK]
            part = part[_LONGEST_BLOCK:]
            if not part and place == len(parts) - 1:
                return bytes(out)  # a full block needs nothing behind it at the end
        out.append(len(part) + 1)
        out += part
    return bytes(out)


def decoded(piece: bytes) -> bytes | None:
    """Return the packet encoded between two zeros; None if it is not one."""
    source = np.frombuffer(piece, dtype=np.uint8)
    out = np.empty(len(piece), dtype=np.uint8)
    size = _decode(source, out)
    return None if size < 0 else out[:size].tobytes()


@kernel
def _decode(source: U1, out: U1) -> int:
    """Fill ``out``, at least as long as ``source``; return the packet's length, -1 for none."""
    at = 0
    size = 0
    while at < len(source):
        code = np.int64(source[at])
        end = at + code
        if code == 0 or end > len(source):
            return -1
        for k in range(at + 1, end):
            if source[k] == 0:
                return -1
            out[size] = source[k]
            size += 1
        at = int(end)
        if code <= _LONGEST_BLOCK and at < len(source):
            out[size] = 0
            size += 1
    return size


def warm_cobs() -> None:
    """Compile the kernel with its live types."""
    decoded(b"\x01")
