"""Time of flight, stated once: sign, kernel and table.

A coincidence has ``tof_ps = t_b - t_a``. If it is positive, the photon at ``a`` was detected first
and the source lies nearer to ``a``: displaced from the LOR's centre by ``c · tof / 2`` towards
``a``. LORs run from ``start`` = a to ``end`` = b and offsets count positive towards ``end``, hence
``offset_mm = -c · tof_ps / 2``.

The kernel is a Gaussian cut at ``± n_sigmas`` and normalised there, integrated over the width of
a time bin. Over all bins of a LOR it sums to 1, so that one sensitivity image serves TOF and
non-TOF alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from hw.physics.constants import FWHM_PER_SIGMA, LIGHT_MM_PER_PS
from recon.core.grid import ReconError

HALF_C_MM_PER_PS = LIGHT_MM_PER_PS / 2
"""Time difference to displacement."""

TABLE_CELLS = 4096


class TofError(ReconError):
    """A time-of-flight model cannot be used."""


class TofTable(NamedTuple):
    """The kernel over |distance| (mm): ``weight[int(distance * cells_per_mm)]``, 0 at its end.

    ``support_mm`` = 0 means no time of flight.
    """

    support_mm: float
    cells_per_mm: float
    weight: npt.NDArray[np.float32]


NO_TOF = TofTable(0.0, 0.0, np.zeros(1, dtype=np.float32))


@dataclass(frozen=True)
class TofModel:
    """Gaussian TOF kernel: its sigma and the width of a time bin, both as mm along the LOR."""

    sigma_mm: float
    bin_mm: float
    n_sigmas: float = 3.0

    def __post_init__(self) -> None:
        for name in ("sigma_mm", "bin_mm", "n_sigmas"):
            value = getattr(self, name)
            if not 0.0 < value < 1e4:
                raise TofError(f"TOF {name} = {value:g} must lie in 0..10000")

    @classmethod
    def from_ctr(cls, ctr_fwhm_ps: float, *, bin_ps: float) -> TofModel:
        """Return the model for a coincidence time resolution (FWHM of t_b - t_a)."""
        return cls(
            sigma_mm=ctr_fwhm_ps / FWHM_PER_SIGMA * HALF_C_MM_PER_PS,
            bin_mm=bin_ps * HALF_C_MM_PER_PS,
        )

    @property
    def support_mm(self) -> float:
        """Distance from the bin's centre beyond which the kernel is zero."""
        return self.n_sigmas * self.sigma_mm + self.bin_mm / 2

    def weight(self, distance_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Probability that a source at this distance from a bin's centre is recorded in it."""
        distance = np.asarray(distance_mm, dtype=np.float64)
        upper = self._cumulative(distance + self.bin_mm / 2)
        return np.asarray(upper - self._cumulative(distance - self.bin_mm / 2))

    def _cumulative(self, distance_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        tail = ndtr(-self.n_sigmas)
        inside = (ndtr(distance_mm / self.sigma_mm) - tail) / (1.0 - 2.0 * tail)
        return np.asarray(np.clip(inside, 0.0, 1.0))

    def table(self) -> TofTable:
        """Return the kernel sampled at the centre of each of ``TABLE_CELLS`` cells."""
        cells_per_mm = TABLE_CELLS / self.support_mm
        weight = np.zeros(TABLE_CELLS + 2, dtype=np.float32)
        weight[:TABLE_CELLS] = self.weight((np.arange(TABLE_CELLS) + 0.5) / cells_per_mm)
        return TofTable(self.support_mm, cells_per_mm, weight)
