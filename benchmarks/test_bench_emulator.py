"""The full Monte Carlo of the brain phantom in ``caremibrain`` at 1 MBq, one core, to frames."""

from __future__ import annotations

from collections import deque

from emulator.config import EmulatorConfig
from emulator.emulation import frames_of_run
from emulator.instrument import prepare

PERIODS = 20  # of 5.24 ms: about 105 000 decays


def test_brain_at_1_MBq(benchmark):
    config = EmulatorConfig(activity_Bq=1e6, pace="fast")
    instrument = prepare(config)
    benchmark.extra_info["decays"] = round(PERIODS * 5.24288e-3 * 1e6)
    benchmark(lambda: deque(frames_of_run(instrument, config, periods=PERIODS), maxlen=0))
