"""The runs that an acceptance test was given: on the command line, or in a TOML file.

The file says of a run what its labels do not:

    [[run]]
    parts = ["count-rates", "tof"]
    run = "monday-1"              # name below --runs, or a folder
    activity_MBq = 52.3           # at the start of the run
    nuclide = "F-18"
    sleeves = 3                   # of a line; x_mm, y_mm, z_mm of a point
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daq.cli.acceptance.runs_to_take import PARTS
from daq.cli.common import CommandError, find_run
from hw.bounded_files import FileRefused, read_toml

TEXTS = ("nuclide", "phantom")
NUMBERS = ("activity_MBq", "sleeves", "x_mm", "y_mm", "z_mm")


@dataclass(frozen=True)
class AskedRun:
    """A run's folder and what was told of it."""

    folder: Path
    told: dict[str, Any] = field(default_factory=dict)


Asked = dict[str, list[AskedRun]]
"""The runs of each part."""


def named_runs(standard: str, names: dict[str, list[str]], runs: Path) -> Asked:
    """Return the runs named on the command line, by part."""
    return {
        part: [AskedRun(find_run(name, runs)) for name in names.get(part) or []]
        for part in PARTS[standard]
    }


def runs_of_file(standard: str, path: Path, runs: Path) -> Asked:
    """Return the runs that a file names, by part.

    Raises
    ------
    CommandError
        for a file that cannot be read, an unknown key or part, or a value of the wrong kind.
    """
    try:
        content = read_toml(path)
    except FileRefused as error:
        raise CommandError(f"--from {path}: cannot be read as TOML: {error}") from error
    entries = content.get("run")
    if set(content) != {"run"} or not isinstance(entries, list) or not entries:
        raise CommandError(f"--from {path}: needs tables [[run]] and nothing else")
    asked: Asked = {part: [] for part in PARTS[standard]}
    for number, entry in enumerate(entries, 1):
        where = f"--from {path}, run {number}"
        told, parts = _told(entry, where), _parts(entry, standard, where)
        one = AskedRun(find_run(str(entry.get("run", "")), runs), told)
        for part in parts:
            asked[part].append(one)
    return asked


def _told(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("run"), str):
        raise CommandError(f'{where}: needs run = "NAME"')
    known = ("run", "parts", *TEXTS, *NUMBERS)
    told = {}
    for key, value in entry.items():
        if key not in known:
            raise CommandError(f"{where}: {key} is not a key; known are {', '.join(known)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (key in NUMBERS and not number) or (key in TEXTS and not isinstance(value, str)):
            kind = "a number" if key in NUMBERS else "a text"
            raise CommandError(f"{where}: {key} = {value!r}: must be {kind}")
        if key not in ("run", "parts"):
            told[key] = value
    return told


def _parts(entry: dict[str, Any], standard: str, where: str) -> list[str]:
    parts = entry.get("parts")
    known = PARTS[standard]
    if not isinstance(parts, list) or not parts or any(part not in known for part in parts):
        raise CommandError(
            f"{where}: parts = {parts!r}: a list of parts of {standard}: {', '.join(known)}"
        )
    return parts
