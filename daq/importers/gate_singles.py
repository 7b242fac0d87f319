"""GATE 10 / opengate singles (npz) as data frames.

Arrays read: ``t_ns`` f8, ``E_keV`` f4, ``xyz_mm`` (n, 3) f4, ``block`` integer and, if times are
relative to their decay, ``event``. Singles are assigned to the virtual crystal and depth bin in
which they lie; times become ticks of 19.53 ps (floor), energies steps of 0.1 keV. GATE's deposits
are exact unless its digitizer blurred them; ``blurred`` adds the preset's resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from daq.errors import ImportDataError
from hw.arrays import F8
from hw.bounded_files import FileRefused, read_npz
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, crystal_at
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import (
    FLAG_FIRST,
    FLAG_LAST,
    FRAME_PERIOD_LOG2,
    FRAME_PERIOD_TICKS,
    HEADER_BYTES,
    TICK_PS_NUM,
    TICK_PS_SHIFT,
    pack_words,
)

NEEDED = ("t_ns", "E_keV", "xyz_mm", "block")
_KINDS = {"t_ns": "iuf", "E_keV": "iuf", "xyz_mm": "iuf", "block": "iu", "event": "iu"}
_KIND_WORDS = {"iuf": "numbers", "iu": "whole numbers"}
PS_PER_TICK = TICK_PS_NUM / 2**TICK_PS_SHIFT
LONGEST_S = 24 * 3600
MOST_RATIO = 50
"""Of simulated singles in memory to those in the file: times and energies do not compress."""

BYTES_A_SINGLE = 40
"""On disk: its word and, at most, a coincidence of its own."""

MEMORY_SHARE = 0.2
"""Of the memory that is free, for a file's arrays: sorting them takes a few times as much."""

EXACT_SHARE = 0.02
"""Share of singles within 0.1 keV of 511 keV beyond which energies are exact: with a resolution of
5 % it is 0.003."""


@dataclass(frozen=True)
class GateSingles:
    """Singles in order of time. ticks i8, module i8, crystal in module i8, doi u1, energy i8."""

    ticks: npt.NDArray[np.int64]
    module: npt.NDArray[np.int64]
    crystal: npt.NDArray[np.int64]
    doi: npt.NDArray[np.uint8]
    energy_dkeV: npt.NDArray[np.int64]

    @property
    def exact(self) -> bool:
        """Whether many energies are 511 keV to a tenth of a keV, as no detector would read them."""
        near = np.abs(self.energy_dkeV - round(10 * ELECTRON_REST_KEV)) <= 1
        return bool(near.mean() > EXACT_SHARE)

    def __len__(self) -> int:
        return len(self.ticks)


def read_gate_singles(
    path: Path,
    scanner: Scanner,
    geometry: Geometry,
    *,
    decays_per_s: float | None = None,
    blurred: bool = False,
) -> GateSingles:
    """Read a file of singles.

    Parameters
    ----------
    decays_per_s : for files whose times are relative to each decay: decay number ``event`` takes
        place at ``event / decays_per_s``. None for files with absolute times.
    blurred : add the scanner's resolution of energy and position, from a fixed seed

    Raises
    ------
    ImportDataError
        naming the file, the array, what was found and what is needed.
    """
    arrays = _load(path)
    time_ns = np.asarray(arrays["t_ns"], dtype=np.float64)
    if decays_per_s is not None:
        if "event" not in arrays:
            raise ImportDataError(f"{path}: no array 'event': relative times cannot be placed")
        time_ns = time_ns + np.asarray(arrays["event"], dtype=np.float64) * (1e9 / decays_per_s)
    elif "event" in arrays and len(time_ns) > 1000 and np.ptp(time_ns) < 1e4:
        raise ImportDataError(
            f"{path}: all {len(time_ns)} times lie within {np.ptp(time_ns):.0f} ns, so they are "
            "relative to each decay: give --decays-per-s to place the decays in time"
        )
    block = np.asarray(arrays["block"], dtype=np.int64)
    _check(path, scanner, time_ns, block, arrays["E_keV"])
    order = np.argsort(time_ns, kind="stable")
    energy_keV = np.asarray(arrays["E_keV"], np.float64)[order]
    xyz_mm = np.asarray(arrays["xyz_mm"], np.float64)[order]
    if blurred:
        energy_keV, xyz_mm = _blurred(energy_keV, xyz_mm, block[order], scanner, geometry)
    crystal, doi = crystal_at(scanner, geometry, block[order], xyz_mm)
    return GateSingles(
        ticks=np.floor(time_ns[order] * (1000 / PS_PER_TICK)).astype(np.int64),
        module=block[order],
        crystal=crystal.astype(np.int64) % scanner.crystals_per_module,
        doi=doi,
        energy_dkeV=np.floor(energy_keV * 10).astype(np.int64),
    )


def _blurred(
    energy_keV: F8, xyz_mm: F8, block: npt.NDArray[np.int64], scanner: Scanner, geometry: Geometry
) -> tuple[F8, F8]:
    """Return energies and positions as the preset's modules read them.

    σ(E) = σ₅₁₁ √(E/511 keV), as in the emulator; positions along each module's axes.
    """
    rng, response = np.random.default_rng(511), scanner.response
    sigma_keV = response.energy_fwhm_511 / FWHM_PER_SIGMA * np.sqrt(ELECTRON_REST_KEV * energy_keV)
    energy_keV = np.maximum(energy_keV + rng.normal(size=len(energy_keV)) * sigma_keV, 0.0)
    doi_mm = response.doi_fwhm_mm if scanner.module.doi_bins > 1 else 0.0
    fwhm_mm = np.array([response.position_fwhm_mm, response.position_fwhm_mm, doi_mm])
    moved = rng.normal(size=xyz_mm.shape) * fwhm_mm / FWHM_PER_SIGMA
    return energy_keV, xyz_mm + np.einsum("ki,kij->kj", moved, geometry.module_axes[block])


def _most_bytes() -> int:
    return int(MEMORY_SHARE * psutil.virtual_memory().available)


def _load(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        known = (*NEEDED, "event")
        arrays = read_npz(path, most_bytes=_most_bytes(), most_ratio=MOST_RATIO, only=known)
    except FileRefused as error:
        raise ImportDataError(f"{path} cannot be read as npz: {error}") from error
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise ImportDataError(
            f"{path}: no array {', '.join(missing)}; it has {', '.join(arrays) or 'none'}"
        )
    count = np.size(arrays["t_ns"])
    for name, array in arrays.items():
        kinds, shape = _KINDS[name], (count, 3) if name == "xyz_mm" else (count,)
        if array.dtype.kind not in kinds or array.shape != shape or not count:
            raise ImportDataError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}; needed are "
                f"{_KIND_WORDS[kinds]} of shape {shape}: arrays of one length above 0"
            )
    return arrays


def check_length(singles: GateSingles, scanner: Scanner, *, gap_s: float, free: int) -> None:
    """Refuse singles whose frames, also those of the time without any, would fill the disk.

    Parameters
    ----------
    gap_s : longest time between two singles, or before the first
    free : bytes on the disk that the run goes to

    Raises
    ------
    ImportDataError
    """
    gaps_s = np.diff(singles.ticks, prepend=0) * (PS_PER_TICK * 1e-12)
    longest_s = float(gaps_s.max())
    if longest_s > gap_s:
        at_s = float(singles.ticks[int(gaps_s.argmax())]) * PS_PER_TICK * 1e-12
        raise ImportDataError(
            f"{longest_s:.6g} s without a single before {at_s:.6g} s: each module sends empty "
            f"frames for them. If that is meant, allow it with --gap {np.ceil(longest_s):.0f}"
        )
    periods = int(singles.ticks[-1] >> FRAME_PERIOD_LOG2) + 1
    needed = periods * scanner.n_modules * HEADER_BYTES + BYTES_A_SINGLE * len(singles)
    if needed > free:
        raise ImportDataError(
            f"the run would take {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free: free some, "
            "or choose another --runs folder"
        )


def _check(
    path: Path,
    scanner: Scanner,
    time_ns: npt.NDArray[np.float64],
    block: npt.NDArray[np.int64],
    energy_keV: npt.NDArray[np.generic],
) -> None:
    if block.min() < 0 or block.max() >= scanner.n_modules:
        raise ImportDataError(
            f"{path}: block {block.max()} is not in {scanner.name}, which has blocks "
            f"0 to {scanner.n_modules - 1}: choose the --scanner that was simulated"
        )
    if not np.isfinite(time_ns).all() or time_ns.min() < 0 or time_ns.max() > LONGEST_S * 1e9:
        raise ImportDataError(f"{path}: t_ns must be finite and in 0 to {LONGEST_S} s")
    energy = np.asarray(energy_keV, dtype=np.float64)
    if not np.isfinite(energy).all() or energy.min() < 0:
        raise ImportDataError(f"{path}: E_keV must be finite and not negative")


def frames_of(singles: GateSingles, scanner: Scanner, *, run_tag: int) -> Iterator[list[bytes]]:
    """Yield each period's data frames, one per module, as the modules would send them."""
    period = singles.ticks >> FRAME_PERIOD_LOG2
    by_module = np.lexsort((np.arange(len(singles)), singles.module, period))
    last = int(period[-1])
    modules = scanner.n_modules
    key = period[by_module] * modules + singles.module[by_module]
    before = np.zeros(modules, dtype=np.int64)
    for frame_id in range(last + 1):
        edges = np.searchsorted(key, np.arange(modules + 1) + frame_id * modules)
        frames = []
        for module in range(modules):
            chosen = by_module[edges[module] : edges[module + 1]]
            words = pack_words(
                time_ticks=singles.ticks[chosen] & (FRAME_PERIOD_TICKS - 1),
                crystal=singles.crystal[chosen],
                energy_dkeV=singles.energy_dkeV[chosen],
                doi=singles.doi[chosen],
            )
            flags = (FLAG_FIRST if frame_id == 0 else 0) | (FLAG_LAST if frame_id == last else 0)
            header = new_header(
                module, frame_id, frame_id,
                events_before=int(before[module]), run_tag=run_tag, flags=flags,
            )  # fmt: skip
            frames.append(seal_frame(header, words))
            before[module] += len(words)
        yield frames
