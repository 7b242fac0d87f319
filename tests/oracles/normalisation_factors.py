"""The normalisation of crystals and crystal pairs, the slow and obvious way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daq.calibration.normalisation_fit import NormalisationResult
from hw.arrays import F8


def crystal_factor(found: NormalisationResult) -> F8:
    """Return ε = e·b, (n_crystals,)."""
    modules = len(found.efficiency) // len(found.block_profile)
    return found.efficiency * np.tile(found.block_profile, modules)


def pair_factor(
    crystal_a: npt.NDArray[np.integer],
    crystal_b: npt.NDArray[np.integer],
    *,
    efficiency: npt.NDArray[np.floating],
    block_profile: npt.NDArray[np.floating],
    geometric: npt.NDArray[np.floating],
) -> F8:
    """Return e_a b_a e_b b_b g_MN of crystal pairs, (k,) f8: measured over modelled sensitivity.

    An empty ``block_profile`` or ``geometric`` means 1.
    """
    each = len(block_profile) or (len(efficiency) // max(len(geometric), 1))
    factor = efficiency[crystal_a].astype(np.float64) * efficiency[crystal_b]
    if len(block_profile):
        factor *= block_profile[crystal_a % each] * block_profile[crystal_b % each]
    if len(geometric):
        factor *= geometric[crystal_a // each, crystal_b // each]
    return factor
