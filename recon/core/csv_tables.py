"""Small tables of numbers in CSV files: poses, gate signals, input functions."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.bounded_files import FileRefused, read_text
from recon.core.grid import ReconError

MOST_BYTES = 256 << 20
"""Of a table: some days of poses, many times a second."""


class TableError(ReconError):
    """A table cannot be read; the message gives file, line and what is needed."""


def read_columns(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Return the column names (first line) and the rows (n, columns) f8 of a CSV file."""
    try:
        text = read_text(path, most_bytes=MOST_BYTES).removeprefix("\ufeff")
        told = (row for row in io.StringIO(text, newline="") if row.strip())
        lines = csv.reader(row for row in told if not row.startswith("#"))
        names = tuple(name.strip() for name in next(lines, []))
        rows = [_numbers(path, k, line, len(names)) for k, line in enumerate(lines, start=2)]
    except (FileRefused, csv.Error) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise TableError(f"{path}: no rows below the line of names")
    return names, np.array(rows, dtype=np.float64)


def read_table(path: Path, columns: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """Return the named columns of a CSV file in the order given, (n, columns) f8."""
    names, rows = read_columns(path)
    missing = [name for name in columns if name not in names]
    if missing:
        raise TableError(
            f"{path}: no column {missing[0]}; its first line must name {','.join(columns)} "
            f"(found {','.join(names)})"
        )
    return np.ascontiguousarray(rows[:, [names.index(name) for name in columns]])


def _numbers(path: Path, line: int, cells: list[str], wanted: int) -> list[float]:
    if len(cells) != wanted:
        raise TableError(f"{path}, row {line}: {len(cells)} cells, the first line has {wanted}")
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise TableError(f"{path}, row {line}: {error}") from error
    if not all(math.isfinite(value) for value in values):
        raise TableError(f"{path}, row {line}: every number must be finite")
    return values
