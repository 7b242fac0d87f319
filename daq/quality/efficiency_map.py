"""Relative efficiency of crystals and modules, from their singles before a source in the middle.

Each crystal is compared with the median of those at the same place in all modules of its ring:
they see a centred source alike, so geometry, absorption and the source's activity cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daq.quality.peak_quality import QcError
from hw.arrays import F8, I8, Mask
from hw.scanner.description import Scanner

LEAST_COUNTS = 20.0
"""A place whose median crystal has fewer singles is not told."""


@dataclass(frozen=True)
class EfficiencyMap:
    """crystals : (n_modules, n_v, n_u) relative efficiency, NaN where not known or left out
    modules : (n_modules,) singles over the median of the ring's modules
    spread_percent : σ of the crystals' efficiencies beyond what chance explains
    """

    crystals: F8
    modules: F8
    spread_percent: float


def efficiency_map(counts: I8, scanner: Scanner, left_out: Mask) -> EfficiencyMap:
    """Return the map.

    Parameters
    ----------
    counts : (n_crystals,) singles
    left_out : (n_crystals,) crystals that do not count: dead, noisy, masked

    Raises
    ------
    QcError
        if all places have too few counts.
    """
    ring, block = scanner.ring, scanner.module
    shape = (ring.n_rings, ring.modules_per_ring, scanner.crystals_per_module)
    known = np.where(left_out, np.nan, counts.astype(np.float64)).reshape(shape)
    usual = _median(known, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(usual >= LEAST_COUNTS, known / usual, np.nan)
        chance = np.where(usual >= LEAST_COUNTS, 1 / usual, np.nan)
    if not np.isfinite(relative).any():
        raise QcError("too few singles for an efficiency of each crystal: measure longer")
    # a crystal is part of the median that it is compared with: of n modules, 1/n of it
    number = ring.modules_per_ring
    variance = np.nanvar(relative) * number / max(number - 1, 1) - np.nanmean(chance)
    modules = _mean(known)
    return EfficiencyMap(
        relative.reshape(scanner.n_modules, block.n_v, block.n_u),
        (modules / _median(modules, axis=1)).ravel(),
        100 * math.sqrt(max(float(variance), 0.0)),
    )


def _median(values: F8, *, axis: int) -> F8:
    """Return the median of what is known, keeping the axis; NaN where nothing is."""
    masked = np.ma.masked_invalid(values)
    found = np.ma.median(masked, axis=axis, keepdims=True)
    return np.asarray(np.ma.filled(found, np.nan))


def _mean(known: F8) -> F8:
    """Return the mean over each module's crystals that are known, (rings, sectors)."""
    number = np.isfinite(known).sum(axis=2)
    total = np.nansum(known, axis=2)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
