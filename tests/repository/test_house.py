"""The plan of the house: small folders, one name for one thing, no circle of imports."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("hw", "emulator", "coincidence", "daq", "recon", "gui")
MOST_FILES = 25

CHRONICLE = ROOT / "docs" / "adr"
"""Decisions in the order of their making: it grows by its nature and is read by its list."""
"""What the eye takes in at a glance; the largest folder of the best-kept peer has 26."""

SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports_of(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, at any depth, also for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return {name for name in found if name in MODULES and name != module_of(path)}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return one circle of a graph, its first node again at the end; [] where there is none."""
    state: dict[str, int] = {}

    def visit(node: str, way: list[str]) -> list[str]:
        state[node] = 1
        for other in sorted(graph.get(node, ())):
            if state.get(other) == 1:
                return [*way[way.index(other) :], other] if other in way else [node, other]
            if other not in state and (found := visit(other, [*way, other])):
                return found
        state[node] = 2
        return []

    for node in sorted(graph):
        if node not in state and (found := visit(node, [node])):
            return found
    return []


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_of_imports(room: str) -> None:
    graph = {
        name: {other for other in imports_of(path) if other.split(".")[0] == room}
        for name, path in MODULES.items()
        if name.split(".")[0] == room and path.name != "__init__.py"
    }
    assert circle_in(graph) == []


def test_no_folder_is_too_full_to_see() -> None:
    folders = [*ROOMS, "tests", "benchmarks", "docs"]
    crowded = {
        str(folder.relative_to(ROOT)): len(files)
        for room in folders
        for folder in [ROOT / room, *(p for p in (ROOT / room).rglob("*") if p.is_dir())]
        if "__pycache__" not in folder.parts
        if folder != CHRONICLE
        if len(files := [*folder.glob("*.py"), *folder.glob("*.md")]) > MOST_FILES
    }
    assert crowded == {}


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_name_stands_for_two_things_in_a_room(room: str) -> None:
    names = Counter(path.name for path in SOURCES if path.relative_to(ROOT).parts[0] == room)
    assert [name for name, count in names.items() if count > 1 and name != "__init__.py"] == []


def test_the_places_named_for_changes_exist() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    table = page.split("## Adding things", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    places = [place for row in rows for place in re.findall(r"`([a-z_]+/[\w./]*)`", row)]
    assert len(places) >= len(rows)
    assert [place for place in places if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("room", ("hw", "emulator", "coincidence", "daq"))
def test_no_class_name_stands_for_two_things_in_a_room(room: str) -> None:
    names = Counter(
        node.name
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []
