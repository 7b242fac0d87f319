"""The firmware's parts stand on each other in layers, without a circle."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.machines.build import SOURCES
from hw.machines.toolchain import missing
from rigs.firmware.source_graph import Graph, called, circle_in, included, unit_of, upward

SEARCH = ("core", "include", "hal", "hal/common", "hal/host", "hal/test")
LAYERS = (
    ("include",),  # generated: the wire and what is said on it
    ("core/base",),  # bytes, CRC, COBS, the dictionary, places in memory: no module
    ("hal",),  # hal.h: what the firmware needs of a board
    ("core/state",),  # what every part remembers, and the registers
    ("core/line",),  # bytes out: messages, frames
    ("core/safety",),  # the supply, faults, the bias
    ("core/store", "core/events"),  # what outlives a reset; hits to frames
    ("core/control",),  # commands, telemetry, the main loop
    ("hal/common", "hal/host"),  # what simulated boards share
    ("hal/mps2", "hal/posix", "hal/test"),  # boards: each starts the main loop
)
"""Lowest first; each may use those above it in this list, and its own folder."""
FILES_IN_A_FOLDER = 25


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Graph]:
    """Write C files of one include each, and read their graph."""

    def write(**includes: str) -> Graph:
        for name, used in includes.items():
            path = tmp_path / name.replace("__", "/").replace("_h", ".h").replace("_c", ".c")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#include "{used}"\n' if used else "")
        return included(tmp_path, [""])

    return write


def test_no_circle_of_includes() -> None:
    assert circle_in(included(SOURCES, SEARCH)) == []


def test_includes_go_down_the_layers() -> None:
    assert upward(included(SOURCES, SEARCH), LAYERS) == []


def test_the_core_knows_no_board() -> None:
    graph = included(SOURCES, SEARCH)
    of_boards = {
        used
        for unit, uses in graph.items()
        if unit.startswith("core/")
        for used in uses
        if used.startswith("hal/") and used != "hal/hal"
    }
    assert of_boards == set()


def test_folders_stay_small() -> None:
    folders = {path.parent for path in (SOURCES / "core").rglob("*.[ch]")}
    assert SOURCES / "core" not in folders
    assert max(len(list(folder.iterdir())) for folder in folders) <= FILES_IN_A_FOLDER


@pytest.mark.firmware
@pytest.mark.skipif(bool(missing("native")), reason=missing("native"))
@pytest.mark.parametrize("board", ["posix", "test"])
def test_no_circle_of_calls(board: str, tmp_path: Path) -> None:
    flags = ["-std=c99", "-D_GNU_SOURCE", "-DTOMOSHIBI_BUILD=0u", "-O0", "-w"]
    flags += [f"-I{SOURCES / folder}" for folder in SEARCH]
    objects = []
    for folder in ("core", "hal/common", "hal/host", f"hal/{board}"):
        for source in sorted((SOURCES / folder).rglob("*.c")):
            unit = unit_of(source, SOURCES)
            target = tmp_path / f"{unit.replace('/', '-')}.o"
            subprocess.run(["gcc", *flags, "-c", source, "-o", target], check=True, timeout=60)
            objects.append((unit, target))
    graph = called(objects)
    assert "core/safety/faults" in graph["core/safety/bias"]
    assert circle_in(graph) == []
    assert upward(graph, LAYERS) == []


def test_a_circle_is_found(files: Callable[..., Graph]) -> None:
    graph = files(low__a_h="", low__a_c="high/b.h", high__b_h="", high__b_c="low/a.h")
    assert set(circle_in(graph)) == {"low/a", "high/b"}


def test_an_include_that_goes_up_or_across_is_found(files: Callable[..., Graph]) -> None:
    graph = files(low__a_h="", low__c_c="high/b.h", high__b_h="low/a.h", side__d_c="high/b.h")
    layers = [["low"], ["high", "side"]]
    assert circle_in(graph) == []
    assert upward(graph, layers) == ["low/c -> high/b", "side/d -> high/b"]


def test_a_header_that_is_nowhere_is_named(files: Callable[..., Graph]) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.c includes gone\.h"):
        files(low__a_c="gone.h")
