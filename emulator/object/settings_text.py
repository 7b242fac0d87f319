"""Settings written as text: ``name=number`` options and CSV tables of numbers over time."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from hw.bounded_files import FileRefused, read_text

EXAMPLES_OF_MOTION = "breathing, breathing:period_s=5,amplitude_mm=8, head, or the path of a CSV"
MOST_ROWS = 100_000


def read_numbers(
    setting: str, text: str, options: str, defaults: dict[str, float]
) -> dict[str, float]:
    """Return the options ``a=1,b=2`` over their defaults; every number must be above 0.

    Raises
    ------
    EmulationError
        naming the option, the valid options and the bound.
    """
    numbers = dict(defaults)
    for part in filter(None, options.split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in defaults:
            raise EmulationError(
                f"{setting} {text}: no option {name!r}; there are {', '.join(defaults)}"
            )
        numbers[name] = _number(value)
        if not (math.isfinite(numbers[name]) and numbers[name] > 0):
            raise EmulationError(
                f"{setting} {text}: {name} is {value!r}; give a number above 0, such as "
                f"{name}={defaults[name]:g}"
            )
    return numbers


def read_table(
    setting: str, path: Path, columns: Sequence[str], instead: str
) -> npt.NDArray[np.float64]:
    """Return the rows (n, columns) f8 of a CSV file whose first line names exactly the columns.

    The first column is time and must not decrease. Lines that begin with # are ignored.

    Raises
    ------
    EmulationError
        for a file that cannot be read or holds anything else, with the line number.
    """
    lines = _lines(setting, path, instead)
    header, *rows = lines or [(1, [""])]
    if tuple(header[1]) != tuple(columns):
        raise EmulationError(
            f"{setting} file {path} line {header[0]}: the columns are {','.join(header[1])!r}; "
            f"they must be {','.join(columns)}"
        )
    if not 1 <= len(rows) <= MOST_ROWS:
        raise EmulationError(f"{setting} file {path}: {len(rows)} rows; give 1 to {MOST_ROWS}")
    table = np.array([_row(setting, path, at, words, len(columns)) for at, words in rows])
    back = np.flatnonzero(np.diff(table[:, 0]) < 0)
    if len(back):
        raise EmulationError(
            f"{setting} file {path} line {rows[back[0] + 1][0]}: time goes back; sort the rows "
            f"by {columns[0]}"
        )
    return table


def read_header(setting: str, path: Path, instead: str) -> list[str]:
    """Return the names of the columns of a CSV file."""
    lines = _lines(setting, path, instead)
    return lines[0][1] if lines else []


def _lines(setting: str, path: Path, instead: str) -> list[tuple[int, list[str]]]:
    try:
        text = read_text(path).removeprefix("\ufeff")
        rows = list(enumerate(csv.reader(text.splitlines()), start=1))
    except (FileRefused, csv.Error) as error:
        raise EmulationError(
            f"{setting} {path}: cannot be read ({error}); give {instead}"
        ) from error
    split = [(at, [word.strip() for word in words]) for at, words in rows]
    return [(at, words) for at, words in split if any(words) and not words[0].startswith("#")]


def _row(setting: str, path: Path, at: int, words: list[str], width: int) -> list[float]:
    numbers = [_number(word) for word in words]
    if len(numbers) != width or not all(map(math.isfinite, numbers)):
        raise EmulationError(
            f"{setting} file {path} line {at}: {','.join(words)!r} must be {width} finite numbers"
        )
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
