"""From frames to coincidences, and the stages, on a reference workload of 0.5 M singles."""

from __future__ import annotations

import pytest

from daq.cli.bench.sorting_speed import Chain, frames_to_listmode, sorted_window_pairs
from daq.cli.bench.sorting_workload import Workload, disordered, frames_of

SINGLES = 500_000


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload.of_size(SINGLES)


def test_sorted_window_pairs(benchmark, workload):
    benchmark.extra_info["singles"] = SINGLES
    assert benchmark(sorted_window_pairs, workload) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_full_chain_disordered(benchmark, workload, threads):
    benchmark.extra_info["singles"] = SINGLES
    mixed = disordered(workload.singles)
    assert benchmark(lambda: Chain(workload).run(mixed, threads=threads)) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_to_listmode(benchmark, workload, threads):
    benchmark.extra_info["singles"] = SINGLES
    frames = frames_of(workload)
    assert benchmark(frames_to_listmode, workload, frames, threads=threads) > 0
