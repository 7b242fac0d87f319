"""QC of emulated runs whose truth is planted: it finds exactly these crystals, widths and peaks."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from daq.errors import RunError
from daq.folder.quality.qc_result import QcResult
from daq.folder.run_config import RunConfig, default_settings
from daq.quality.qc_source import source_of
from daq.quality.run_quality import judge_run
from daq.service.run import Run
from emulator.config import make_config as make_emulation
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.scanner.judged_figure import Figure
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.scanner.serial import factory_calibration

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
BENCH = load_scanner("bench2")
DEAD, NOISY = (5, 70), (17,)


def emulated(root: Path, name: str, *, periods: int, calibrated: bool = True,
             phantom: str = "point", **planted: object) -> Path:  # fmt: skip
    """Measure a point on the bench with its factory calibration, or without one."""
    values = {"scanner": "bench2", "activity_Bq": 3e6, "seed": 3, "phantom": "point", **planted}
    emulation = make_emulation(values)
    own = factory_calibration("bench2-0001")
    config = RunConfig(
        scanner_toml=scanner_to_toml_text("bench2"), settings=default_settings(BENCH), name=name,
        calibration=str(own) if calibrated else "", serial="bench2-0001",
        labels={"phantom": phantom},
    )  # fmt: skip
    run = Run(config, root)
    run.start()
    for frames in frames_of_run(
        prepare(emulation), emulation, periods=periods, run_tag=run.run_tag
    ):
        run.process(frames)
    run.finish()
    run.write_summary()
    return run.folder


def qc_of(folder: Path, source: str = "") -> QcResult:
    from daq.folder.run_folder import run_config

    return judge_run(folder, source_of(run_config(folder), source), now=NOW).result


def figures(result: QcResult) -> dict[str, Figure]:
    return {figure.name: figure for figure in result.figures}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emulated(tmp_path_factory.mktemp("good"), "good", periods=600)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    return emulated(root, "odd", periods=600, dead_crystals=DEAD, noisy_crystals=NOISY)


def test_a_sound_scanner_passes_with_the_resolutions_of_its_preset(good: Path) -> None:
    result = qc_of(good)
    found = figures(result)
    assert result.verdict == "pass", result.failures
    preset = BENCH.response
    of_crystals = found["resolution, crystals' median"].value
    assert of_crystals == pytest.approx(100 * preset.energy_fwhm_511, rel=0.02)
    ctr = found["CTR (FWHM of Δt)"]
    assert ctr.value == pytest.approx(preset.ctr_fwhm_ps, rel=0.04)  # depths within a bin widen it
    assert ctr.sigma < 5.0
    assert found["peak, median of modules"].value == pytest.approx(511.0, abs=1.5)
    assert found["dead crystals"].value == found["noisy crystals"].value == 0
    assert result.trend["CTR, ps"] == ctr.value


def test_exactly_the_planted_crystals_are_dead_and_noisy(odd: Path) -> None:
    result = qc_of(odd)
    assert result.verdict == "FAIL"
    part = next(one for one in result.parts if one.title == "Dead and noisy crystals")
    assert f"dead: {', '.join(map(str, DEAD))}" in part.notes
    assert f"noisy: {', '.join(map(str, NOISY))}" in part.notes
    assert figures(result)["dead crystals, share"].value == pytest.approx(100 * 2 / 128)
    assert set(result.failures) == {"dead crystals, share", "noisy crystals"}


@pytest.mark.parametrize("seed", [11, 12])
def test_few_counts_make_no_crystal_dead(tmp_path: Path, seed: int) -> None:
    """60 singles a crystal: just enough to judge, and 1 % of them have fewer than 43."""
    folder = emulated(tmp_path, f"short{seed}", periods=14)
    found = figures(qc_of(folder))
    assert found["dead crystals"].value == found["noisy crystals"].value == 0


def test_too_few_counts_are_not_judged_at_all(tmp_path: Path) -> None:
    result = qc_of(emulated(tmp_path, "shorter", periods=4))
    assert result.verdict == "incomplete"
    assert "Dead and noisy crystals" in result.missing
    reason = next(one.reason for one in result.parts if one.title in result.missing)
    assert "measure longer" in reason


def test_without_calibration_its_peaks_and_times_fail(tmp_path: Path) -> None:
    result = qc_of(emulated(tmp_path, "raw", periods=300, calibrated=False))
    assert {"resolution, modules' median", "CTR (FWHM of Δt)"} <= set(result.failures)
    assert result.calibration == "none"


def test_a_cylinder_says_nothing_of_the_time_resolution_and_need_not(good: Path) -> None:
    result = qc_of(good, source="cylinder")
    timing = next(one for one in result.parts if one.title == "Coincidence timing")
    assert "only a point or a line" in timing.reason
    assert result.verdict == "pass"


def test_a_patient_is_no_source(tmp_path: Path, good: Path) -> None:
    brain = emulated(tmp_path, "brain", periods=2, phantom="brain")
    with pytest.raises(RunError, match="its phantom was 'brain': measure such a one, or say"):
        qc_of(brain)
    with pytest.raises(RunError, match="takes a point or line or cylinder or lutetium"):
        qc_of(good, source="flood")


def test_without_a_source_lutetium_tells_scale_and_dead_crystals(tmp_path: Path) -> None:
    folder = emulated(
        tmp_path, "lutetium", periods=2500, activity_Bq=1.0, lutetium=True, dead_crystals=DEAD
    )
    result = qc_of(folder, source="lutetium")
    assert figures(result)["scale off, worst module"].value < 1.5
    part = next(one for one in result.parts if one.title == "Dead and noisy crystals")
    assert f"dead: {', '.join(map(str, DEAD))}" in part.notes
    assert result.failures == ["dead crystals, share"]
    assert result.source == "lutetium"


def test_a_point_is_not_the_background_of_lutetium(good: Path) -> None:
    result = qc_of(good, source="lutetium")
    assert result.missing == ["Energy scale by ¹⁷⁶Lu"]
    assert "not that of ¹⁷⁶Lu alone" in next(one.reason for one in result.parts if one.reason)


def test_rates_and_randoms_are_those_of_the_summary(good: Path) -> None:
    found = figures(qc_of(good))
    apart = found["randoms' estimates apart"]
    assert 0 <= apart.value < 5
    assert apart.limit == 5
    assert found["data frames lost"].value == 0
    by = found["randoms by delayeds"].value, found["randoms by singles"].value
    assert by[0] == pytest.approx(by[1], abs=4 * np.sqrt(by[1]))
