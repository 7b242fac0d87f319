"""Reads a run's block files and data frames as docs/file-format.md and docs/protocol.md describe
them: of its own, and on purpose without any code of the product."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crc32c

HEAD, FRAMES, PROMPTS, DELAYEDS, END, TRUTH, REFUSED = 1, 2, 3, 4, 9, 10, 11
_BLOCK = struct.Struct("<4sHHIIQII")
_FRAME = struct.Struct("<4sBBHIIIIQIIIhHHHIII")
_REFUSED = struct.Struct("<qqqII")
_TRUTH_FRAME = struct.Struct("<HHIQII")


@dataclass(frozen=True)
class Block:
    """One sound block of a log."""

    kind: int
    items: int
    payload: bytes


@dataclass(frozen=True)
class Frame:
    """What the header of a data frame says; ``sound``: whether its checksum is right.

    crc : its checksum, 0 where only the truth of it is known
    """

    module: int
    sequence: int
    period: int
    words: int
    sound: bool = True
    crc: int = 0


@dataclass(frozen=True)
class BlockFile:
    """The blocks up to the first that is short, damaged or out of step, and the bytes behind."""

    blocks: list[Block]
    torn_bytes: int

    @property
    def end(self) -> dict[str, Any] | None:
        """What the end block says, None where the log was not closed."""
        last = self.blocks[-1] if self.blocks else None
        return json.loads(last.payload) if last and last.kind == END else None


def read_blocks(path: Path) -> BlockFile:
    """Read a log; raises OSError."""
    data = path.read_bytes()
    blocks: list[Block] = []
    at = 0
    while at + _BLOCK.size <= len(data):
        magic, kind, _, number, items, length, crc, own = _BLOCK.unpack_from(data, at)
        payload = data[at + _BLOCK.size : at + _BLOCK.size + length]
        if magic != b"TMBK" or own != crc32c.crc32c(data[at : at + 28]) or number != len(blocks):
            break
        if len(payload) != length or crc != crc32c.crc32c(payload):
            break
        blocks.append(Block(kind, items, payload))
        at += _BLOCK.size + length
    return BlockFile(blocks, len(data) - at)


def frames_in(log: BlockFile) -> list[Frame]:
    """Return all data frames of a raw log in order."""
    return [frame for b in log.blocks if b.kind == FRAMES for frame in frames_of(b.payload)]


def refused_in(log: BlockFile) -> list[Frame]:
    """Return all data frames of a log of refused ones: each stands behind its own record."""
    found = []
    for block in log.blocks:
        at = 0
        while block.kind == REFUSED and at + _REFUSED.size <= len(block.payload):
            length = _REFUSED.unpack_from(block.payload, at)[3]
            at += _REFUSED.size
            found += list(frames_of(block.payload[at : at + length]))
            at += length
    return found


def frames_of(payload: bytes) -> Iterator[Frame]:
    """Return the frames that stand one behind the other."""
    at = 0
    while at + _FRAME.size <= len(payload):
        magic, _, _, module, sequence, period, _, words, *_, crc = _FRAME.unpack_from(payload, at)
        body = payload[at + _FRAME.size : at + _FRAME.size + 8 * words]
        own = crc32c.crc32c(body, crc32c.crc32c(payload[at : at + 60]))
        yield Frame(module, sequence, period, words, magic == b"TMSB" and own == crc, crc)
        at += _FRAME.size + 8 * words


def true_frames(path: Path) -> list[Frame]:
    """Return what left the emulated digitizer, from a truth file; an open end is left out."""
    blocks = [block for block in read_blocks(path).blocks if block.kind == TRUTH]
    found = []
    for block in blocks:
        for index in range(block.items):
            row = _TRUTH_FRAME.unpack_from(block.payload, index * _TRUTH_FRAME.size)
            module, _, period, _, words, sequence = row
            found.append(Frame(module, sequence, period, words))
    return found


def hash_of_pairs(log: BlockFile) -> str:
    """Return what the format calls the hash: of all prompts, then of all delayeds."""
    return "-".join(_hash(log, kind) for kind in (PROMPTS, DELAYEDS))


def _hash(log: BlockFile, kind: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for block in log.blocks:
        if block.kind == kind:
            digest.update(block.payload)
    return digest.hexdigest()
