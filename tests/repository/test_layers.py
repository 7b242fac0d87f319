"""The rooms import only what their layer allows, and the checker really bites."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("hw", "emulator", "coincidence", "daq", "recon", "gui")
CHECK = """
import sys
sys.path.insert(0, "")
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True))
"""


def check_layers(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of ``root``'s pyproject over the packages that lie there."""
    command = [sys.executable, "-c", CHECK]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Six empty rooms under this repository's contracts, with every module those name."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    named = {module for contract in contracts for module in contract["forbidden_modules"]}
    for module in {*ROOMS, "daq.cli", *named}:
        package = tmp_path / module.replace(".", "/")
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    return tmp_path


def test_this_repository_keeps_its_layers() -> None:
    done = check_layers(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("hw", "coincidence"),
        ("emulator", "coincidence"),
        ("coincidence", "daq"),
        ("daq", "recon"),
        ("recon", "daq"),
        ("gui", "recon"),
    ],
)
def test_an_import_against_the_layers_is_caught(rooms: Path, importer: str, imported: str) -> None:
    (rooms / importer / "intruder.py").write_text(f"import {imported}\n")
    done = check_layers(rooms)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{importer}.intruder" in done.stdout


def test_the_command_line_alone_may_import_every_room(rooms: Path) -> None:
    lines = "".join(f"    import {room}\n" for room in ROOMS if room != "daq")
    (rooms / "daq/cli/demo.py").write_text(f"def start() -> None:\n{lines}")
    (rooms / "gui/app/console.py").write_text("import daq.client.client\nimport hw\n")
    (rooms / "daq/client/client.py").touch()
    done = check_layers(rooms)
    assert done.returncode == 0, done.stdout + done.stderr
