"""Crystal look-up from flood maps: the crystal that each raw position belongs to.

Pixelated blocks: the lattice of peaks (``daq.calibration.flood_peaks``). Monolithic blocks have no
peaks. Under an irradiation of known density, the distribution function of the positions gives the
true place: u is cut where it passes k/n_u, then v within each u bin where it passes l/n_v. Borders
lie between raw positions, so they are accurate to half a raw bin at best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daq.calibration.flood_map import POSITIONS, SIDE
from daq.calibration.flood_peaks import FloodError, ModuleFlood, peaks_map, without_hot_spots
from daq.folder.calibration_arrays import REJECTED, CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry

Map = npt.NDArray[np.uint16]

LEAST_PER_CRYSTAL = 50
"""Mean counts per crystal that a module's own map needs."""


@dataclass(frozen=True)
class FloodResult:
    """Crystal maps of m modules; see :class:`ModuleFlood`.

    crystal_map : (m, 4096) u2; status : (m,) u1 of Status; peak_to_valley : (m,) f8
    assigned : (m,) f8, share of the counts at positions that belong to a crystal
    reasons : for each module not fitted, why
    """

    crystal_map: Map
    status: npt.NDArray[np.uint8]
    peak_to_valley: F8
    assigned: F8
    weak: npt.NDArray[np.int64]
    reasons: dict[int, str]


def calibrate_flood(
    counts: npt.NDArray[np.int64], scanner: Scanner, *, expected: F8 | None = None
) -> FloodResult:
    """Return each module's crystal map.

    A module with too few counts, or whose peaks cannot be resolved, gets the map from the summed
    flood of the others, and is marked.

    Parameters
    ----------
    counts : (m, 4096), index u + 64·v
    expected : (m, n_v, n_u) relative counts of the crystals of monolithic blocks; None: all equal

    Raises
    ------
    CalibrationSetError
        if no module's flood can be used.
    """
    _check_shape(counts, scanner)
    found: dict[int, ModuleFlood] = {}
    reasons: dict[int, str] = {}
    for module, flood in enumerate(counts):
        try:
            wanted = None if expected is None else expected[module]
            found[module] = module_map(flood, scanner, expected=wanted)
        except FloodError as error:
            reasons[module] = str(error)
    if not found:
        first = min(reasons)
        raise CalibrationSetError(
            f"no module of {scanner.name} has a flood to find crystals in; module {first}: "
            f"{reasons[first]}"
        )
    maps = _maps(counts, found, scanner, expected)
    total = counts.sum(axis=1)
    kept = np.where(maps != REJECTED, counts, 0).sum(axis=1)
    modules = range(len(counts))
    return FloodResult(
        crystal_map=maps,
        status=np.array([Status.FITTED if m in found else Status.SCANNER for m in modules], "u1"),
        peak_to_valley=np.array([found[m].peak_to_valley if m in found else np.nan
                                 for m in modules]),
        assigned=np.divide(kept, total, out=np.zeros(len(counts)), where=total > 0),
        weak=np.array([found[m].weak if m in found else 0 for m in modules]),
        reasons=reasons,
    )  # fmt: skip


def _maps(
    counts: npt.NDArray[np.int64],
    found: dict[int, ModuleFlood],
    scanner: Scanner,
    expected: F8 | None,
) -> Map:
    """Return all maps, with that of the summed flood for modules without their own."""
    maps = np.empty((len(counts), POSITIONS), np.uint16)
    for module, flood in found.items():
        maps[module] = flood.crystal_map
    if len(found) < len(counts):
        try:
            wanted = None if expected is None else expected[list(found)].mean(axis=0)
            mean = module_map(counts[list(found)].sum(axis=0), scanner, expected=wanted)
        except FloodError:  # modules too unlike to be added: the one with the most counts
            mean = found[max(found, key=lambda m: int(counts[m].sum()))]
        maps[[m for m in range(len(counts)) if m not in found]] = mean.crystal_map
    return maps


def module_map(
    counts: npt.NDArray[np.int64], scanner: Scanner, *, expected: F8 | None = None
) -> ModuleFlood:
    """Return one module's crystal map from its flood (4096,); raises FloodError."""
    block, flood = scanner.module, counts.reshape(SIDE, SIDE).astype(np.float64)
    least = LEAST_PER_CRYSTAL * scanner.crystals_per_module
    if flood.sum() < least:
        raise FloodError(
            f"{int(flood.sum())} counts, {least} are needed ({LEAST_PER_CRYSTAL} per crystal): "
            "measure longer, or widen the energy window"
        )
    if block.monolithic:
        return equalised_map(without_hot_spots(flood), block.n_u, block.n_v, expected=expected)
    return peaks_map(flood, block.n_u, block.n_v)


def equalised_map(flood: F8, n_u: int, n_v: int, *, expected: F8 | None = None) -> ModuleFlood:
    """Return the map of a monolithic block: positions cut by their distribution function.

    flood : (64, 64) [v, u]; expected : (n_v, n_u) relative counts of the bins, None for equal
    """
    wanted = np.ones((n_v, n_u)) if expected is None else expected
    u_bin = _cut(flood.sum(axis=0), wanted.sum(axis=0))
    crystal = np.empty((SIDE, SIDE), np.int64)
    for k in range(n_u):
        columns = u_bin == k
        if columns.any():
            # where a bin got no column its neighbours share it; they keep their own density
            v_bin = _cut(flood[:, columns].sum(axis=1), wanted[:, k])
            crystal[:, columns] = (k + n_u * v_bin)[:, None]
    middles = _middles(crystal, n_u, n_v)
    empty = n_u * n_v - len(np.unique(crystal))
    return ModuleFlood(crystal.ravel().astype(np.uint16), float("nan"), middles, empty)


def _cut(counts: F8, wanted: F8) -> npt.NDArray[np.int64]:
    """Return the bin (64,) of each raw position: by where its middle lies in the distribution."""
    total = counts.sum()
    if total <= 0:
        return (np.arange(SIDE) * len(wanted)) // SIDE
    middle = (np.cumsum(counts) - counts / 2) / total
    edges = np.cumsum(wanted)[:-1] / wanted.sum()
    return np.searchsorted(edges, middle, side="right")


def _middles(crystal: npt.NDArray[np.int64], n_u: int, n_v: int) -> F8:
    v, u = np.mgrid[:SIDE, :SIDE]
    size = np.bincount(crystal.ravel(), minlength=n_u * n_v)
    sums = [np.bincount(crystal.ravel(), w.ravel(), n_u * n_v) for w in (u, v)]
    with np.errstate(invalid="ignore"):
        return np.stack([s / size for s in sums], axis=1).reshape(n_v, n_u, 2)


def expected_from_centre(scanner: Scanner, geometry: Geometry, module: int = 0) -> F8:
    """Return the relative counts (n_v, n_u) of a module's crystals from a source at the scanner's
    centre: the solid angle of each crystal's face, cosθ/d²."""
    each = scanner.crystals_per_module
    front = geometry.crystal_front_mm[module * each : (module + 1) * each].astype(np.float64)
    normal = geometry.crystal_normal[module * each].astype(np.float64)
    distance = np.sqrt((front**2).sum(axis=1))
    weight = (front @ normal) / distance**3
    return np.asarray((weight / weight.mean()).reshape(scanner.module.n_v, scanner.module.n_u))


def _check_shape(counts: npt.NDArray[np.int64], scanner: Scanner) -> None:
    if counts.shape != (scanner.n_modules, POSITIONS):
        raise CalibrationSetError(
            f"flood map of shape {counts.shape}, {scanner.name} needs "
            f"({scanner.n_modules}, {POSITIONS})"
        )
    block = scanner.module
    if block.n_u > SIDE or block.n_v > SIDE:
        raise CalibrationSetError(
            f"{scanner.name} has {block.n_u} × {block.n_v} crystals a module: more than the "
            f"{SIDE} × {SIDE} raw positions"
        )
