"""How kernels read singles and write coincidences: the records of ``events`` as 64-bit words."""

from __future__ import annotations

import numpy as np

from coincidence.events import BYTE_FIELD, CRYSTAL_FIELD, DOI_SHIFT, ENERGY_FIELD, ENERGY_SHIFT
from hw.arrays import Array
from hw.jit import kernel


@kernel
def crystal_of(s: Array, i: int) -> int:
    """Return the crystal of single i of (n, 2) i8."""
    return s[np.uint64(i), 1] & CRYSTAL_FIELD


@kernel
def energy_of(s: Array, i: int) -> int:
    """Return the energy of single i in 0.1 keV."""
    return (s[np.uint64(i), 1] >> ENERGY_SHIFT) & ENERGY_FIELD


@kernel
def doi_of(s: Array, i: int) -> int:
    """Return the depth bin of single i."""
    return (s[np.uint64(i), 1] >> DOI_SHIFT) & BYTE_FIELD


@kernel
def write_pair(
    out: Array, n: int, s: Array, early: int, late: int, delay_ps: int, flags: int, window: int
) -> None:
    """Write a coincidence of two singles to ``out`` (≥ n + 1, 4) i8, COINCIDENCE as words: lower
    crystal first, tof = t_b − t_a with the delay removed from the later single's time.

    s : (singles, 2) i8, singles as words; ``early`` and ``late`` are places in it
    delay_ps : of the delayed window, 0 for prompts; ``flags``, ``window`` : as in COINCIDENCE
    """
    tof_ps = s[late, 0] - delay_ps - s[early, 0]
    a, b = early, late
    if crystal_of(s, early) >= crystal_of(s, late):
        a, b = late, early
        tof_ps = -tof_ps
    out[n, 0] = s[early, 0]
    out[n, 1] = crystal_of(s, a) | (crystal_of(s, b) << 32)
    out[n, 2] = (tof_ps & CRYSTAL_FIELD) | (energy_of(s, a) << 32) | (energy_of(s, b) << 48)
    out[n, 3] = flags | (doi_of(s, a) << 8) | (doi_of(s, b) << 16) | (window << 24)


@kernel
def write_triple(out: Array, n: int, s: Array, i: int, j: int, k: int, pairs: int) -> None:
    """Write three singles, in order of time, to ``out`` (≥ n + 1, 5) i8, TRIPLE as words.

    s : (singles, 2) i8, singles as words; ``i``, ``j``, ``k`` : places in it
    pairs : bits as in TRIPLE
    """
    out[n, 0] = s[i, 0]
    out[n, 1] = crystal_of(s, i) | (crystal_of(s, j) << 32)
    out[n, 2] = crystal_of(s, k) | ((s[j, 0] - s[i, 0]) << 32)
    out[n, 3] = (s[k, 0] - s[i, 0]) | (energy_of(s, i) << 32) | (energy_of(s, j) << 48)
    out[n, 4] = (
        energy_of(s, k) | (doi_of(s, i) << 16) | (doi_of(s, j) << 24) | (doi_of(s, k) << 32)
        | (pairs << 40)
    )  # fmt: skip
