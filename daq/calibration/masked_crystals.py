"""Dead and noisy crystals, from the number of singles in each.

A crystal is compared with the median of its module's crystals, so that neither the source's place
nor the run's length matters:

- dead: at most ``DEAD_SHARE`` of the median, and too few to be chance (Poisson, 6 σ);
- noisy: at least ``NOISY_SHARE`` times the median, and more than 6 σ above it;
- all crystals of a module are dead where the module's median is at most ``DEAD_SHARE`` of the
  median of all modules'.

If a module's median is below ``LEAST_MEDIAN``, nothing is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daq.folder.calibration_arrays import MASKED_DEAD, MASKED_NOISY, MASKED_NOT, CalibrationSetError
from hw.scanner.description import Scanner

Counts = npt.NDArray[np.int64]

DEAD_SHARE = 0.05
NOISY_SHARE = 5.0
LEAST_MEDIAN = 50.0
"""Counts of a module's median crystal: chance gives a crystal of 50 expected counts 2 or fewer in
10⁻¹⁸ of all cases, and 250 or more never."""

_SIGMAS = 6.0


@dataclass(frozen=True)
class MaskResult:
    """masked : (n_crystals,) u1, MASKED_DEAD or MASKED_NOISY or 0
    undecided : (n_modules,) bool, modules with too few counts to judge
    """

    masked: npt.NDArray[np.uint8]
    undecided: npt.NDArray[np.bool_]
    dead_modules: npt.NDArray[np.bool_]


def find_masked(counts: Counts, scanner: Scanner) -> MaskResult:
    """Return which crystals to leave out, from their singles (n_crystals,).

    Raises
    ------
    CalibrationSetError
        if most modules have too few counts to judge.
    """
    per_module = counts.reshape(scanner.n_modules, -1).astype(np.float64)
    median = np.median(per_module, axis=1)
    usual = float(np.median(median))
    if usual < LEAST_MEDIAN:
        raise CalibrationSetError(
            f"the crystals have {usual:g} singles (median), at least {LEAST_MEDIAN:g} are needed "
            "to tell a dead crystal: measure longer, or with more activity"
        )
    dead_modules = (median <= DEAD_SHARE * usual) & (median < usual - _SIGMAS * np.sqrt(usual))
    undecided = (median < LEAST_MEDIAN) & ~dead_modules
    middle = median[:, None]
    chance = _SIGMAS * np.sqrt(middle)
    dead = (per_module <= DEAD_SHARE * middle) & (per_module < middle - chance)
    noisy = (per_module >= NOISY_SHARE * middle) & (per_module > middle + chance)
    masked = np.where(dead, MASKED_DEAD, np.where(noisy, MASKED_NOISY, MASKED_NOT))
    masked = np.where(undecided[:, None], MASKED_NOT, masked)
    masked = np.where(dead_modules[:, None], MASKED_DEAD, masked)
    return MaskResult(masked.ravel().astype(np.uint8), undecided, dead_modules)
