"""Reads a stream of ZeroMQ's wire protocol (ZMTP 3, RFC 23) as it passes, without taking part."""

from __future__ import annotations

from dataclasses import dataclass

_GREETING_BYTES = 64
_MORE, _LONG, _COMMAND = 1, 2, 4


@dataclass(frozen=True)
class Piece:
    """A part of a greeting, a command or one part of a message.

    raw : as it stands on the line; payload : of a part of a message, None of all else
    """

    raw: bytes
    payload: bytes | None = None


class Stream:
    """One direction of a connection."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._greeting_bytes = _GREETING_BYTES

    def take(self, data: bytes) -> list[Piece]:
        """Take the bytes that came next; return the pieces that are whole now."""
        self._waiting += data
        found = []
        while (piece := self._next()) is not None:
            found.append(piece)
        return found

    def _next(self) -> Piece | None:
        if self._greeting_bytes:  # each side waits for the other's first half
            begin = self._cut(self._greeting_bytes)
            self._greeting_bytes -= len(begin)
            return Piece(begin) if begin else None
        head = 9 if self._waiting and self._waiting[0] & _LONG else 2
        if len(self._waiting) < head:
            return None
        flags, length = self._waiting[0], int.from_bytes(self._waiting[1:head], "big")
        if len(self._waiting) < head + length:
            return None
        raw = self._cut(head + length)
        return Piece(raw, None if flags & _COMMAND else raw[head:])

    def _cut(self, length: int) -> bytes:
        piece = bytes(self._waiting[:length])
        del self._waiting[:length]
        return piece


def as_message(payload: bytes) -> bytes:
    """Return a message of one part as it stands on the line."""
    if len(payload) < 256:
        return bytes([0, len(payload)]) + payload
    return bytes([_LONG]) + len(payload).to_bytes(8, "big") + payload
