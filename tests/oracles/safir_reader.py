"""Reads SAFIR list mode and crystal maps; shares only magic and masks with the writer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.safir import HEADER_BYTES, MAGIC, RANDOM_BIT, TIME_BIT

MAGICS = (MAGIC, b"SAFIR CListModeData")


@dataclass(frozen=True)
class SafirEvents:
    """Records read: each event's time (ms), rings, detectors, layers (n, 2), and whether it is a
    delayed."""

    time_ms: npt.NDArray[np.int64]
    ring: npt.NDArray[np.int64]
    detector: npt.NDArray[np.int64]
    layer: npt.NDArray[np.int64]
    delayed: npt.NDArray[np.bool_]


def read_safir(path: Path) -> SafirEvents:
    """Read a file of SAFIR records, ours or another's.

    Raises
    ------
    ExchangeError
        if it is not SAFIR, or ends within a record.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ExchangeError(f"{path} cannot be read: {error.strerror}") from error
    if not raw.startswith(MAGICS) or len(raw) < HEADER_BYTES:
        raise ExchangeError(f"{path} does not begin with {MAGIC.decode()}: no SAFIR list mode")
    if len(raw) % 8:
        raise ExchangeError(f"{path} ends within a record ({len(raw)} bytes): copy it again")
    words = np.frombuffer(raw, "<u8", offset=HEADER_BYTES)
    is_time = words & TIME_BIT != 0
    ms = np.where(is_time, words & np.uint64((1 << 48) - 1), 0).astype(np.int64)
    events = words[~is_time]

    def bits(first: int, count: int) -> npt.NDArray[np.int64]:
        part = events >> np.uint64(first) & np.uint64((1 << count) - 1)
        return np.asarray(part.astype(np.int64))

    return SafirEvents(
        time_ms=np.maximum.accumulate(ms)[~is_time],
        ring=np.stack([bits(0, 8), bits(8, 8)], axis=1),
        detector=np.stack([bits(16, 16), bits(32, 16)], axis=1),
        layer=np.stack([bits(48, 4), bits(52, 4)], axis=1),
        delayed=events & RANDOM_BIT != 0,
    )


def read_crystal_map(path: Path) -> dict[tuple[int, int, int], tuple[float, float, float]]:
    """Read a crystal map: (ring, detector, layer) → (x, y, z) mm; the layer may be omitted."""
    places = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        values = line.split("#")[0].split()
        if not values:
            continue
        if len(values) not in (5, 6):
            raise ExchangeError(f"{path}:{number}: ring, detector, (layer,) x, y, z are needed")
        index = [int(value) for value in values[:-3]]
        x, y, z = (float(value) for value in values[-3:])
        places[index[0], index[1], index[2] if len(index) == 3 else 0] = (x, y, z)
    return places
