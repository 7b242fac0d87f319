"""From an emulated run, whose truth is known, through the command to the calibration set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daq.cli import main
from daq.folder.calibration_set import CalibrationSet, Status, load_set
from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.shapes import cylinder
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

RADIUS_mm, LENGTH_mm = 8.0, 20.0


def emulate(
    root: Path, preset: Path, *, name: str, activity_MBq: float, periods: int
) -> tuple[Path, Instrument]:
    """Measure a small water cylinder with a preset; return the run's folder and the instrument."""
    emulation = EmulatorConfig(scanner=str(preset), activity_Bq=activity_MBq * 1e6, seed=5)
    scanner = load_scanner(preset)
    phantom = cylinder(scanner, radius_mm=RADIUS_mm, length_mm=LENGTH_mm)
    instrument = prepare(emulation, phantom=phantom)
    labels = {"nuclide": "F-18", "activity_MBq": activity_MBq}
    config = RunConfig(
        scanner_toml=scanner_to_toml_text(preset),
        settings=default_settings(scanner),
        name=name,
        labels=labels,
    )
    run = Run(config, root)
    run.start()
    for frames in frames_of_run(instrument, emulation, periods=periods, run_tag=run.run_tag):
        run.process(frames)
    run.finish()
    run.write_summary()
    return run.folder, instrument


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write bench2 with other values of ``response`` to a file."""

    def write(name: str, *, monolithic: bool = False, **response: object) -> Path:
        text = scanner_to_toml_text("bench2")
        text = text.replace("monolithic = false", f"monolithic = {json.dumps(monolithic)}")
        for key, value in response.items():
            text = re.sub(rf"(?m)^{key} = .*\n", "", text)
            line = f"{key} = {json.dumps(value)}"
            text = text.replace("[response]\n", f"[response]\n{line}\n")
        path = tmp_path_factory.mktemp(name) / "bench2.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def calibrated(
    capsys: pytest.CaptureFixture[str], output: Path, *words: object
) -> tuple[CalibrationSet, dict[str, Any]]:
    """Run ``tomoshibi calibrate``; return the set and the report."""
    assert main(["calibrate", *map(str, words), "--output", str(output), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert report == printed
    for suffix in (".png", ".pdf"):
        assert output.with_suffix(suffix).stat().st_size > 5000
    return load_set(output), report


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must be refused in one line; return it."""
    assert main(["calibrate", *map(str, words)]) == 1
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def busy_runs(tmp_path_factory: pytest.TempPathFactory, preset: Callable[..., Path]) -> list[Path]:
    """Runs of five activities with a paralysable dead time of 10 µs: n·τ from 2 down to 0.1."""
    root = tmp_path_factory.mktemp("busy")
    slow = preset("slow", dead_time_ns=10_000.0, dead_time_model="paralysable")
    return [
        emulate(root, slow, name=f"a{k}", activity_MBq=activity, periods=60)[0]
        for k, activity in enumerate((6.0, 3.0, 1.5, 0.8, 0.4))
    ]


def test_dead_time_from_runs_of_several_activities(
    busy_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, report = calibrated(capsys, tmp_path / "dead.npz", "deadtime", *busy_runs)
    assert report["model"] == "paralysable"
    assert found.dead_time_model.tolist() == [2, 2]
    assert found.statuses["dead_time_ps"].tolist() == [Status.FITTED] * 2
    error = np.array([row["error_ns"] for row in report["modules"]])
    assert (error < 200).all()  # 2 %
    np.testing.assert_array_less(np.abs(found.dead_time_ps / 1e3 - 10_000), 3.5 * error)
    assert report["chi2_per_dof"] < 2.5
    assert 0.5 < report["load_at_start"] < 4


def test_dead_time_options_are_checked(
    busy_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--output", tmp_path / "never.npz")
    few = refused(capsys, "deadtime", *busy_runs[:2], *out)
    assert "runs of at least four activities" in few
    words = refused(capsys, "deadtime", *busy_runs, "--activities", 1, 2, *out)
    assert "2 activities for 5 runs" in words
    mixed = refused(capsys, "deadtime", busy_runs[0], "--nuclide", "Ga-68:0.3+Lu-177:0.7", *out)
    assert "one nuclide alone" in mixed
    assert "slices of 1e+06 s" in refused(capsys, "deadtime", *busy_runs, "--slice-s", 1e6, *out)
    assert not (tmp_path / "never.npz").exists()


@pytest.fixture(scope="module")
def uneven(
    tmp_path_factory: pytest.TempPathFactory, preset: Callable[..., Path]
) -> tuple[Path, np.ndarray]:
    """A run of a bench with efficiencies of 10 % spread and gains of 1; the efficiencies."""
    path = preset("uneven", efficiency_spread=0.1, gain_spread=0.0)
    folder, instrument = emulate(
        tmp_path_factory.mktemp("uneven"), path, name="uneven", activity_MBq=6.0, periods=600
    )
    return folder, instrument.truth.efficiency.astype(float)


def test_normalisation_of_an_emulated_bench(
    uneven: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, truth = uneven
    size = ("--radius-mm", RADIUS_mm, "--length-mm", LENGTH_mm, "--water")
    found, report = calibrated(capsys, tmp_path / "norm.npz", "normalisation", folder, *size)
    assert report["fitted"] == 128
    assert report["trues"] > 30_000
    factor = found.efficiency.reshape(2, 64) * found.block_profile
    ratio = factor / truth.reshape(2, 64)
    # what the model of the block does not know is left in its profile
    ratio /= ratio.mean(axis=1, keepdims=True)
    edges = ratio.mean(axis=0)
    pull = (ratio / edges - 1) / (report["error_median_percent"] / 100)
    assert np.sqrt(np.mean(pull**2) * 2) < 1.25  # the mean of two takes half of the variance
    inner = edges.reshape(8, 8)[1:-1, 1:-1]
    assert inner.std() < 0.05, "3 % are the counts"
    # edges lose 15 % of their counts to escape, which the block efficiency knows within 5 %
    assert 0.95 < (edges.sum() - inner.sum()) / 28 / inner.mean() < 1.08
    assert found.geometric.shape == (2, 2)
    assert np.array(report["block_profile"]).shape == (8, 8)


def test_normalisation_options_are_checked(
    uneven: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = ("normalisation", uneven[0]), ("--output", tmp_path / "never.npz")
    assert "give --radius-mm and --length-mm" in refused(capsys, *run, *out)
    assert "give --size-mm" in refused(capsys, *run, "--source", "box", *out)
    two = refused(capsys, *run, uneven[0], "--radius-mm", 8, "--length-mm", 20, *out)
    assert "takes one run" in two


def test_crystal_look_up_of_an_emulated_bench(
    preset: Callable[..., Path],
    uneven: tuple[Path, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = preset("raw", position_readout="raw", raw_blur_fwhm_mm=0.8)
    folder, instrument = emulate(tmp_path, path, name="raw", activity_MBq=6.0, periods=60)
    found, report = calibrated(capsys, tmp_path / "map.npz", "flood", folder)
    assert report["fitted"] == 2
    assert report["peak_to_valley"] > 3
    assert report["assigned"] > 0.99
    assert found.crystal_map.shape == (2, 4096)
    ideal = instrument.truth.crystal_map.reshape(64, 64)
    seen = slice(5, 59)  # the block fills nine tenths of the picture
    for table in found.crystal_map.reshape(2, 64, 64):
        assert (table[seen, seen] == ideal[seen, seen]).mean() > 0.9
        # borders are never off by more than a raw bin
        near = [np.roll(ideal, step, axis) for step in (-1, 1) for axis in (0, 1)]
        near += [np.roll(ideal, (a, b), (0, 1)) for a in (-1, 1) for b in (-1, 1)]
        agrees = np.any([table == other for other in (ideal, *near)], axis=0)
        assert agrees[seen, seen].all()
    plain = refused(capsys, "flood", uneven[0], "--output", tmp_path / "never.npz")
    assert "sends crystals, not raw positions" in plain
    words = refused(capsys, "flood", folder, "--window-keV", 600, 500, "--output", tmp_path / "n")
    assert "LOW must be below HIGH" in words
    centre = ("--irradiation", "centre", "--output", tmp_path / "n")
    assert "is for monolithic blocks" in refused(capsys, "flood", folder, *centre)


def borders(table: np.ndarray) -> np.ndarray:
    """Return where each row's crystal number passes 1 to 7, (rows, 7)."""
    return np.array([np.searchsorted(row, np.arange(1, 8)) for row in table])


def test_crystal_look_up_of_an_emulated_monolithic_block(
    preset: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = preset("mono", monolithic=True, position_readout="raw")
    folder, instrument = emulate(tmp_path, path, name="mono", activity_MBq=20.0, periods=120)
    words = ("flood", folder, "--irradiation", "centre", "--window-keV", 340, 750)
    found, report = calibrated(capsys, tmp_path / "map.npz", *words)
    assert report["fitted"] == 2
    assert report["peak_to_valley"] is None
    ideal = instrument.truth.crystal_map.reshape(64, 64)
    for table in found.crystal_map.reshape(2, 64, 64):
        for number in (lambda t: t % 8, lambda t: (t // 8).T):
            off = borders(number(table)) - borders(number(ideal))
            assert np.abs(off[6:58]).max() <= 1, "no border is off by more than a raw bin"


def test_the_look_up_is_what_the_next_calibrations_are_made_with(
    preset: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = preset("raw2", position_readout="raw", raw_blur_fwhm_mm=0.8)
    folder, instrument = emulate(tmp_path, path, name="raw2", activity_MBq=6.0, periods=120)
    calibrated(capsys, tmp_path / "map.npz", "flood", folder)
    words = ("energy", folder, "--calibration", tmp_path / "map.npz")
    found, _ = calibrated(capsys, tmp_path / "energy.npz", *words)
    assert (found.crystal_map < 64).any(), "the map is kept"
    fitted = found.statuses["gain"] == Status.FITTED
    assert fitted.mean() > 0.5
    error = (found.gain * instrument.truth.gain)[fitted] - 1
    assert np.sqrt(np.mean(error**2)) < 0.015
