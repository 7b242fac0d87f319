"""A calibration set is written once, says what it is, and is applied to its own scanner only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daq import cli
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import (
    FILE_NAME,
    CalibrationSet,
    SourceRun,
    Status,
    load_set,
    new_set,
    save_set,
)
from daq.folder.run_config import RunConfig
from daq.replay.sort_again import resort, verify
from daq.service.run import Run
from hw.scanner.preset_file import load_scanner
from rigs.calibration_runs import BENCH, emulate_bench
from rigs.frames_factory import sent_run

N = BENCH.n_crystals
SOURCES = (SourceRun("energy", "some-run", "00" * 16, "511 keV photopeak"),)


def some_set(seed: int = 1, changes: dict[str, np.ndarray] | None = None) -> CalibrationSet:
    rng = np.random.default_rng(seed)
    values = {"gain": rng.uniform(0.9, 1.1, N), "skew_ps": rng.normal(0, 300, N)}
    statuses = {name: np.full(N, Status.FITTED) for name in values}
    return new_set(
        "today", BENCH, sources=SOURCES, values=values | (changes or {}), statuses=statuses
    )


def test_a_set_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    made = some_set()
    found = load_set(save_set(made, tmp_path / "new" / "set.npz"))
    assert found.about == made.about
    assert found.identity == f"today@{made.about.hash}"
    np.testing.assert_array_equal(found.calibration().gain, made.gain)
    np.testing.assert_array_equal(found.calibration().skew_ps, made.skew_ps)


def test_a_set_is_immutable_in_memory_and_on_the_disk(tmp_path: Path) -> None:
    path = save_set(some_set(), tmp_path / "set.npz")
    with pytest.raises(ValueError, match="read-only"):
        load_set(path).gain[0] = 2.0
    assert path.stat().st_mode & 0o222 == 0
    with pytest.raises(CalibrationSetError, match="never overwritten"):
        save_set(some_set(2), path)
    np.testing.assert_array_equal(load_set(path).gain, some_set().gain)


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = save_set(some_set(), tmp_path / "set.npz")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["gain"][5] *= 1.01
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(CalibrationSetError, match="changed or damaged"):
        load_set(tmp_path / "changed.npz")


@pytest.mark.parametrize("content", [b"", b"not a set", b"PK\x03\x04 cut off"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(CalibrationSetError, match=r"x\.npz"):
        load_set(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("key", "value"),
    [("gain", np.nan), ("gain", 0.0), ("gain", -1.0), ("gain", 9.0), ("gain", np.inf),
     ("skew_ps", np.nan), ("skew_ps", 2e6), ("skew_ps", -2e6)],
)  # fmt: skip
def test_absurd_values_are_refused_naming_the_crystal(key: str, value: float) -> None:
    values = np.ones(N)
    values[11] = value
    with pytest.raises(CalibrationSetError, match=rf"{key} of crystal 11 is"):
        some_set(changes={key: values})


def test_arrays_of_another_length_are_refused() -> None:
    with pytest.raises(CalibrationSetError, match="128 crystals"):
        some_set(changes={"gain": np.ones(5)})


def test_another_scanners_set_is_refused_before_a_run_folder_is_made(
    tmp_path: Path, make_config: Callable[..., RunConfig]
) -> None:
    other = load_scanner("tof_brain")
    path = save_set(new_set("tof", other, sources=()), tmp_path / "tof.npz")
    with pytest.raises(CalibrationSetError, match="made for scanner tof_brain"):
        Run(make_config(name="refused", calibration=str(path)), tmp_path)
    assert not (tmp_path / "refused").exists()


def test_energy_then_skew_keeps_the_gains() -> None:
    gain = {"gain": np.full(N, 1.1)}
    energy = new_set("e", BENCH, sources=SOURCES, values=gain, statuses={"gain": np.ones(N)})
    both = new_set("b", BENCH, sources=(), base=energy, values={"skew_ps": np.arange(N)})
    np.testing.assert_array_equal(both.gain, energy.gain)
    np.testing.assert_array_equal(both.statuses["gain"], energy.statuses["gain"])
    assert (energy.statuses["skew_ps"] == Status.NOT_CALIBRATED).all()


@pytest.fixture
def calibrated(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Run:
    path = save_set(some_set(), tmp_path / "set.npz")
    run = Run(make_config(name="with-a-set", calibration=str(path)), tmp_path)
    run.start()
    for frame in sent_run(n_modules=2, crystals_per_module=64).frames:
        run.process([frame])
    run.finish()
    run.write_summary()
    path.unlink()  # the run has its own copy
    return run


def test_a_run_with_a_set_names_it_and_verifies_with_its_own_copy(calibrated: Run) -> None:
    head = json.loads((calibrated.folder / "run.json").read_text(encoding="utf-8"))
    assert head["calibration"] == some_identity(calibrated) != "none"
    found = verify(calibrated.folder)
    assert found.identical
    assert found.prompts > 50


def some_identity(run: Run) -> str:
    return load_set(run.folder / FILE_NAME).identity


def test_a_runs_set_that_was_exchanged_is_found(calibrated: Run) -> None:
    (calibrated.folder / FILE_NAME).unlink()
    save_set(some_set(9), calibrated.folder / FILE_NAME)
    with pytest.raises(CalibrationSetError, match="put that set back"):
        verify(calibrated.folder)


def test_sorting_with_a_set_is_the_live_run_with_it(
    calibrated: Run, tmp_path: Path, make_config: Callable[..., RunConfig]
) -> None:
    plain = Run(make_config(name="plain"), tmp_path)
    plain.process(sent_run(n_modules=2, crystals_per_module=64).frames)
    plain.finish()
    own = load_set(calibrated.folder / FILE_NAME)
    assert resort(plain.folder).hash == plain.hash() != calibrated.hash()
    assert resort(plain.folder, calibration=own).hash == calibrated.hash()


def test_the_commands_make_and_apply_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(emulate_bench(tmp_path / "runs", periods=150).folder)
    energy, both = tmp_path / "energy.npz", tmp_path / "both.npz"
    assert cli.main(["calibrate", "energy", run, "--output", str(energy), "--json"]) == 0
    words = ["calibrate", "skew", run, "--source", "cylinder", "--calibration", str(energy)]
    assert cli.main([*words, "--output", str(both), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["fitted"] > 100
    assert result == json.loads(both.with_suffix(".json").read_text(encoding="utf-8"))
    assert both.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert [source.quantity for source in load_set(both).about.sources] == ["energy", "skew"]
    assert cli.main(["sort", run, "--calibration", str(both), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"] == load_set(both).identity
    assert cli.main(["calibrate", "energy", run, "--output", str(energy)]) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert cli.main(["acquire", "--preset", "tof_brain", "--calibration", str(both)]) == 1
    assert "made for scanner bench2" in capsys.readouterr().err
