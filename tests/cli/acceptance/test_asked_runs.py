"""The file that names runs: what it may say, and what is told where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.cli.acceptance.asked_runs import named_runs, runs_of_file
from daq.cli.common import CommandError


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    return tmp_path


def file_of(runs: Path, text: str) -> Path:
    path = runs / "asked.toml"
    path.write_text(text)
    return path


def test_a_run_may_serve_several_parts_and_brings_what_is_told(runs):
    text = """
    [[run]]
    parts = ["count-rates", "tof"]
    run = "one"
    activity_MBq = 52.3
    nuclide = "F-18"

    [[run]]
    parts = ["sensitivity"]
    run = "two"
    sleeves = 3
    """
    asked = runs_of_file("nu2", file_of(runs, text), runs)
    assert asked["count-rates"] == asked["tof"]
    assert asked["tof"][0].folder == runs / "one"
    assert asked["tof"][0].told == {"activity_MBq": 52.3, "nuclide": "F-18"}
    assert asked["sensitivity"][0].told == {"sleeves": 3}
    assert asked["resolution"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "cannot be read as TOML"),
        ("", r"needs tables \[\[run\]\]"),
        ("[[run]]\nparts = ['tof']", "needs run ="),
        ("[[run]]\nrun = 'one'", "a list of parts of nu4"),
        ("[[run]]\nrun = 'one'\nparts = ['tof']", "a list of parts of nu4"),
        ("[[run]]\nrun = 'one'\nparts = ['resolution']\nactivity = 3", "activity is not a key"),
        ("[[run]]\nrun = 'one'\nparts = ['resolution']\nz_mm = 'a'", "must be a number"),
        ("[[run]]\nrun = 'three'\nparts = ['resolution']", "three is not a run"),
    ],
)
def test_a_file_that_is_wrong_says_where(runs, text, words):
    with pytest.raises(CommandError, match=words):
        runs_of_file("nu4", file_of(runs, text), runs)


def test_runs_of_the_command_line_are_found_by_name(runs):
    asked = named_runs("nu2", {"tof": ["two"]}, runs)
    assert [one.folder for one in asked["tof"]] == [runs / "two"]
