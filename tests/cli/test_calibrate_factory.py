"""The command that makes a factory calibration finds what the emulator drew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from daq.cli import main
from daq.folder.calibration_set import CalibrationSet, load_set_for
from daq.folder.run_config import RunConfig, default_settings
from emulator.config import EmulatorConfig
from emulator.detector.miscalibration import Truth
from emulator.engines.prepare import prepare
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.scanner.serial import activity_beside
from recon.core.quantification import load_calibration

pytestmark = pytest.mark.timeout(600)

SERIAL = "bench2-0042"
SHIPPED = Path(__file__).parents[2] / "hw" / "scanner" / "calibrations" / "bench2-0001.npz"
COUNTS = "0.1"
"""Of what the shipped sets are made of: enough to tell every quantity from nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set of another instrument than the shipped one."""
    folder = tmp_path_factory.mktemp("factory")
    options = ["--serial", SERIAL, "--counts", COUNTS, "--output", str(folder), "--threads", "1"]
    assert main(["calibrate", "factory", "--preset", "bench2", *options]) == 0
    return folder / f"{SERIAL}.npz"


@pytest.fixture(scope="module")
def found(made: Path) -> CalibrationSet:
    return load_set_for(made, load_scanner("bench2"))


@pytest.fixture(scope="module")
def truth() -> Truth:
    return prepare(EmulatorConfig(scanner="bench2", phantom="point", serial=SERIAL, seed=9)).truth


@pytest.mark.evidence
def test_the_set_names_the_instrument_and_the_runs_it_was_made_from(found: CalibrationSet) -> None:
    assert found.about.serial == found.about.name == SERIAL
    of = {source.quantity: source.run for source in found.about.sources}
    assert of == {"energy": "flood", "skew": "rod", "walk": "rod", "normalisation": "drum"}


@pytest.mark.evidence
def test_gains_bring_each_photopeak_to_511_keV(found: CalibrationSet, truth: Truth) -> None:
    error = found.gain * truth.gain - 1
    assert np.std(truth.gain) > 0.03
    assert np.sqrt(np.mean(error**2)) < 0.02  # an event library of so few decays is coarse
    assert abs(error.mean()) < 0.005


@pytest.mark.evidence
def test_skews_are_those_that_were_drawn(found: CalibrationSet, truth: Truth) -> None:
    drawn = truth.skew_ps - truth.skew_ps.mean()
    assert drawn.std() > 100
    assert np.std(found.skew_ps - drawn) < 25


@pytest.mark.evidence
def test_the_walk_is_the_scanners_at_least(found: CalibrationSet, truth: Truth) -> None:
    assert found.walk_ps.mean() == pytest.approx(truth.walk_ps.mean(), abs=50)


@pytest.mark.evidence
def test_efficiencies_are_those_that_were_drawn_as_far_as_counts_go(
    found: CalibrationSet, truth: Truth
) -> None:
    each = len(found.block_profile)
    ratio = (found.efficiency / truth.relative_efficiency).reshape(-1, each)
    ratio /= ratio.mean(axis=0)
    assert ratio.std() < 0.1


@pytest.mark.evidence
def test_the_activity_calibration_lies_beside_it(made: Path) -> None:
    path = activity_beside(made)
    assert path is not None
    factor = load_calibration(path)
    assert 0.5 < factor.factor < 2.0
    assert all(factor.corrections[name] for name in ("normalisation", "attenuation", "scatter"))


def test_a_set_that_is_there_is_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Path(shutil.copy(SHIPPED, tmp_path / f"{SERIAL}.npz"))
    before = made.read_bytes()
    options = ["--serial", SERIAL, "--output", str(made.parent)]
    assert main(["calibrate", "factory", "--preset", "bench2", *options]) == 1
    assert "exists already and is never written over" in capsys.readouterr().err
    assert made.read_bytes() == before


def test_a_spect_scanner_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--preset", "czt_cardiac", "--output", str(tmp_path)]
    assert main(["calibrate", "factory", *options]) == 1
    assert "has collimators" in capsys.readouterr().err


def test_runs_of_several_instruments_make_no_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    config = RunConfig(
        scanner_toml=scanner_to_toml_text("bench2"),
        settings=default_settings(load_scanner("bench2")),
        serial="bench2-0009",
    )
    (folder / "run.json").write_text(json.dumps({"config": msgspec.to_builtins(config)}))
    argv = ["calibrate", "mask", str(folder), "--calibration", str(SHIPPED)]
    assert main([*argv, "--output", str(tmp_path / "x.npz")]) == 1
    assert "several instruments" in capsys.readouterr().err
