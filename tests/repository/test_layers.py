"""Rooms and sub-rooms import only what their layer allows, and the checker really bites."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the rooms' Python files under this repository's contracts."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for room in ROOMS:
        for source in (ROOT / room).rglob("*.py"):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


def test_this_repository_keeps_its_layers(copied: Path) -> None:
    done = check_layers(copied)
    assert done.returncode == 0, done.stdout + done.stderr


INTRUDERS = {
    "hw/errors.py": "coincidence.events",
    "emulator/slices.py": "coincidence.events",
    "coincidence/events.py": "daq.errors",
    "daq/folder/blocks.py": "recon.core.grid",
    "recon/core/csv_tables.py": "daq.path.pipeline",
    "gui/kit/theme.py": "recon.core.grid",
    "gui/kit/wording.py": "daq.path.pipeline",
    "hw/wire/frames.py": "hw.physics.nuclides",
    "daq/folder/journal.py": "daq.path.pipeline",
    "daq/link/serial/line.py": "daq.link.modules.states",
    "recon/core/grid.py": "recon.em.problem",
    "emulator/physics/photons.py": "emulator.object.phantom",
    "gui/kit/plots.py": "gui.app.window",
}
"""Imports against the layers, each in a file of its own: between rooms, and inside them."""


def test_every_import_against_the_layers_is_caught(copied: Path) -> None:
    before = {name: (copied / name).read_text(encoding="utf-8") for name in INTRUDERS}
    for name, imported in INTRUDERS.items():
        (copied / name).write_text(f"{before[name]}\nimport {imported}\n", encoding="utf-8")
    try:
        done = check_layers(copied)
    finally:
        for name, text in before.items():
            (copied / name).write_text(text, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    modules = {name.removesuffix(".py").replace("/", "."): to for name, to in INTRUDERS.items()}
    assert [
        f"{by} -> {to}" for by, to in modules.items() if f"{by} -> {to}" not in done.stdout
    ] == []


def test_a_folder_without_a_layer_is_caught_in_every_room(copied: Path) -> None:
    folders = [copied / room / f"annexe_of_{room}" for room in ROOMS]
    for folder in folders:
        folder.mkdir()
        (folder / "__init__.py").touch()
    try:
        done = check_layers(copied)
    finally:
        for folder in folders:
            shutil.rmtree(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [folder.name for folder in folders if folder.name not in done.stdout] == []
