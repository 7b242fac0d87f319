"""Slow, obvious versions of the emulator's steps, for its tests. Not used live."""

from __future__ import annotations

import itertools
import struct
from dataclasses import replace
from typing import Any

import crc32c
import numpy as np

from emulator.config import EmulatorConfig
from emulator.detector.miscalibration import EFFICIENCY, GAIN
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.phantom import Phantom
from emulator.physics.emission import EmissionTables
from emulator.physics.positron_range import RANGE_BINS
from hw.physics.random_numbers import seed_stream

PERIOD_PS = 5_242_880_000


def random_state(seed: int = 1) -> np.ndarray:
    state = np.zeros(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    return state


def point_at(x: float, y: float = 0.0, z: float = 0.0) -> Phantom:
    ones = np.ones((1, 1, 1), np.float32)
    return Phantom("point", ones, 0 * ones, (0.1, 0.1, 0.1), (x, y, z))


def ideal(config: EmulatorConfig, phantom: Phantom | None = None, **response: Any) -> Instrument:
    """Return an instrument without crystal errors; each decay only makes a pair, on the spot."""
    instrument = prepare(config, phantom=phantom)
    tables = instrument.tables
    crystals = np.zeros_like(tables.response.crystals)
    crystals[:, [GAIN, EFFICIENCY]] = 1.0
    perfect = tables.response._replace(crystals=crystals, **response)
    pairs_only = EmissionTables(
        first_mode=np.array([0, 1]),
        mode_share=np.ones(1),
        positron=np.zeros(1, np.int64),
        first_line=np.zeros(2, np.int64),
        line_keV=np.zeros(0),
        line_intensity=np.zeros(0),
        line_delayed=np.zeros(0, np.bool_),
        radii_mm=np.zeros((0, RANGE_BINS + 1)),
        most_photons=2,
    )
    return replace(instrument, tables=tables._replace(response=perfect, emission=pairs_only))


def decode_frame(frame: bytes) -> dict[str, Any]:
    """Decode a frame from the protocol's text, bit by bit, without the project's tables."""
    names = [
        "magic",
        "version",
        "flags",
        "module",
        "sequence",
        "frame_id",
        "run_tag",
        "event_count",
        "events_before",
        "lost_events",
        "dead_events",
        "dead_time",
        "temperature",
        "bias",
        "epoch",
        "reserved",
        "reserved_2",
        "reserved_3",
        "crc",
    ]
    header = dict(zip(names, struct.unpack("<IBBHIIIIQIIIhHHHIII", frame[:64]), strict=True))
    assert header["crc"] == crc32c.crc32c(frame[64:], crc32c.crc32c(frame[:60]))
    assert len(frame) == 64 + 8 * header["event_count"]
    events = []
    for (word,) in struct.iter_unpack("<Q", frame[64:]):
        bits = f"{word:064b}"
        cuts = (0, 3, 6, 8, 20, 34, 64)
        fields = [int(bits[a:b], 2) for a, b in itertools.pairwise(cuts)]
        events.append(
            dict(zip(("kind", "doi", "flags", "crystal", "energy", "time"), fields, strict=True))
        )
    return header | {"events": events}


def digitize_slowly(
    hits: list[tuple[int, int, int, int, int]],
    *,
    modules: int,
    dead_time_ps: int,
    periods: int,
    paralysable: bool,
) -> tuple[dict[tuple[int, int], list[tuple[int, int, int, int]]], dict[tuple[int, int], int]]:
    """Run dead time over all hits of a run at once, module by module.

    hits : (time in ps from the run's start, module, crystal, energy, doi) in order of creation

    Returns
    -------
    events (tick, crystal, energy, doi) and dead counts, by (period, module)
    """
    events: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
    dead: dict[tuple[int, int], int] = {}
    for module in range(modules):
        free_from = 0
        own = sorted((h for h in hits if h[1] == module), key=lambda hit: hit[0])
        for time_ps, _, crystal, energy, doi in own:
            period, rest_ps = divmod(time_ps, PERIOD_PS)
            if period >= periods:
                continue
            was_free_from = free_from
            if paralysable or time_ps >= free_from:
                free_from = time_ps + dead_time_ps
            if time_ps < was_free_from:
                dead[period, module] = dead.get((period, module), 0) + 1
                continue
            tick = rest_ps * 32 // 625
            events.setdefault((period, module), []).append((tick, crystal, energy, doi))
    return events, dead
