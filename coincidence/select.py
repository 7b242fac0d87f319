"""Calibration and energy window: which singles go on to be ordered and paired.

Selection comes before ordering because it needs no order and thins the stream. The kernel has no
branch on the energy: every single is written, and the write position moves only for accepted
ones (numpy's boolean indexing and an ``if`` were both slower on mixed streams).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE
from hw.jit import Array, kernel

SPECTRUM_BINS = 256
SPECTRUM_BIN_DKEV = 40  # 4 keV: 256 bins reach 1024 keV, the last bin holds what is above


_MAX_ENERGY = 65535.0


class CalibrationError(ValueError):
    """Corrections that cannot be applied; the message names the crystal, value and bound."""


@dataclass(frozen=True)
class Calibration:
    """Per-crystal corrections: energy × gain, time − skew.

    gain : (n_crystals,) f4, finite and positive; skew_ps : (n_crystals,) i4
    """

    gain: npt.NDArray[np.float32]
    skew_ps: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        bad = np.flatnonzero(~(np.isfinite(self.gain) & (self.gain > 0)))
        if len(bad):
            raise CalibrationError(
                f"gain of crystal {bad[0]} is {self.gain[bad[0]]}: it must be finite and above 0 "
                f"({len(bad)} crystals are wrong); calibrate again"
            )

    def check_fits(self, n_crystals: int) -> None:
        """Raise CalibrationError unless there is one value for each of the scanner's crystals."""
        if not len(self.gain) == len(self.skew_ps) == n_crystals:
            raise CalibrationError(
                f"calibration has {len(self.gain)} gains and {len(self.skew_ps)} skews, the "
                f"scanner has {n_crystals} crystals: it belongs to another scanner"
            )

    @property
    def margin_ps(self) -> int:
        """How much earlier a corrected time may be than a raw one: the watermark waits for it."""
        return int(max(0, self.skew_ps.max(initial=0)))


def no_calibration(n_crystals: int) -> Calibration:
    """Return the identity: gain 1, skew 0."""
    return Calibration(np.ones(n_crystals, np.float32), np.zeros(n_crystals, np.int32))


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
