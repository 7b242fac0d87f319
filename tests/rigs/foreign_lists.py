"""Lists of other people's electronics, written with struct from the formats' descriptions alone."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def petsys_group(hits: list[tuple[int, float, int]]) -> bytes:
    """Return a group of (time ps, charge, channel), the strongest first."""
    return b"".join(struct.pack("<BBqfi", len(hits), index, *hit) for index, hit in enumerate(hits))


def petsys_pair(a: list[tuple[int, float, int]], b: list[tuple[int, float, int]]) -> bytes:
    """Return a coincidence: every hit of the one group with every hit of the other."""
    return b"".join(
        struct.pack("<BBqfiBBqfi", len(a), i, *one, len(b), k, *other)
        for i, one in enumerate(a) for k, other in enumerate(b)
    )  # fmt: skip


def janus_head(*, mode: int = 3, in_ns: int = 1) -> bytes:
    """Return the header of a list of Janus 4.3.0 in format 3.4."""
    return struct.pack("<BBBBBHHBHBfQ", 3, 4, 4, 3, 0, 5202, 54, mode, 4096, in_ns, 0.5, 0)


def janus_event(board: int, time_us: float, hits: list[tuple[int, int, float | None]]) -> bytes:
    """Return an event of hits (channel, low gain, time of arrival in ns or None)."""
    body = struct.pack("<BddQQH", board, time_us, 0.0, 1, 2**64 - 1, len(hits))
    for channel, low, ns in hits:
        body += struct.pack("<BBHH", channel, 3 if ns is None else 0x13, low, 10 * low)
        body += b"" if ns is None else struct.pack("<f", ns)
    return struct.pack("<H", len(body) + 2) + body


def compass(events: list[tuple[int, int, int, int]], *, samples: int = 3, has: int = 13) -> bytes:
    """Return a list of (board, channel, time ps, energy), with waveforms where ``has`` says so."""
    made = struct.pack("<H", 0xCAE0 | has)
    for board, channel, time_ps, energy in events:
        made += struct.pack("<HHQH", board, channel, time_ps, energy)
        made += struct.pack("<d", 1.5) if has & 2 else b""
        made += struct.pack("<H", 7) if has & 4 else b""
        made += struct.pack("<I", 0)
        made += struct.pack(f"<BI{samples}H", 1, samples, *range(samples)) if has & 8 else b""
    return made


def gate_root(path: Path, *, gate: int = 10, rows: int = 300, seed: int = 3) -> Path:
    """Write a ROOT file as GATE 9 or 10 does, of singles in the bench's two blocks, in no order of
    time, with a second tree of hits; needs uproot."""
    import uproot

    rng = np.random.default_rng(seed)
    x = np.where(rng.random(rows) < 0.5, 1.0, -1.0) * rng.uniform(50.5, 64.5, rows)
    y, z = rng.uniform(-12.7, 12.7, (2, rows))
    time_s, energy_MeV = rng.uniform(0, 0.02, rows), rng.uniform(0.1, 0.55, rows)
    if gate == 10:
        table = {"GlobalTime": time_s * 1e9, "TotalEnergyDeposit": energy_MeV,
                 "PostPosition_X": x, "PostPosition_Y": y, "PostPosition_Z": z}  # fmt: skip
    else:
        narrow = {"energy": energy_MeV, "globalPosX": x, "globalPosY": y, "globalPosZ": z}
        table = {name: column.astype(np.float32) for name, column in narrow.items()}
        table |= {"runID": np.zeros(rows, np.int32), "time": time_s}
    with uproot.recreate(path) as file:
        for name, count in (("Hits", 5), ("Singles", rows)):
            tree = file.mktree(name, {field: column.dtype for field, column in table.items()})
            tree.extend({field: column[:count] for field, column in table.items()})
    return path
