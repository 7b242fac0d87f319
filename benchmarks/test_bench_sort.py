"""Frames to coincidences and its stages, on a reference workload of 0.5 M singles."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.calibration import no_calibration
from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.select import select_singles, window_dkeV
from daq.bench_sort import Workload, frames_of
from daq.pipeline import Pipeline
from hw.geometry import build_geometry

SINGLES = 500_000


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload.of_size(SINGLES)


def selected(workload: Workload) -> np.ndarray:
    out = np.empty(SINGLES + 1, dtype=SINGLE)
    calibration = no_calibration(workload.scanner.n_crystals)
    modules = build_geometry(workload.scanner).crystal_module
    counts, spectrum = np.zeros(24, np.int64), np.zeros(256, np.int64)
    n = select_singles(
        workload.singles, calibration.gain, calibration.skew_ps,
        *window_dkeV(workload.settings.lld_keV, workload.settings.uld_keV),
        modules, out, counts, spectrum,
    )  # fmt: skip
    return out[:n]


def test_select(benchmark, workload):
    benchmark.extra_info["singles"] = SINGLES
    assert len(benchmark(selected, workload)) > SINGLES / 2


def test_pair_ordered_singles(benchmark, workload):
    accepted = selected(workload).copy()
    benchmark.extra_info["singles"] = len(accepted)
    prompts, _ = benchmark(lambda: workload.sorter().push(accepted, int(END_OF_TIME_PS)))
    assert len(prompts) > 0


def test_frames_to_coincidences(benchmark, workload):
    frames = frames_of(workload)
    geometry = build_geometry(workload.scanner)
    benchmark.extra_info["singles"] = SINGLES

    def sort() -> int:
        pipeline = Pipeline(workload.scanner, geometry, workload.settings, run_tag=0)
        for start in range(0, len(frames), 96):
            pipeline.process(frames[start : start + 96])
        pipeline.finish()
        return pipeline.sorter.counts.prompts

    assert benchmark(sort) > 0
