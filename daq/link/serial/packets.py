"""Turning a line's bytes into messages and frames, and messages into bytes.

Every packet is COBS (Cheshire and Baker 1999) and one zero byte, so after any damage the reader is
in step again at the next zero: a fault costs the packets it touched and no other. If the zero
itself was lost or damaged, two packets come as one; their lengths separate them again, so that this
costs no more than any other byte. A packet is accepted only if its form, length and CRC-32C are
right; the rest is counted. Zeros are found by ``bytes.split``.
"""

from __future__ import annotations

from dataclasses import dataclass

import crc32c
import numpy as np

from daq.link.serial.cobs import decoded, encoded
from daq.link.serial.frame_books import frame_is_whole
from hw.wire.control import (
    MAGIC,
    MAX_PAYLOAD,
    MESSAGE_BYTES,
    MESSAGE_CRC_OFFSET,
    MESSAGE_DTYPE,
    VERSION,
    MessageKind,
)
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS, WORD_BYTES
from hw.wire.protocol import MAGIC as FRAME_MAGIC

_MESSAGE_MAGIC = MAGIC.to_bytes(4, "little")
_FRAME_MAGIC = FRAME_MAGIC.to_bytes(4, "little")
MOST_PACKET = HEADER_BYTES + WORD_BYTES * MAX_EVENTS
_MOST_RESCUED = 8
_MOST_ENCODED = MOST_PACKET + MOST_PACKET // 254 + 2


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """A control message with a correct CRC. ``version`` may differ from ours."""

    version: int
    kind: int
    sequence: int
    code: int
    payload: bytes


def encode_message(kind: int, sequence: int, code: int, payload: bytes = b"") -> bytes:
    """Return a control message as sent on the line, with its zero byte."""
    header = np.zeros((), dtype=MESSAGE_DTYPE)
    header["magic"], header["version"], header["kind"] = MAGIC, VERSION, kind
    header["sequence"], header["code"], header["length"] = sequence, code, len(payload)
    start = header.tobytes()[:MESSAGE_CRC_OFFSET]
    crc = crc32c.crc32c(payload, crc32c.crc32c(start))
    return encoded(start + crc.to_bytes(4, "little") + payload) + b"\0"


def open_message(packet: bytes) -> ControlMessage | None:
    """Return the message in a decoded packet; None if length or CRC is wrong."""
    if len(packet) < MESSAGE_BYTES or packet[:4] != _MESSAGE_MAGIC:
        return None
    length = int.from_bytes(packet[10:12], "little")
    if len(packet) != MESSAGE_BYTES + length or length > MAX_PAYLOAD:
        return None
    payload = packet[MESSAGE_BYTES:]
    crc = crc32c.crc32c(payload, crc32c.crc32c(packet[:MESSAGE_CRC_OFFSET]))
    if crc != int.from_bytes(packet[MESSAGE_CRC_OFFSET:MESSAGE_BYTES], "little"):
        return None
    return ControlMessage(
        packet[4],
        packet[5],
        int.from_bytes(packet[6:8], "little"),
        int.from_bytes(packet[8:10], "little"),
        payload,
    )


class PacketReader:
    """Turns a line's bytes into packets. It keeps an incomplete packet between calls.

    invalid_packets, invalid_bytes : damaged ones, as they came on the line
    rescued : packets separated although the zero between them was damaged
    """

    def __init__(self) -> None:
        self.invalid_packets = 0
        self.invalid_bytes = 0
        self.rescued = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[ControlMessage | bytes]:
        """Add bytes; return what they complete: messages, and frames as bytes.

        A frame has the right magic; the frame checker judges the rest.
        """
        pieces = data.split(b"\0")
        rest = pieces.pop()
        found: list[ControlMessage | bytes] = []
        for piece in pieces:
            self._take(piece, found)
        if rest:
            self._keep(rest)
        return found

    def forget(self) -> int:
        """Give up the incomplete packet (the line broke); return its bytes so far."""
        size, self._parts, self._size = self._size, [], 0
        self._skipping = False
        if size:
            self._count(size)
        return size

    def _keep(self, rest: bytes) -> None:
        self._size += len(rest)
        if self._size > _MOST_ENCODED:
            self._parts, self._skipping = [], True
        elif not self._skipping:
            self._parts.append(rest)

    def _take(self, piece: bytes, found: list[ControlMessage | bytes]) -> None:
        if self._size:
            size = self._size + len(piece)
            piece = b"".join((*self._parts, piece))
            skipped, self._parts, self._size = self._skipping, [], 0
            self._skipping = False
            if skipped:
                self._count(size)
                return
        if not piece:
            return  # a zero behind a zero: nothing
        packet = _decode(piece)
        if packet is None:
            self._rescue(piece, found)
        else:
            found.append(packet)

    def _rescue(self, piece: bytes, found: list[ControlMessage | bytes]) -> None:
        """Take complete packets off the front; what is left is damaged."""
        rest = piece
        for _ in range(_MOST_RESCUED):
            taken = _first_packet(rest)
            if taken is None:
                break
            packet, size = taken
            found.append(packet)
            self.rescued += 1
            # the zero was lost, and the next packet follows at once; or it became another byte
            rest = rest[size:] if _decode(rest[size:]) is not None else rest[size + 1 :]
            last = _decode(rest)
            if last is not None:
                found.append(last)
                rest = b""
                break
        self._count(len(rest))

    def _count(self, size: int) -> None:
        self.invalid_packets += 1
        self.invalid_bytes += size + 1


def _decode(piece: bytes) -> ControlMessage | bytes | None:
    packet = decoded(piece)
    if packet is None:
        return None
    if packet[:4] == _FRAME_MAGIC:
        return packet if _frame_bytes(packet) == len(packet) else None
    return open_message(packet)


def _frame_bytes(start: bytes) -> int:
    """Return a frame's length by its header, 0 if that is impossible."""
    count = int.from_bytes(start[20:24], "little")
    return HEADER_BYTES + WORD_BYTES * count if len(start) >= 24 and count <= MAX_EVENTS else 0


def _first_packet(piece: bytes) -> tuple[ControlMessage | bytes, int] | None:
    """Return the packet at the start of a damaged piece and its encoded length, or None."""
    out = bytearray()
    at, wanted = 0, 0
    while at < len(piece):
        code = piece[at]
        out += piece[at + 1 : at + code]
        at += code
        if not wanted and len(out) >= (24 if out[:4] == _FRAME_MAGIC else 12):
            wanted = _wanted_bytes(bytes(out[:24]))
            if not wanted:
                return None
        if wanted and len(out) >= wanted:
            break
        if code < 0xFF:
            out.append(0)
    if not wanted or len(out) != wanted:
        return None
    packet = bytes(out)
    if packet[:4] == _FRAME_MAGIC:
        return (packet, at) if frame_is_whole(packet) else None
    message = open_message(packet)
    return None if message is None else (message, at)


def _wanted_bytes(start: bytes) -> int:
    if start[:4] == _FRAME_MAGIC:
        return _frame_bytes(start)
    if start[:4] == _MESSAGE_MAGIC:
        return MESSAGE_BYTES + int.from_bytes(start[10:12], "little")
    return 0


COMMAND = int(MessageKind.command)
REPLY = int(MessageKind.reply)
NOTICE = int(MessageKind.notice)
