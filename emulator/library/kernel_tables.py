"""An event library as the kernel sees it: deposits, their crystals' errors, and normal deviates."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.detector.miscalibration import CURVATURE, EFFICIENCY, GAIN, SKEW, WALK
from emulator.detector.raw_position import RAW_REACH
from emulator.detector.response import HIT, ResponseTables
from emulator.library.event_library import Library
from hw.scanner.description import RAW_POSITION_BINS, Scanner

NORMALS = 1 << 16
"""Normals in the table: the means of as many equally probable parts, scaled to variance 1."""

ROW = np.dtype(
    [
        ("time_ps", "<f4"),
        ("energy_keV", "<f4"),
        ("gain", "<f4"),
        ("curvature", "<f4"),
        ("walk_ps", "<f4"),
        ("efficiency", "<f4"),
        ("place", "<i8"),
    ]
)
"""A deposit of the library with its crystal's errors: 32 bytes, two in a cache line. ``place`` is
the second word of its HIT but for the energy."""

_CACHE_LINE = 64


class LibraryTables(NamedTuple):
    """The library as the kernel sees it.

    rows : (n,) ROW
    start : (decays + 1,) u4
    first : (nuclides + 1,) i8
    normals : (NORMALS,) f4
    detected : (nuclides,) f8, the share of each nuclide's decays that left anything
    energy_sigma, time_sigma_ps, trigger_keV : see ``response``
    """

    rows: npt.NDArray[np.void]
    start: npt.NDArray[np.uint32]
    first: npt.NDArray[np.int64]
    normals: npt.NDArray[np.float32]
    detected: npt.NDArray[np.float64]
    energy_sigma: float
    time_sigma_ps: float
    trigger_keV: float


def normal_table() -> npt.NDArray[np.float32]:
    """Return NORMALS standard normal quantiles, (NORMALS,) f4, with mean 0 and variance 1.

    The largest is 4.3, beyond which 1 in 60 000 of a Gaussian lies.
    """
    inverse = NormalDist().inv_cdf
    half = np.array([inverse((i + 0.5) / NORMALS) for i in range(NORMALS // 2, NORMALS)])
    values = np.concatenate([-half[::-1], half])
    return (values / values.std()).astype(np.float32)


def library_tables(library: Library, response: ResponseTables, scanner: Scanner) -> LibraryTables:
    """Return the tables of a library for a scanner and its crystals."""
    deposits = library.deposits
    bounds = (scanner.n_modules, scanner.crystals_per_module, len(response.doi_ps))
    for name, most in zip(("module", "crystal", "doi"), bounds, strict=True):
        if len(deposits) and deposits[name].max() >= most:
            raise EmulationError(
                f"event library: {name} {deposits[name].max()}, {scanner.name} has {most}: it is "
                "damaged or of another scanner; delete it"
            )
    crystal = deposits["crystal"].astype(np.int64)
    first = deposits["module"].astype(np.int64) * scanner.crystals_per_module
    errors = response.crystals[first + crystal]
    rows = _aligned(len(deposits))
    rows["time_ps"] = deposits["time_ps"] + errors[:, SKEW] + response.doi_ps[deposits["doi"]]
    rows["energy_keV"] = deposits["energy_keV"]
    rows["gain"] = errors[:, GAIN] * response.doi_gain[deposits["doi"]]
    rows["curvature"], rows["walk_ps"] = errors[:, CURVATURE], errors[:, WALK]
    rows["efficiency"] = errors[:, EFFICIENCY]
    hit = np.zeros(len(deposits), HIT)
    hit["module"], hit["doi"] = deposits["module"], deposits["doi"]
    hit["crystal"] = _addresses(crystal, response, scanner) if response.raw else crystal
    rows["place"] = hit.view(np.int64).reshape(-1, 2)[:, 1]
    return LibraryTables(
        rows=rows,
        start=library.start,
        first=library.first,
        normals=normal_table(),
        detected=library.detected_fraction,
        energy_sigma=response.energy_sigma,
        time_sigma_ps=response.time_sigma_ps,
        trigger_keV=response.trigger_keV,
    )


def _aligned(n: int) -> npt.NDArray[np.void]:
    """Return n rows, none of which straddles two cache lines.

    Not made by numpy.zeros, which does not ask the system for huge pages.
    """
    buffer = np.empty(n * ROW.itemsize + _CACHE_LINE, np.uint8)
    begin = -buffer.ctypes.data % _CACHE_LINE
    return buffer[begin : begin + n * ROW.itemsize].view(ROW)


def _addresses(
    crystal: npt.NDArray[np.int64], response: ResponseTables, scanner: Scanner
) -> npt.NDArray[np.int64]:
    """Return blurred raw positions of deposits in crystals (n,); see ``raw_position``.

    In a monolithic block the place within the virtual crystal is drawn afresh.
    """
    random = np.random.Generator(np.random.PCG64(0x7261))
    iv, iu = np.divmod(crystal, response.n_u)
    within = random.random((2, len(crystal))) if response.monolithic else np.full((2, 1), 0.5)
    u = _raw_bins(iu, within[0], response.n_u, response.raw_sigma_u, scanner, random)
    v = _raw_bins(iv, within[1], response.n_v, response.raw_sigma_v, scanner, random)
    return u + RAW_POSITION_BINS * v


def _raw_bins(
    index: npt.NDArray[np.int64],
    within: npt.NDArray[np.float64],
    n: int,
    sigma: float,
    scanner: Scanner,
    random: np.random.Generator,
) -> npt.NDArray[np.int64]:
    kappa = max(scanner.response.raw_compression, 1e-6)
    x = 2.0 * (index + within) / n - 1.0
    share = 0.5 + RAW_REACH * np.tanh(kappa * x) / math.tanh(kappa)
    share = share + sigma * random.standard_normal(len(index))
    bins = np.floor(share * RAW_POSITION_BINS).astype(np.int64)
    return np.clip(bins, 0, RAW_POSITION_BINS - 1)
