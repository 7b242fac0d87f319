"""Signals from outside of the detector that a run keeps: heartbeat, breathing, blood.

Each is a file ``signal_NAME.csv``: a line that begins with # says where it comes from, the next
names the columns, then a row a sample, ascending in detector time (``t_s``). They are the files
that gates and input functions are read from:

trigger      t_s                  moments, such as R waves
amplitude    t_s,amplitude        such as a breathing belt's, in its own unit
phase        t_s,phase            0..1
activity     t_s,Bq_per_mL        as measured, not corrected for decay

Rows are in the system's hands as soon as they are acknowledged: a killed process loses none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from daq.errors import LogError, RunError, StorageError

Kind = Literal["trigger", "amplitude", "phase", "activity"]
HEADS: dict[Kind, str] = {
    "trigger": "t_s",
    "amplitude": "t_s,amplitude",
    "phase": "t_s,phase",
    "activity": "t_s,Bq_per_mL",
}
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
MOST_SIGNALS = 8
MOST_ROWS = 20_000_000
"""Of one signal: 22 hours at 250 a second."""

_TAIL = 4096


def signal_path(folder: Path, name: str) -> Path:
    """Return where a run keeps a signal."""
    return folder / f"signal_{name}.csv"


def signals_in(folder: Path) -> dict[str, Path]:
    """Return a run's signals by name."""
    found = sorted(folder.glob("signal_*.csv"))
    return {path.stem.removeprefix("signal_"): path for path in found}


def kept_signal(folder: Path, name: str) -> Path:
    """Return the file of a run's signal; raises LogError naming those that there are."""
    kept = signals_in(folder)
    if name not in kept:
        raise LogError(f"{folder.name} has no signal {name}; it has: {', '.join(kept) or 'none'}")
    with kept[name].open("rb") as file:
        file.seek(max(0, kept[name].stat().st_size - 1))
        if file.read() != b"\n":
            raise LogError(f"{kept[name]}: its last row is cut off; delete that row")
    return kept[name]


def given_or_kept(path: Path, folder: Path) -> Path:
    """Return a file, or that of the run's own signal of that name; raises LogError for none."""
    is_name = str(path) == path.stem and not path.exists()
    return kept_signal(folder, str(path)) if is_name else path


class SignalFile:
    """One signal, open for more.

    rows : that it has; left_out : samples that were no later than the one before, or before the run
    next_of : by sender, the number of its next sample: what is sent twice is kept once
    """

    def __init__(self, folder: Path, name: str, kind: Kind, source: str) -> None:
        """Begin a file, or go on with one; raises RunError if it is of another kind."""
        self.name, self.kind, self.rows, self.left_out = name, kind, 0, 0
        self.next_of: dict[str, int] = {}
        self._path, self._last_us = signal_path(folder, name), -1
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        try:
            if os.fstat(self._file).st_size:
                self._go_on()
            else:
                self._write(f"# {kind}, from {source}\n{HEADS[kind]}\n".encode())
        except BaseException:
            os.close(self._file)
            raise

    def _go_on(self) -> None:
        """Take up what a daq that died has written; half a row at the end is cut off."""
        size = os.fstat(self._file).st_size
        head = os.pread(self._file, _TAIL, 0).decode("utf-8", "replace").split("\n")
        if HEADS[self.kind] not in head[:2]:
            raise RunError(f"signal {self.name}: the run has one of that name and another kind")
        tail = os.pread(self._file, _TAIL, max(0, size - _TAIL))
        if not tail.endswith(b"\n"):
            tail = tail[: tail.rfind(b"\n") + 1]
            os.ftruncate(self._file, min(size, max(0, size - _TAIL) + len(tail)))
        last = tail.split(b"\n")[-2].split(b",")[0] if tail.count(b"\n") else b""
        self._last_us = round(float(last) * 1e6) if last[:1].isdigit() else -1
        self.rows = _lines(self._file) - 2

    def add(self, times_ps: Sequence[int], values: Sequence[float]) -> int:
        """Keep samples; return how many. Raises RunError or StorageError."""
        rows = []
        for time_ps, value in zip(times_ps, values, strict=True):
            at_us = time_ps // 1_000_000
            if time_ps < 0 or at_us <= self._last_us:
                self.left_out += 1
                continue
            self._last_us = at_us
            at_s = f"{at_us // 1_000_000}.{at_us % 1_000_000:06}"
            rows.append(at_s if self.kind == "trigger" else f"{at_s},{value:.9g}")
        if self.rows + len(rows) > MOST_ROWS:
            raise RunError(f"signal {self.name}: the run has {MOST_ROWS} rows, and takes no more")
        if rows:
            self._write("\n".join([*rows, ""]).encode())
        self.rows += len(rows)
        return len(rows)

    def _write(self, data: bytes) -> None:
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            if written != len(data):
                raise OSError(28, "the disk is full")
        except OSError as error:
            os.ftruncate(self._file, size)
            raise StorageError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Put it on the disk and close it."""
        os.fdatasync(self._file)
        os.close(self._file)


class Signals:
    """Those of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, SignalFile] = {}

    def of(self, name: str, kind: Kind, source: str) -> tuple[SignalFile, bool]:
        """Return a signal, and whether it is new to this process; raises RunError."""
        found = self._open.get(name)
        if found is not None:
            if found.kind != kind:
                raise RunError(f"signal {name}: it is of kind {found.kind} in this run")
            return found, False
        if len(self._open) >= MOST_SIGNALS:
            raise RunError(f"signal {name}: the run has {MOST_SIGNALS} already")
        made = self._open[name] = SignalFile(self._folder, name, kind, source)
        return made, True

    def summary(self) -> list[dict[str, Any]]:
        """Return what is kept of each."""
        return [
            {"name": one.name, "kind": one.kind, "rows": one.rows, "left_out": one.left_out}
            for one in self._open.values()
        ]

    def close(self) -> None:
        """Close all; what cannot be put on the disk any more is told by the run's other logs."""
        for one in self._open.values():
            try:
                one.close()
            except OSError:
                continue


def _lines(file: int) -> int:
    """Return how many lines a file has."""
    count = at = 0
    while piece := os.pread(file, 1 << 20, at):
        count, at = count + piece.count(b"\n"), at + len(piece)
    return count


def check_values(kind: Kind, values: Sequence[float]) -> None:
    """Raise RunError for values that no signal of the kind has."""
    array = np.asarray(values, np.float64)
    if kind == "phase" and ((array < 0) | (array > 1)).any():
        raise RunError("signal: a phase lies within 0 and 1")
    if kind == "activity" and (array < 0).any():
        raise RunError("signal: an activity is 0 or more")
