"""Seeded damage to bytes: what lines, disks and attackers do to files and messages."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
WORDS = (
    b"-1", b"0", b"1e400", b"-1e-400", b"NaN", b"Infinity", b"9" * 30, b"9" * 5000, b"null", b"{}",
    b"[]", b'""', b'"\\u0000"', b"true", b"[" * 200, b'{"a":' * 200, b"1.5", b"'", b"\xff", b"\0",
    "µ".encode(), b"../../etc/passwd", b"%s%n", b"\n", b'"' + b"x" * 300 + b'"',
)  # fmt: skip
_TOKEN = re.compile(rb'-?\d+\.?\d*(?:[eE][-+]?\d+)?|"[^"]*"|true|false|null|[\[\]{}=:,]')

Mutator = Callable[[random.Random, bytearray, list[bytes]], None]


def mutated(rng: random.Random, corpus: list[bytes]) -> bytes:
    """Return one of the corpus with one to eight kinds of damage."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        rng.choice(MUTATORS)(rng, data, corpus)
    return bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """Return a place, more often near the beginning, where heads are."""
    most = len(data) if rng.random() < 0.5 else min(len(data), 128)
    return rng.randrange(most) if most else 0


def _flip(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def _number(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    size = rng.choice((2, 4, 8))
    at = _place(rng, data)
    value = rng.choice((*EDGES, rng.getrandbits(64))) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _cut(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 8, 64, len(data)))]


def _repeat(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    at, size = _place(rng, data), rng.choice((1, 4, 32, 256))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))


def _insert(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 3, 17)))


def _splice(rng: random.Random, data: bytearray, corpus: list[bytes]) -> None:
    other = rng.choice(corpus)
    data[_place(rng, data) :] = other[rng.randrange(len(other) + 1) :]


def _token(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    """Replace a number, a string or a bracket of a text by another word."""
    window = rng.randrange(max(1, len(data) - 2000) if len(data) > 2000 else 1)
    tokens = list(_TOKEN.finditer(data, window, window + 2000))
    if tokens:
        found = rng.choice(tokens)
        data[found.start() : found.end()] = rng.choice(WORDS)


MUTATORS: tuple[Mutator, ...] = (
    _flip, _byte, _number, _cut, _repeat, _insert, _splice, _token, _token,
)  # fmt: skip
