"""The emulator's benchmark: the full Monte Carlo of the brain phantom in ``caremibrain``."""

from __future__ import annotations

import time
from typing import Any


def measure_emulator(*, periods: int) -> dict[str, Any]:
    """Return decays per second on one and two cores, as frames to a null sink, at 1 MBq."""
    one = _decays_per_s(periods, threads=1)
    two = _decays_per_s(periods, threads=2)
    return {
        "decays_per_s_one_core": one["decays_per_s"],
        "decays_per_s_two_cores": two["decays_per_s"],
        "two_cores_gain": two["decays_per_s"] / one["decays_per_s"],
        "singles_per_s_one_core": one["singles_per_s"],
        "peers": {"GATE 10 (quoted: 36-210 k primaries/s on one core)": 210e3},
    }


def _decays_per_s(periods: int, *, threads: int) -> dict[str, float]:
    from emulator.config import EmulatorConfig
    from emulator.emulation import Emulation
    from emulator.instrument import prepare
    from emulator.slices import SliceAhead

    config = EmulatorConfig(scanner="caremibrain", phantom="brain", activity_Bq=1e6, pace="fast")
    emulation = Emulation(prepare(config), activity_Bq=config.activity_Bq, seed=config.seed)
    ahead = SliceAhead(emulation.emulate_slice, threads=threads, look_ahead_s=config.look_ahead_s)
    try:
        slices = iter(ahead)
        for _ in range(5):
            emulation.digitize(next(slices), last=False)
        before = emulation.totals.truth()
        began = time.perf_counter()
        for _ in range(periods):
            for _frame in emulation.digitize(next(slices), last=False):
                pass
        seconds = time.perf_counter() - began
        after = emulation.totals.truth()
    finally:
        ahead.close()
    return {
        "decays_per_s": (after["decays"] - before["decays"]) / seconds,
        "singles_per_s": (after["emitted"] - before["emitted"]) / seconds,
    }
