"""Who stands on whom in the firmware's C: by what files include, and by what their objects call."""

from __future__ import annotations

import graphlib
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

Graph = dict[str, set[str]]
"""Unit and the units that it uses. A unit is a .c file and its header: ``core/safety/faults``."""

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def unit_of(path: Path, root: Path) -> str:
    """Return a file's unit: its path below ``root`` without the suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def included(root: Path, search: Sequence[str]) -> Graph:
    """Read every ``#include "..."`` below ``root``.

    Parameters
    ----------
    root : folder of the sources
    search : folders below ``root`` in which headers are looked for, after the file's own

    Raises
    ------
    FileNotFoundError : a header is in none of them
    """
    graph: Graph = {}
    for path in sorted(p for p in root.rglob("*.[ch]") if "plain" not in p.parts):
        unit = unit_of(path, root)
        uses = graph.setdefault(unit, set())
        for name in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            places = [path.parent, *(root / folder for folder in search)]
            found = next((p / name for p in places if (p / name).is_file()), None)
            if found is None:
                raise FileNotFoundError(f"{path.relative_to(root)} includes {name}: not there")
            uses.add(unit_of(found.resolve(), root.resolve()))
        uses.discard(unit)
    return graph


def called(objects: Iterable[tuple[str, Path]], *, nm: str = "nm") -> Graph:
    """Return which units use functions and variables of which.

    What the core asks of its board through hal.h is left out: that is how a board is plugged in.

    Parameters
    ----------
    objects : unit and object file of each source
    nm : the name of the binutils' program for these objects
    """
    wanted: dict[str, set[str]] = {}
    home: dict[str, str] = {}
    for unit, path in objects:
        argv = [nm, "-g", str(path)]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        wanted[unit] = set(re.findall(r"^\s+U (\w+)$", text, re.MULTILINE))
        home |= dict.fromkeys(re.findall(r"^[0-9a-f]+ [A-TV-Z] (\w+)$", text, re.MULTILINE), unit)
    return {
        unit: {
            home[name]
            for name in names
            if home.get(name, unit) != unit
            and not (unit.startswith("core/") and name.startswith("hal_"))
        }
        for unit, names in wanted.items()
    }


def circle_in(graph: Graph) -> list[str]:
    """Return the units of one circle in the order of their use, [] where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def upward(graph: Graph, layers: Sequence[Sequence[str]]) -> list[str]:
    """Return the uses that go up, or across to a neighbour: ``a -> b``.

    Parameters
    ----------
    graph : of units
    layers : folders, the lowest layer first; folders of one layer do not use each other

    Raises
    ------
    KeyError : a unit's folder is in no layer
    """
    height = {folder: rank for rank, layer in enumerate(layers) for folder in layer}
    found = []
    for unit, uses in sorted(graph.items()):
        folder = unit.rpartition("/")[0]
        for used in sorted(uses):
            below = used.rpartition("/")[0]
            if below != folder and height[below] >= height[folder]:
                found.append(f"{unit} -> {used}")
    return found
