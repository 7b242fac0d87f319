"""The firmware's data paths, native and as ARM image; ``tomoshibi bench firmware`` reports them.

The time of a round includes boot and bias ramp; the figures that matter are in ``extra_info``.
"""

from __future__ import annotations

import pytest

from daq.cli.bench.firmware_speed import PATHS, measure_path
from hw.machines.toolchain import Kind, missing


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("target", ["native", "qemu"])
def test_data_path(benchmark, target: Kind, path: str):
    if missing(target):
        pytest.skip(missing(target))
    figures = benchmark.pedantic(measure_path, (target, path), {"seconds": 1.0}, rounds=1)
    benchmark.extra_info["events_per_s"] = figures.events_per_s
    benchmark.extra_info["lost_frames"] = figures.lost_frames
    assert figures.events_per_s > 0
