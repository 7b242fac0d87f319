"""The brain phantom in ``caremibrain`` to frames on one core: full Monte Carlo and load mode."""

from __future__ import annotations

from collections import deque

from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare

PERIODS = 20  # of 5.24 ms: about 105 000 decays at 1 MBq


def test_brain_at_1_MBq(benchmark):
    config = EmulatorConfig(activity_Bq=1e6, pace="fast")
    instrument = prepare(config)
    benchmark.extra_info["decays"] = round(PERIODS * 5.24288e-3 * 1e6)
    benchmark(lambda: deque(frames_of_run(instrument, config, periods=PERIODS), maxlen=0))


def test_brain_from_a_library_at_30_MBq(benchmark):
    config = EmulatorConfig(activity_Bq=30e6, pace="fast", library="auto")
    instrument = prepare(config)
    benchmark.extra_info["decays"] = round(PERIODS * 5.24288e-3 * 30e6)
    benchmark(lambda: deque(frames_of_run(instrument, config, periods=PERIODS), maxlen=0))
