"""Reads SAFIR list mode with its crystal map: :mod:`recon.exchange.listmode.safir` has the layout.

Lines come out on our axes: a map's positions are STIR's (LPS for head first supine), turned by 180°
about z as they are when written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.arrays import U8
from hw.bounded_files import FileRefused, read_text, regular_file
from recon.core.events import Lors
from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.safir import (
    HEADER_BYTES,
    MAGIC,
    MOST_LAYERS,
    MOST_RINGS,
    RANDOM_BIT,
    TIME_BIT,
)

MAGICS = (MAGIC, b"SAFIR CListModeData")
_ENDS = (((0, 8), (16, 16), (48, 4)), ((8, 8), (32, 16), (52, 4)))
"""First bit and number of bits of ring, detector and layer, of both ends of a line."""

MOST_BYTES, MOST_MAP_BYTES = 1 << 29, 1 << 28
MOST_AROUND, FARTHEST_MM = 4096, 10_000.0
"""Bounds of a crystal map: of a ring's detectors and of a coordinate."""


@dataclass(frozen=True)
class SafirLines:
    """Events in the order of the file: lines (mm), time (ms), and whether each is a delayed."""

    lors: Lors
    time_ms: npt.NDArray[np.int64]
    delayed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time_ms)


def read_safir(path: Path, crystal_map: Path) -> SafirLines:
    """Read a list; raises ExchangeError if it, or the map, is damaged or does not fit the other."""
    words, places = _words(path), read_crystal_map(crystal_map)
    is_time = words & TIME_BIT != 0
    ms = np.where(is_time, words & np.uint64((1 << 48) - 1), np.uint64(0)).astype(np.int64)
    events = words[~is_time]
    ends = []
    for fields in _ENDS:
        index = tuple(_bits(events, first, count) for first, count in fields)
        inside = np.all([i < n for i, n in zip(index, places.shape, strict=False)], axis=0)
        found = places[tuple(np.where(inside, i, 0) for i in index)]
        unknown = ~inside | np.isnan(found[:, 0])
        if unknown.any():
            ring, detector, layer = (int(i[unknown][0]) for i in index)
            raise ExchangeError(
                f"{path}: {int(unknown.sum())} ends of lines are not in {crystal_map.name}, the "
                f"first is ring {ring}, detector {detector}, layer {layer}: give the map of this "
                "scanner with --map"
            )
        ends.append(np.ascontiguousarray(found * np.array([-1, -1, 1], np.float32), np.float32))
    return SafirLines(
        Lors(*ends), np.maximum.accumulate(ms)[~is_time], np.asarray(events & RANDOM_BIT != 0)
    )


def _words(path: Path) -> U8:
    try:
        with regular_file(path) as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, FileRefused) as error:
        raise ExchangeError(f"{path} cannot be read: {error}") from error
    if not raw.startswith(MAGICS) or len(raw) < HEADER_BYTES:
        raise ExchangeError(f"{path} does not begin with {MAGIC.decode()}: no SAFIR list mode")
    if len(raw) > MOST_BYTES:
        raise ExchangeError(f"{path} has more than {MOST_BYTES >> 20} MiB: cut it into parts")
    if len(raw) % 8:
        raise ExchangeError(f"{path} ends within a record ({len(raw)} bytes): copy it again")
    return np.frombuffer(raw, "<u8", offset=HEADER_BYTES)


def _bits(words: U8, first: int, count: int) -> npt.NDArray[np.int64]:
    part = words >> np.uint64(first) & np.uint64((1 << count) - 1)
    return np.asarray(part.astype(np.int64))


def read_crystal_map(path: Path) -> npt.NDArray[np.float32]:
    """Return the positions in a map, [ring, detector, layer, xyz] mm, NaN where there is none.

    Raises
    ------
    ExchangeError
        for a line that is not ring, detector, (layer,) x, y, z within the format's bounds.
    """
    try:
        text = read_text(path, most_bytes=MOST_MAP_BYTES)
    except FileRefused as error:
        raise ExchangeError(f"{path} cannot be read as a crystal map: {error}") from error
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        values = line.split("#")[0].split()
        if not values:
            continue
        try:
            found = [float(value) for value in values]
            if len(found) == 5:
                found.insert(2, 0.0)
            bounds = (MOST_RINGS, MOST_AROUND, MOST_LAYERS)
            sound = len(found) == 6 and all(
                0 <= i < most and i == int(i) for i, most in zip(found, bounds, strict=False)
            )
            sound = sound and all(abs(place) <= FARTHEST_MM for place in found[3:])
        except (ValueError, OverflowError):
            sound = False
        if not sound:
            raise ExchangeError(
                f"{path}:{number}: needs ring (below {MOST_RINGS}), detector (below "
                f"{MOST_AROUND}), (layer, below {MOST_LAYERS},) x, y, z in mm: {line[:60]!r}"
            )
        rows.append(found)
    if not rows:
        raise ExchangeError(f"{path} names no crystal: no crystal map")
    table = np.array(rows)
    index = table[:, :3].astype(np.int64)
    places = np.full((*(index.max(axis=0) + 1), 3), np.nan, np.float32)
    places[tuple(index.T)] = table[:, 3:]
    return places
