"""Calibration and energy window: which singles go on to be ordered and paired.

Selection comes before ordering because it needs no order and thins the stream. The kernel has no
branch on the energy: every single is written, and the write position moves only for accepted
ones (numpy's boolean indexing and an ``if`` were both slower on mixed streams).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE
from hw.jit import Array, kernel

SPECTRUM_BINS = 256
SPECTRUM_BIN_DKEV = 40  # 4 keV: 256 bins reach 1024 keV, the last bin holds what is above


_MAX_ENERGY = 65535.0


@kernel
def select_singles(
    singles: Array,
    gain: Array,
    skew_ps: Array,
    lld_dkeV: int,
    uld_dkeV: int,
    module_of: Array,
    out: Array,
    accepted: Array,
    spectrum: Array,
) -> int:
    """Correct each single; copy those with lld ≤ energy ≤ uld (0.1 keV) to ``out``; return n.

    The energy is scaled in double precision and rounded half up, at most 65535.
    ``accepted`` (modules,) i8 and ``spectrum`` (256,) i8 are counted up; ``out`` must hold one
    record more than ``singles``.
    """
    n = 0
    for i in range(singles.shape[0]):
        single = singles[i]
        crystal = single.crystal
        energy = int(min(np.float64(single.energy) * np.float64(gain[crystal]) + 0.5, _MAX_ENERGY))
        record = out[n]
        record.time_ps = single.time_ps - skew_ps[crystal]
        record.crystal = crystal
        record.energy = energy
        record.flags = single.flags
        record.doi = single.doi
        good = int(energy >= lld_dkeV) & int(energy <= uld_dkeV)
        n += good
        accepted[module_of[crystal]] += good
        spectrum[min(energy // SPECTRUM_BIN_DKEV, SPECTRUM_BINS - 1)] += 1
    return n


def window_dkeV(lld_keV: float, uld_keV: float) -> tuple[int, int]:
    """Return the inclusive window in 0.1 keV that holds exactly the energies in [lld, uld]."""
    return int(np.ceil(round(lld_keV * 10, 6))), int(np.floor(round(uld_keV * 10, 6)))


def empty_singles(n: int) -> npt.NDArray[np.void]:
    """Return an uninitialised array of n singles."""
    return np.empty(n, dtype=SINGLE)
