"""A receiver of control messages written from docs/protocol.md alone, slow and plain.

Nothing here comes from ``hw.wire.control``: COBS works on lists by whole blocks, the CRC bit by
bit, the header with the standard library's struct module.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct("<I B B H H H I")
HEADER_NAMES = ("magic", "version", "kind", "sequence", "code", "length", "crc")
CONTROL_MAGIC, FRAME_MAGIC = 0x43534D54, 0x42534D54
LONGEST = 16 + 1024
KINDS = {1: "command", 2: "reply", 3: "notice"}


@dataclass(frozen=True)
class Received:
    """One packet: its verdict, and if it is a message its header and payload."""

    verdict: str
    line_bytes: int
    header: dict[str, int] | None = None
    payload: bytes = b""


def crc32c_bit_by_bit(data: bytes) -> int:
    """CRC-32C as plain polynomial division."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def cobs_decoded(block_bytes: bytes) -> bytes | None:
    """Decode what lies between two zeros; None if it is not COBS."""
    pieces: list[bytes] = []
    rest = block_bytes
    while rest:
        code, inside, rest = rest[0], rest[1 : rest[0]], rest[rest[0] :]
        if len(inside) != code - 1:
            return None
        pieces.append(inside + (b"\0" if code < 255 and rest else b""))
    return b"".join(pieces)


def cobs_encoded(packet: bytes) -> bytes:
    """Encode a packet, without the final zero."""
    line = b""
    words = packet.split(b"\0")
    for number, word in enumerate(words):
        while len(word) > 254 or (len(word) == 254 and number < len(words) - 1):
            line, word = line + b"\xff" + word[:254], word[254:]
        if len(word) == 254:
            line += b"\xff" + word
        else:
            line += bytes([len(word) + 1]) + word
    return line


def received(line: bytes) -> tuple[list[Received], int]:
    """Judge all packets on a line; return them, and how many bytes still wait for a zero."""
    *whole, rest = line.split(b"\0")
    return [_judged(encoded) for encoded in whole], len(rest)


def _judged(encoded: bytes) -> Received:
    size = len(encoded) + 1
    packet = cobs_decoded(encoded)
    if not encoded:
        return Received("empty", size)
    if packet is None or len(packet) < 16:
        return Received("invalid", size)
    header = dict(zip(HEADER_NAMES, HEADER.unpack_from(packet), strict=True))
    if header["magic"] == FRAME_MAGIC and len(packet) >= 64:
        return Received("frame", size)
    payload = packet[16:]
    sound = (
        header["magic"] == CONTROL_MAGIC
        and header["length"] == len(payload)
        and len(packet) <= LONGEST
        and header["kind"] in KINDS
        and crc32c_bit_by_bit(packet[:12] + payload) == header["crc"]
    )
    return (
        Received(KINDS[header["kind"]], size, header, payload)
        if sound
        else Received("invalid", size)
    )
