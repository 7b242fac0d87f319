"""The event library of load mode: detected decays, in memory and in a file.

A library holds each decay that left anything in a module as a group of *deposits*: place, noiseless
energy and noiseless time after the decay. Decays that left nothing are only counted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from hw.bounded_files import FileRefused, read_npz
from hw.errors import FileWriteError
from hw.jit import cache_root
from hw.whole_file import whole_file

DEPOSIT = np.dtype(
    [
        ("time_ps", "<f4"),
        ("energy_keV", "<f4"),
        ("module", "<u2"),
        ("crystal", "<u2"),
        ("doi", "<u2"),
    ]
)
"""One deposit: time after the decay with the trigger's latency, energy; both without noise."""

KEPT_FILES = 8


@dataclass(frozen=True)
class Library:
    """Detected decays, by nuclide.

    deposits : (n,) DEPOSIT, those of one decay adjacent
    start : (decays + 1,) u4, where each decay's deposits begin
    first : (nuclides + 1,) i8, where each nuclide's decays begin in ``start``
    emulated : (nuclides,) i8, decays of each nuclide, including those that left nothing
    """

    deposits: npt.NDArray[np.void]
    start: npt.NDArray[np.uint32]
    first: npt.NDArray[np.int64]
    emulated: npt.NDArray[np.int64]

    @property
    def detected_fraction(self) -> npt.NDArray[np.float64]:
        """(nuclides,) f8, the share of each nuclide's decays that left anything."""
        return np.diff(self.first) / self.emulated


MOST_BYTES, MOST_RATIO = 8 << 30, 100
"""Of a library in memory, and to its bytes in the file."""


def library_folder() -> Path:
    """Return the folder where libraries are cached (``TOMOSHIBI_CACHE`` sets its parent)."""
    return cache_root() / "library"


def read_library(path: Path, key: str, *, named: bool) -> Library | None:
    """Read a library from its file; None if it is absent, or damaged in the cache."""
    if not path.is_file():
        return None
    try:
        stored = read_npz(path, most_bytes=MOST_BYTES, most_ratio=MOST_RATIO)
        found_key = str(stored["key"])
        arrays = {field.name: stored[field.name] for field in dataclasses.fields(Library)}
        if wrong := _wrong(arrays):
            raise KeyError(wrong)
    except (FileRefused, KeyError) as error:
        if not named:
            return None
        raise EmulationError(
            f"event library {path} cannot be read ({error}): delete it, or name another file"
        ) from error
    if found_key != key:
        raise EmulationError(
            f"event library {path} was made for other settings or by another version: name "
            "another file, or none to have one made and kept"
        )
    return Library(**arrays)


def _wrong(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Return what of a library's arrays its kernel could not bear, "" for nothing."""
    types: dict[str, npt.DTypeLike] = {
        "deposits": DEPOSIT, "start": np.uint32, "first": np.int64, "emulated": np.int64,
    }  # fmt: skip
    for name, dtype in types.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != 1:
            return f"{name} is {arrays[name].dtype}, {arrays[name].ndim}-dimensional"
    start, first, emulated = arrays["start"], arrays["first"], arrays["emulated"]
    for name, limits, end in (
        ("start", start.astype(np.int64), len(arrays["deposits"])),
        ("first", first, len(start) - 1),
    ):
        ordered = len(limits) > 0 and bool((np.diff(limits) >= 0).all())
        if not ordered or limits[0] != 0 or limits[-1] != end:
            return f"{name} does not go from 0 to {end}"
    if len(emulated) != len(first) - 1 or (emulated <= 0).any():
        return "emulated does not count each nuclide's decays"
    return ""


def write_library(path: Path, key: str, library: Library, *, named: bool) -> None:
    """Write a library; failing to write a named file is an error, to the cache is not."""
    arrays: dict[str, Any] = {
        field.name: getattr(library, field.name) for field in dataclasses.fields(Library)
    }
    try:
        with whole_file(path) as file:
            np.savez(file, key=np.array(key), **arrays)
    except FileWriteError as error:
        if named:
            raise EmulationError(f"cannot write event library: {error}") from error
        return
    if not named:
        _keep_newest(path.parent)


def _keep_newest(folder: Path) -> None:
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT_FILES]:
        file.unlink(missing_ok=True)
