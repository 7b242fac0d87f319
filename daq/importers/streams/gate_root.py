"""GATE's singles in ROOT files: GATE 9 (``time`` in s, ``energy`` in MeV, ``globalPosX`` …) and
GATE 10 (``GlobalTime`` in ns, ``TotalEnergyDeposit`` in MeV, ``PostPosition_X`` …).

Modules and crystals are found by position in the preset that was simulated, so that numbers of
volumes do not matter; singles outside of every module are counted. Files are read in pieces, and
put in order of time as a whole: of a file that would take more than a fifth of the free memory
nothing is read.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from daq.errors import ImportDataError
from hw.arrays import F8, I8
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, crystal_at

ROWS = 8192
MEMORY_SHARE = 0.2
BYTES_A_SINGLE = 200
"""While it is sorted."""
MOST_BASKET_BYTES = 256 << 20
LONGEST_S = 24 * 3600.0
NEAR_MM = 0.5
"""So far out of a block a single is still taken for one in it."""


class Columns(NamedTuple):
    """Names of time, energy, x, y, z, and what the time's unit is in ns."""

    time: str
    energy: str
    place: tuple[str, str, str]
    unit_ns: float


GATE_10 = Columns("GlobalTime", "TotalEnergyDeposit",
                  ("PostPosition_X", "PostPosition_Y", "PostPosition_Z"), 1.0)  # fmt: skip
GATE_9 = Columns("time", "energy", ("globalPosX", "globalPosY", "globalPosZ"), 1e9)


class PlacedSingles(NamedTuple):
    """In order of time: ticks, module, crystal in module, energy in 0.1 keV."""

    ticks: I8
    module: I8
    crystal: I8
    energy_dkeV: I8


def read_gate_root(
    path: Path, scanner: Scanner, geometry: Geometry, broken: Counter[str]
) -> PlacedSingles:
    """Read a file's singles.

    Parameters
    ----------
    scanner, geometry : that were simulated
    broken : counts what is left out

    Raises
    ------
    ImportDataError
        if uproot is missing, the file is none of GATE's, is damaged, or is too large.
    """
    try:
        uproot = importlib.import_module("uproot")
    except ImportError as error:
        raise ImportDataError(f"{path}: ROOT files need uproot: `./tomoshibi setup lab`") from error
    found: list[PlacedSingles] = []
    try:
        with uproot.open(path) as file:
            tree, columns = _singles_of(path, file)
            _check_size(path, tree, columns)
            found.extend(_placed(rows, scanner, geometry, broken) for rows in _rows(tree, columns))
    except ImportDataError:
        raise
    except Exception as error:
        kind = type(error).__name__  # what it says may itself not be readable
        raise ImportDataError(
            f"{path} cannot be read as ROOT ({kind}): damaged, or of another kind; copy it again"
        ) from error
    whole = PlacedSingles(*(np.concatenate(fields) for fields in zip(*found, strict=True)))
    order = np.argsort(whole.ticks, kind="stable")
    return PlacedSingles(*(field[order] for field in whole))


def _singles_of(path: Path, file: Any) -> tuple[Any, Columns]:
    """Return the tree of singles; that which is called Singles where there are several."""
    names = sorted(file.keys(recursive=False, cycle=False))
    trees = {name: file[name] for name in names if file.classname_of(name) == "TTree"}
    fitting = [
        (name != "Singles", name, tree, columns)
        for name, tree in trees.items() if tree.num_entries
        for columns in (GATE_10, GATE_9)
        if {columns.time, columns.energy, *columns.place} <= set(tree.keys(recursive=False))
    ]  # fmt: skip
    if not fitting:
        raise ImportDataError(
            f"{path} has no tree of singles, with {', '.join(GATE_10[:2])} and PostPosition_X … "
            f"(GATE 10) or {', '.join(GATE_9[:2])} and globalPosX … (GATE 9)"
        )
    _, _, tree, columns = min(fitting, key=lambda one: one[:2])
    return tree, columns


def _check_size(path: Path, tree: Any, columns: Columns) -> None:
    most = int(MEMORY_SHARE * psutil.virtual_memory().available) // BYTES_A_SINGLE
    if not 0 < tree.num_entries <= most:
        raise ImportDataError(
            f"{path} has {tree.num_entries} singles, {most} can be put in order in the free "
            "memory: split it by time"
        )
    for name in (columns.time, columns.energy, *columns.place):
        branch = tree[name]
        for number in range(branch.num_baskets):
            size = branch.basket_uncompressed_bytes(number)
            if not 0 <= size <= MOST_BASKET_BYTES:
                raise ImportDataError(f"{path}: a piece of {name} has {size} bytes: damaged")


def _rows(tree: Any, columns: Columns) -> Iterator[F8]:
    """Yield rows of time (ns), energy (keV), x, y, z."""
    names = [columns.time, columns.energy, *columns.place]
    units = np.array([columns.unit_ns, 1e3, 1, 1, 1])
    for piece in tree.iterate(names, step_size=ROWS, library="np"):
        yield np.stack([np.asarray(piece[name], np.float64) for name in names], axis=1) * units


def _placed(rows: F8, scanner: Scanner, geometry: Geometry, broken: Counter[str]) -> PlacedSingles:
    sound = np.isfinite(rows).all(axis=1) & (rows[:, 0] >= 0) & (rows[:, 0] <= LONGEST_S * 1e9)
    sound &= (rows[:, 1] >= 0) & (np.abs(rows[:, 2:]) < 1e6).all(axis=1)
    _count(broken, "singles without a possible time, energy or place", ~sound)
    rows = rows[sound]
    module = _module_at(rows[:, 2:], scanner, geometry)
    _count(broken, "singles outside of every module", module < 0)
    rows, module = rows[module >= 0], module[module >= 0]
    crystal, _ = crystal_at(scanner, geometry, module, rows[:, 2:])
    return PlacedSingles(
        ticks=np.floor(rows[:, 0] * 1000 * 32 / 625).astype(np.int64),
        module=module,
        crystal=crystal.astype(np.int64) % scanner.crystals_per_module,
        energy_dkeV=np.minimum(np.floor(rows[:, 1] * 10), 16383).astype(np.int64),
    )


def _module_at(place_mm: F8, scanner: Scanner, geometry: Geometry) -> I8:
    """Return the module of each point (k,), −1 where it lies in none."""
    block = scanner.module
    from_face = place_mm[:, None, :] - geometry.module_centre_mm[None]
    local = np.einsum("mij,kmj->kmi", geometry.module_axes, from_face)
    half_mm = np.array([block.width_mm / 2, block.height_mm / 2, block.thickness_mm / 2])
    beyond = (np.abs(local - [0, 0, block.thickness_mm / 2]) - half_mm).max(axis=2)
    nearest = beyond.argmin(axis=1)
    inside = beyond[np.arange(len(beyond)), nearest] <= NEAR_MM
    return np.where(inside, nearest, -1)


def _count(broken: Counter[str], what: str, which: npt.NDArray[np.bool_]) -> None:
    if many := int(which.sum()):
        broken[what] += many
