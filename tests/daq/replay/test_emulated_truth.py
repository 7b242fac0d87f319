"""The emulator's truth, given to the host as its calibration, makes a faulty scanner a good one.

Both sides write the formulas on their own; here they meet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coincidence.calibration import Calibration
from daq.folder.run_config import default_settings
from daq.path.pipeline import Pipeline
from emulator.config import EmulatorConfig
from emulator.detector.miscalibration import CRYSTAL_COLUMNS, EFFICIENCY, GAIN, Truth
from emulator.engines.emulation import frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.shapes import cylinder
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

PERIODS = 100
FAULTY = """[response]
walk_ps = 600.0
walk_spread_ps = 100.0
curvature_spread = 0.05
doi_gain_range = -0.2
doi_time_range_ps = 400.0
"""


def preset(path: Path, *, raw: bool) -> str:
    """Write a bench2 with large errors, all of which the host can correct."""
    keys = {line.split(" ")[0] for line in FAULTY.splitlines()} | {"efficiency_spread"}
    text = scanner_to_toml_text("bench2").splitlines()
    kept = "\n".join(line for line in text if line.split(" ")[0] not in keys - {"[response]"})
    readout = 'position_readout = "raw"\nraw_blur_fwhm_mm = 0.6\n' if raw else ""
    path.write_text(kept.replace("[response]\n", FAULTY + readout), encoding="utf-8")
    return str(path)


def instrument_of(path: str) -> Instrument:
    config = EmulatorConfig(scanner=path, phantom="point", activity_Bq=6e6, seed=9)
    return prepare(config, phantom=cylinder(load_scanner(path), radius_mm=5.0, length_mm=20.0))


def without_errors(instrument: Instrument) -> Instrument:
    response = instrument.response
    crystals = np.zeros((len(response.crystals), CRYSTAL_COLUMNS), np.float32)
    crystals[:, [GAIN, EFFICIENCY]] = 1.0
    ideal = response._replace(
        crystals=crystals,
        doi_gain=np.ones_like(response.doi_gain),
        doi_ps=np.zeros_like(response.doi_ps),
    )
    return replace(instrument, tables=instrument.tables._replace(response=ideal))


def calibration_of(truth: Truth) -> Calibration:
    """Return the corrections that undo the emulator's errors."""
    doi_gain, doi_ps = np.ones(8, np.float32), np.zeros(8, np.float32)
    doi_gain[: len(truth.doi_gain)] = 1 / truth.doi_gain
    doi_ps[: len(truth.doi_ps)] = truth.doi_ps
    return Calibration(
        gain=1 / truth.gain,
        skew_ps=np.rint(truth.skew_ps).astype(np.int32),
        curvature=truth.curvature,
        walk_ps=truth.walk_ps,
        doi_gain=doi_gain,
        doi_ps=doi_ps,
        crystal_map=np.tile(truth.crystal_map, (2, 1)) if truth.crystal_map.size else None,
    )


def prompts_of(instrument: Instrument, calibration: Calibration | None) -> np.ndarray:
    config = EmulatorConfig(scanner="bench2", activity_Bq=6e6, seed=9)
    scanner = instrument.scanner
    pipeline = Pipeline(
        scanner,
        build_geometry(scanner),
        default_settings(scanner),
        run_tag=0,
        calibration=calibration,
    )
    parts = [
        pipeline.process(frames).prompts.copy()
        for frames in frames_of_run(instrument, config, periods=PERIODS)
    ]
    return np.concatenate([*parts, pipeline.finish().prompts])


def width_ps(prompts: np.ndarray) -> float:
    """Return the width of the time differences, from quartiles: blind to randoms."""
    low, high = np.percentile(prompts["tof_ps"], [25, 75])
    return float(high - low)


@pytest.mark.parametrize("raw", [False, True])
def test_truth_given_as_calibration_restores_counts_and_time_resolution(tmp_path, raw):
    faulty = instrument_of(preset(tmp_path / "faulty.toml", raw=raw))
    crystals = instrument_of(preset(tmp_path / "crystals.toml", raw=False))
    good = prompts_of(without_errors(crystals), None)
    assert len(good) > 5000
    corrected = prompts_of(faulty, calibration_of(faulty.truth))
    assert len(corrected) == pytest.approx(len(good), abs=5 * np.sqrt(len(good)))
    assert width_ps(corrected) == pytest.approx(width_ps(good), rel=0.04)
    if not raw:  # uncorrected raw positions are not crystals at all
        assert width_ps(prompts_of(faulty, None)) > 1.3 * width_ps(good)


def test_dead_and_noisy_crystals_that_are_masked_leave_no_prompts(tmp_path):
    path = preset(tmp_path / "faulty.toml", raw=False)
    config = EmulatorConfig(
        scanner=path, phantom="point", activity_Bq=6e6, seed=9, dead_crystals=5, noisy_crystals=3
    )
    faulty = prepare(config)
    masked = faulty.truth.dead | faulty.truth.noisy
    calibration = replace(calibration_of(faulty.truth), masked=masked)
    prompts = prompts_of(faulty, calibration)
    assert len(prompts) > 500
    assert not masked[prompts["crystal_a"]].any()
    assert not masked[prompts["crystal_b"]].any()
