"""Finds the sound blocks of a file, one after another, past whatever is damaged.

A damaged block costs only itself: reading goes on at the next sound header, with its number.
Unreadable bytes with no sound block after them are a torn tail, as a killed writer leaves; any
others are damage. docs/file-format.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import crc32c
import numpy as np
import numpy.typing as npt

from daq.errors import LogError
from hw.bounded_files import MOST_TEXT_BYTES
from hw.wire.block_layout import BLOCK_HEADER_BYTES, BLOCK_MAGIC, MAX_PAYLOAD, BlockKind

MOST_PLACES = 20
_HEADER = struct.Struct("<IHHIIQII")
_MAGIC = BLOCK_MAGIC.to_bytes(4, "little")
_KINDS = {int(kind): kind for kind in BlockKind}
_TEXTS = (BlockKind.HEAD, BlockKind.END)
_CHUNK, _SECTOR, _SLACK = 1 << 20, 4096, 1 << 26
_MOST_LOOKS = 1000


class BlockPlace(NamedTuple):
    """Where a block's header begins in its file, and what the header says.

    crc : of the payload; 0 where it was not read from a file
    """

    position: int
    sequence: int
    kind: BlockKind
    items: int
    length: int
    crc: int = 0

    @property
    def end(self) -> int:
        """Where the block ends."""
        return self.position + BLOCK_HEADER_BYTES + self.length


@dataclass
class Damage:
    """What cannot be read though sound blocks follow it.

    items : in the lost blocks whose header is sound; what others held is not known
    counted_blocks : how many these are
    places : position and bytes of the first ``MOST_PLACES``
    """

    blocks: int = 0
    bytes: int = 0
    items: int = 0
    counted_blocks: int = 0
    count: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)

    def add(self, position: int, size: int, *, blocks: int, known: list[BlockPlace]) -> None:
        """Add a place."""
        self.blocks += blocks
        self.bytes += size
        self.items += sum(place.items for place in known)
        self.counted_blocks += len(known)
        self.count += 1
        if len(self.places) < MOST_PLACES:
            self.places.append((position, size))

    def __bool__(self) -> bool:
        return self.count > 0

    def words(self, items: str) -> str:
        """Return it in words, "" if there is none; ``items``: what a block holds."""
        if not self:
            return ""
        where = f"at byte {self.places[0][0]}"
        if self.count > 1:
            where = f"in {self.count} places, the first {where}"
        if not self.blocks:
            return f"damaged {where}: {self.bytes} bytes are foreign; no block is lost"
        blocks = f"{self.blocks} block{'' if self.blocks == 1 else 's'}"
        least = "" if self.counted_blocks == self.blocks else "at least "
        return (
            f"damaged {where}: {self.bytes} bytes cannot be read; {blocks} with {least}"
            f"{self.items} {items} lost, all others are read"
        )


class BlockWalk:
    """The sound blocks of an open file, in order; each has a higher number than the one before.

    A sector that the disk cannot read is damage like any other.

    damage, torn_bytes : what could not be read, after iteration
    """

    def __init__(self, number: int, path: Path) -> None:
        """``number``: the file's descriptor."""
        self.damage = Damage()
        self.torn_bytes = 0
        self._file, self._path = number, path
        self._size = os.fstat(number).st_size
        self._in_vain = 0
        self._looks = 0
        self._ahead: npt.NDArray[np.int64] | None = None

    def __iter__(self) -> Iterator[tuple[BlockPlace, bytes]]:
        """Yield each sound block's place and payload; raises LogError for a file made to hang."""
        end = search = expected = 0
        spoilt: list[BlockPlace] = []
        while (place := self._next(search, expected)) is not None:
            payload = self._payload(place)
            if payload is None:
                spoilt.append(place)
                search = self._behind(place, spoilt=True)
                continue
            if place.position > end or place.sequence > expected:
                self._lost(end, place, expected, spoilt)
            yield place, payload
            end = search = place.end
            expected, spoilt = place.sequence + 1, []
        self.torn_bytes = self._size - end

    def places(self) -> Iterator[BlockPlace]:
        """Yield the places of blocks with sound headers; payloads are looked at only where what
        follows is damaged.
        """
        search = expected = 0
        while (place := self._next(search, expected)) is not None:
            if place.end > self._size and not self._grown(place.end):
                search = place.position + BLOCK_HEADER_BYTES
                continue
            yield place
            search, expected = self._behind(place), place.sequence + 1

    def at(self, position: int, sequence: int) -> tuple[BlockPlace, bytes] | None:
        """Return the block of this number at a position, None if there is none that is sound."""
        place = self._header(position)
        if place is None or place.sequence != sequence:
            return None
        payload = self._payload(place)
        return None if payload is None else (place, payload)

    def _lost(self, end: int, place: BlockPlace, expected: int, spoilt: list[BlockPlace]) -> None:
        missing = range(expected, place.sequence)
        known = {one.sequence: one for one in spoilt if one.sequence in missing}
        self.damage.add(end, place.position - end, blocks=len(missing), known=list(known.values()))

    def _payload(self, place: BlockPlace) -> bytes | None:
        """Return a block's payload, None if it is damaged or not all there."""
        if place.end > self._size and not self._grown(place.end):
            return None
        payload = self._read(_within(place), place.length)
        if len(payload) == place.length and crc32c.crc32c(payload) == place.crc:
            return payload
        self._in_vain += place.length
        if self._in_vain > 4 * self._size + _SLACK:
            raise LogError(f"{self._path} is no log: its blocks lie in one another")
        return None

    def _behind(self, place: BlockPlace, *, spoilt: bool = False) -> int:
        """Return the position from which to look for the next header.

        That is the block's end if a sound header is there or its payload is sound. Where bytes
        were removed from a block, the next one begins earlier.
        """
        following = self._header(place.end)
        linked = following is not None and following.sequence == place.sequence + 1
        if linked or not (spoilt or self._payload(place) is None):
            return place.end
        return _within(place)

    def _next(self, search: int, expected: int) -> BlockPlace | None:
        """Return the first block at or after a position that continues the file."""
        first = self._header(search)
        if first is not None and first.sequence == expected:
            return first
        for place in self._headers(search):
            if place.sequence == expected:
                return place
            if place.sequence > expected and not self._astray(place, expected):
                return place
        return None

    def _astray(self, place: BlockPlace, expected: int) -> bool:
        """Whether a block is of another file, or out of place: blocks before it follow."""
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            return False
        if self._ahead is None:
            found = [(one.position, one.sequence) for one in self._headers(place.position)]
            self._ahead = np.array(found, dtype=np.int64)
        positions, sequences = self._ahead.T
        before = (sequences >= expected) & (sequences < place.sequence)
        return bool((before & (positions > place.position)).any())

    def _headers(self, search: int) -> Iterator[BlockPlace]:
        """Yield all sound headers from a position on, from block to block where they are linked."""
        while (place := self._header(search) or self._scan(search)) is not None:
            yield place
            linked = self._header(place.end) is not None
            search = place.end if linked else _within(place)

    def _scan(self, search: int) -> BlockPlace | None:
        """Return the first sound header at or behind a position, wherever it begins."""
        while search + BLOCK_HEADER_BYTES <= self._size:
            chunk = self._read(search, _CHUNK + BLOCK_HEADER_BYTES - 1)
            at = chunk.find(_MAGIC)
            while 0 <= at < _CHUNK:
                place = _sound(chunk[at : at + BLOCK_HEADER_BYTES], search + at)
                if place is not None:
                    return place
                at = chunk.find(_MAGIC, at + 1)
            search += _CHUNK
        return None

    def _header(self, position: int) -> BlockPlace | None:
        """Return the block whose sound header is at a position."""
        if position + BLOCK_HEADER_BYTES > self._size and not self._grown(position + 1):
            return None
        return _sound(self._read(position, BLOCK_HEADER_BYTES), position)

    def _read(self, position: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, position)
        except OSError:
            return b"".join(self._sectors(position, size))

    def _sectors(self, position: int, size: int) -> Iterator[bytes]:
        """Yield the bytes of a region that cannot be read in one go, bad sectors as zeros."""
        for begin in range(position, min(position + size, self._size), _SECTOR):
            length = min(_SECTOR, position + size - begin, self._size - begin)
            try:
                yield os.pread(self._file, length, begin)
            except OSError:
                yield bytes(length)

    def _grown(self, size: int) -> bool:
        """Whether a file that is being written has reached a size."""
        self._size = os.fstat(self._file).st_size
        return self._size >= size


def _within(place: BlockPlace) -> int:
    return place.position + BLOCK_HEADER_BYTES


def _sound(raw: bytes, position: int) -> BlockPlace | None:
    """Return what a header says; None if it is not one, or is damaged."""
    if len(raw) < BLOCK_HEADER_BYTES or raw[:4] != _MAGIC:
        return None
    _, kind, _, sequence, items, length, crc, header_crc = _HEADER.unpack(raw)
    if header_crc != crc32c.crc32c(raw[:-4]) or kind not in _KINDS or length > MAX_PAYLOAD:
        return None
    if _KINDS[kind] in _TEXTS and length > MOST_TEXT_BYTES:
        return None
    return BlockPlace(position, sequence, _KINDS[kind], items, length, crc)
