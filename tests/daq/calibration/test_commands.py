"""`tomoshibi calibrate`: each quantity from a run to a set with its report, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from daq import cli
from daq.calibration.energy_spectra import check_map, spectra_of_run
from daq.calibration.photopeaks import GRID_511
from daq.cli.calibrate.kind import calibration_kinds
from daq.cli.commands.calibrate import _measured
from daq.folder.calibration_arrays import MASKED_BY_HAND, REJECTED, CalibrationSetError
from daq.folder.calibration_set import load_set, new_set, save_set
from emulator.config import EmulatorConfig
from emulator.object.shapes import cylinder
from hw.scanner.preset_file import load_scanner
from rigs.calibration_runs import BENCH, BenchRun, emulate


def calibrate(*words: object) -> int:
    return cli.main(["calibrate", *map(str, words)])


def report(output: Path) -> dict[str, object]:
    """Return the JSON report; set, plots and report must all be there."""
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert output.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    found: dict[str, object] = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert found["identity"] == load_set(output).identity
    return found


def test_energy_then_skew_then_walk_then_mask_each_add_to_the_set(
    measured: BenchRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    energy, skew, walk, mask = (tmp_path / f"{name}.npz" for name in "eswm")
    run = measured.folder
    assert calibrate("energy", run, "--output", energy) == 0
    words = ["--source", "cylinder", "--calibration"]
    assert calibrate("skew", run, *words, energy, "--output", skew) == 0
    assert calibrate("walk", run, *words, skew, "--output", walk, "--lld-keV", 220) == 0
    assert calibrate("mask", run, "--calibration", walk, "--crystal", 5, "--output", mask) == 0
    for output in (energy, skew, walk, mask):
        report(output)
    found = load_set(mask)
    assert [s.quantity for s in found.about.sources] == ["energy", "skew", "walk", "mask"]
    assert found.masked[5] == MASKED_BY_HAND
    np.testing.assert_array_equal(found.gain, load_set(energy).gain)
    np.testing.assert_array_equal(found.walk_ps, load_set(walk).walk_ps)
    np.testing.assert_array_equal(found.skew_ps, load_set(skew).skew_ps)
    assert found.walk_ps.mean() == pytest.approx(measured.walk_ps.mean(), abs=35.0)
    error = found.skew_ps - measured.skew_ps
    assert np.std(error) < 15.0
    assert "walk mean ps" in capsys.readouterr().out


def test_two_runs_of_two_lines_give_the_non_linearity(measured: BenchRun, tmp_path: Path) -> None:
    emulation = EmulatorConfig(scanner="bench2", nuclide="Tc-99m", activity_Bq=6e6, seed=3)
    water = cylinder(BENCH, radius_mm=8.0, length_mm=20.0)
    technetium = emulate(tmp_path, emulation, periods=600, phantom=water)
    np.testing.assert_array_equal(technetium.gain, measured.gain)
    words = [measured.folder, technetium.folder, "--line", "511", "--line", "Tc-99m"]
    assert calibrate("energy", *words, "--output", tmp_path / "two.npz") == 0
    found, figures = load_set(tmp_path / "two.npz"), report(tmp_path / "two.npz")
    assert figures["lines_keV"] == [511.0, 140.511]
    assert [s.run for s in found.about.sources] == ["F-18", "Tc-99m"]
    # a third of the crystals tells its curvature worse than ±0.01 and takes its module's
    assert np.std(found.curvature - measured.curvature) < 0.015
    assert abs(np.mean(found.curvature - measured.curvature)) < 0.004
    assert np.abs(found.gain * measured.gain - 1).max() < 0.01


def test_a_run_without_a_source_gives_gains_from_lutetium(tmp_path: Path) -> None:
    emulation = EmulatorConfig(
        scanner="tof_brain", phantom="point", activity_Bq=1.0, lutetium=True, seed=5
    )
    run = emulate(tmp_path, emulation, periods=60)
    assert calibrate("energy", run.folder, "--lutetium", "--output", tmp_path / "lu.npz") == 0
    figures = report(tmp_path / "lu.npz")
    assert figures["from_module"] == 6912
    error = np.log(load_set(tmp_path / "lu.npz").gain * run.gain).reshape(24, -1).mean(axis=1)
    assert np.abs(error).max() < 0.02


def test_a_crystal_map_takes_words_to_their_crystals(measured: BenchRun) -> None:
    grids, n = [GRID_511], BENCH.crystals_per_module
    order = np.random.default_rng(1).permutation(n)
    positions = np.full((BENCH.n_modules, 4096), REJECTED, np.uint16)
    positions[:, :n] = order
    plain = spectra_of_run(measured.folder, grids)[0].reshape(BENCH.n_modules, n, -1)
    moved = spectra_of_run(measured.folder, grids, crystal_map=positions)[0]
    np.testing.assert_array_equal(moved.reshape(plain.shape)[:, order], plain)


def test_raw_positions_without_a_look_up_are_refused_with_what_to_do() -> None:
    raw = msgspec.structs.replace(BENCH.response, position_readout="raw")
    with pytest.raises(CalibrationSetError, match="tomoshibi calibrate flood"):
        check_map(msgspec.structs.replace(BENCH, response=raw), None)


def test_every_quantity_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(calibration_kinds())[:2] == ["energy", "skew"]
    for quantity in calibration_kinds():
        with pytest.raises(SystemExit) as leaving:
            calibrate(quantity, "--help")
        assert leaving.value.code == 0
        text = capsys.readouterr().out
        assert text.count(f"tomoshibi calibrate {quantity} ") >= 2
        assert "--output" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["energy", "RUN", "--line", "20"], "lines from 50 to 1300 keV"),
        (["energy", "RUN", "--line", "1200"], "no 1200 keV photopeak"),
        (["energy", "RUN", "--line", "511", "--line", "500"], "factor of at least 1.1"),
        (["energy", "RUN", "--line", "Xx-99"], "unknown nuclide"),
        (["energy", "RUN", "--lutetium", "--line", "511"], "--lutetium takes no --line"),
        (["energy", "RUN", "--lutetium"], "not that of ¹⁷⁶Lu alone"),
        (["energy", "RUN", "RUN", "--line", "511", "--line", "140", "--line", "300"],
         "3 lines and 2 runs"),
        (["skew", "RUN", "RUN"], "takes one run, 2 were given"),
        (["walk", "RUN", "--lld-keV", "900"], "not below the run's upper level"),
        (["walk", "RUN", "--lld-keV", "640"], "widen the energy window|at least 30"),
        (["mask", "RUN", "--crystal", "128"], "crystals 0 to 127"),
        (["skew", "nowhere"], "nowhere is not a run"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_leaves_nothing_behind(
    measured: BenchRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    run = str(measured.folder)
    words = [run if word == "RUN" else word for word in words]
    assert calibrate(*words, "--output", tmp_path / "x.npz") == 1
    text = capsys.readouterr().err
    assert any(part in text for part in reason.split("|")), text
    assert not list(tmp_path.iterdir())


def test_a_set_of_another_scanner_is_refused_before_the_run_is_read(
    measured: BenchRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_set(new_set("o", load_scanner("tof_brain"), sources=()), tmp_path / "o.npz")
    words = ["energy", measured.folder, "--calibration", other, "--output", tmp_path / "x.npz"]
    assert calibrate(*words) == 1
    assert "made for scanner tof_brain" in capsys.readouterr().err


def test_a_report_that_exists_is_not_written_over(
    measured: BenchRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.pdf").write_bytes(b"mine")
    assert calibrate("energy", measured.folder, "--output", tmp_path / "x") == 1
    assert "never overwritten" in capsys.readouterr().err
    assert (tmp_path / "x.pdf").read_bytes() == b"mine"


def test_two_runs_of_one_line_are_added(measured: BenchRun, tmp_path: Path) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    assert calibrate("energy", measured.folder, "--output", one) == 0
    assert calibrate("energy", measured.folder, measured.folder, "--output", two) == 0
    assert report(two)["singles_in_spectra"] == 2 * report(one)["singles_in_spectra"]  # type: ignore[operator]
    np.testing.assert_allclose(load_set(two).gain, load_set(one).gain, rtol=2e-3)
    assert BENCH.n_crystals == len(load_set(two).gain)


@pytest.mark.parametrize(("quantity", "measured"), [("walk", True), ("energy", False)])
def test_the_scanners_mean_alone_is_a_measurement_of_walks_only(
    quantity: str, measured: bool
) -> None:
    """The fit of walks refuses what does not determine it; of energies it is the default."""
    figures = {"fitted": 0, "from_module": 0, "from_scanner": 49152}
    assert _measured(quantity, figures) is measured
    assert _measured(quantity, figures | {"from_module": 1})
    assert _measured("flood", {})
