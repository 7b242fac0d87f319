"""The wheel holds the six rooms, all of their data files, and nothing else."""

from __future__ import annotations

import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling import build

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"hw", "emulator", "coincidence", "daq", "recon", "gui"}
DATA_SUFFIXES = {".toml", ".json", ".h", ".npz"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel as the build backend makes it, without a network or an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build.build_wheel(str(folder))
    return zipfile.Path(folder / name)


def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


def test_top_level_is_exactly_the_six_rooms(wheel: zipfile.Path) -> None:
    top = {entry.name for entry in wheel.iterdir()}
    assert {name for name in top if not name.endswith(".dist-info")} == ROOMS
    assert len(top) == len(ROOMS) + 1


def test_every_module_and_data_file_of_the_rooms_is_in_the_wheel(wheel: zipfile.Path) -> None:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix in DATA_SUFFIXES | {".py"} and "build" not in path.parts
    }
    assert wanted - names(wheel) == set()
    assert any(name.startswith("hw/scanner/presets/") for name in wanted)
    assert "hw/physics/nuclides.json" in wanted


def test_no_bytecode_and_no_tests_are_shipped(wheel: zipfile.Path) -> None:
    shipped = names(wheel)
    assert not [name for name in shipped if "__pycache__" in name or name.startswith("tests/")]


def test_metadata_names_the_command_the_licence_and_the_oldest_python(
    wheel: zipfile.Path,
) -> None:
    (info,) = (entry for entry in wheel.iterdir() if entry.name.endswith(".dist-info"))
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    licence = (info / "licenses" / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    entry_points = (info / "entry_points.txt").read_text(encoding="utf-8")
    assert "tomoshibi = daq.cli:main" in entry_points
