"""A set is applied to runs of the instrument that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daq import cli
from daq.folder.calibration_set import new_set, save_set
from daq.folder.run_config import RunConfig
from daq.replay.sort_again import resort
from daq.service.run import Run
from hw.scanner.description import Scanner
from rigs.frames_factory import sent_run

MINE = "bench2-0007"


@pytest.fixture
def run_of(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Callable[[str], Path]:
    """Make a short run of the bench with a serial number."""

    def make(serial: str) -> Path:
        run = Run(make_config(name="run", serial=serial), tmp_path)
        run.process(sent_run(n_modules=2, crystals_per_module=64).frames)
        run.finish()
        run.write_summary()
        return run.folder

    return make


@pytest.fixture
def set_of(tmp_path: Path, bench: Scanner) -> Callable[[str], Path]:
    """Make a set that names a serial number, or none."""

    def make(serial: str) -> Path:
        return save_set(new_set("own", bench, sources=(), serial=serial), tmp_path / "own.npz")

    return make


@pytest.mark.parametrize(
    ("serial", "named"), [("bench2-0001", "is bench2-0001"), ("", "names none")]
)
def test_sorting_again_refuses_a_set_of_another_instrument(
    run_of: Callable[[str], Path],
    set_of: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    serial: str,
    named: str,
) -> None:
    folder, path = run_of(serial), set_of(MINE)
    assert cli.main(["sort", str(folder), "--calibration", str(path)]) == 1
    told = capsys.readouterr().err
    assert f"is of serial number {MINE}, this run {named}: give a set of that instrument" in told


@pytest.mark.parametrize("named", [MINE, ""])
def test_a_set_of_the_runs_instrument_or_of_none_is_applied(
    run_of: Callable[[str], Path],
    set_of: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    named: str,
) -> None:
    folder, path = run_of(MINE), set_of(named)
    assert cli.main(["sort", str(folder), "--calibration", str(path)]) == 0
    assert "calibration own@" in capsys.readouterr().out


def test_a_runs_own_set_is_never_questioned(
    tmp_path: Path, make_config: Callable[..., RunConfig], set_of: Callable[[str], Path]
) -> None:
    """What was applied live is applied again, whatever the run's source named then."""
    run = Run(make_config(name="run", calibration=str(set_of(MINE))), tmp_path)
    run.process(sent_run(n_modules=2, crystals_per_module=64).frames)
    run.finish()
    assert resort(run.folder).calibration.startswith("own@")
