"""What lines detect relative to what geometry predicts: normalisation, and live share.

    n_ab = e_a p_a · e_b p_b · G[A, B]

with crystal efficiencies e, the block profile p by the place in the block, and factors G of module
pairs, as ``tomoshibi calibrate normalisation`` finds them (docs/calibration/normalisation.md; M. E.
Casey, H. Gadagkar and D. Newport, 3D Meeting 1995; R. D. Badawi and P. K. Marsden, Phys. Med. Biol.
44 (1999) 571). Crystals that are masked or dead detect nothing: 0.

The live share of a module pair is the time in which both could detect over the time measured
(docs/live-time.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daq.folder.calibration_set import CalibrationSet
from hw.scanner.description import Scanner
from recon.lines.crystal_products import LineArrayError, PairProduct, checked, single_precision

LEAST_FACTOR = 1e-6
"""Bound on the best line: a lower value cannot occur in a scanner whose mean is 1."""

MARGIN = 1e-3
"""How far live shares may exceed 1: a run's last period may reach beyond its end."""


class Normalisation(PairProduct):
    """A ``LineFactor``; build it with :meth:`of_set`."""

    @classmethod
    def of_set(
        cls,
        efficiency: npt.ArrayLike,
        block_profile: npt.ArrayLike | None,
        geometric: npt.ArrayLike | None,
        scanner: Scanner,
        *,
        masked: npt.ArrayLike | None = None,
    ) -> Normalisation:
        """Return the normalisation of a calibration set's arrays.

        Parameters
        ----------
        efficiency : (n_crystals,); block_profile : (crystals_per_module,), empty or None for 1
        geometric : (n_modules, n_modules), empty or None for 1
        masked : (n_crystals,), not 0 where a crystal's singles are left out

        Raises
        ------
        LineArrayError
            if arrays belong to another scanner, values are not efficiencies, or no line would have
            any sensitivity.
        """
        n, m, each = scanner.n_crystals, scanner.n_modules, scanner.crystals_per_module
        crystal = checked(efficiency, (n,), name="efficiency")
        if block_profile is not None and np.size(block_profile):
            crystal = crystal * np.tile(checked(block_profile, (each,), name="block_profile"), m)
        if masked is not None:
            crystal = np.where(checked(masked, (n,), name="masked") != 0, 0.0, crystal)
        pair = np.ones((m, m))
        if geometric is not None and np.size(geometric):
            pair = checked(geometric, (m, m), name="geometric")
        pair = (pair + pair.T) / 2
        _check_alive(crystal.reshape(m, each), pair)
        return cls(single_precision(crystal), single_precision(pair))

    @property
    def dead_crystals(self) -> int:
        """Number of crystals that detect nothing."""
        return int((self.crystal == 0).sum())


def lacks_normalisation(known: CalibrationSet) -> str:
    """Return why a calibration set has no usable normalisation; "" if it has one."""
    if not known.statuses["efficiency"].any():
        return "the calibration set has no efficiencies"
    if known.has_current_normalisation:
        return ""
    return (
        f"the normalisation of {known.identity} is of format version {known.about.version}, made "
        "with an older detection model, and left out: make it again with "
        "`tomoshibi calibrate normalisation`"
    )


class LiveShare(PairProduct):
    """A ``LineFactor``; build it with :meth:`of_pairs`."""

    @classmethod
    def of_pairs(cls, pair_live_s: npt.ArrayLike, duration_s: float, scanner: Scanner) -> LiveShare:
        """Return the live share of every module pair.

        Parameters
        ----------
        pair_live_s : (n_modules, n_modules) seconds in which both modules could detect; the
            diagonal does not matter
        duration_s : the time measured, the T of the line model

        Raises
        ------
        LineArrayError
            if the array is another scanner's, the duration is 0, or live time exceeds it.
        """
        m = scanner.n_modules
        live = checked(pair_live_s, (m, m), name="pair_live_s")
        if not 0.0 < duration_s < np.inf:
            raise LineArrayError(f"duration_s is {duration_s}: live shares need a time above 0")
        share = (live + live.T) / 2 / duration_s
        if not (share > 0).any():
            raise LineArrayError("pair_live_s is 0 for all pairs: a run has some live time")
        if share.max(initial=0.0) > 1.0 + MARGIN:
            raise LineArrayError(
                f"pair_live_s reaches {live.max():.6g} s in {duration_s:.6g} s measured: both must "
                "be of the same run or frame"
            )
        ones = np.ones(scanner.n_crystals, dtype=np.float32)
        return cls(ones, single_precision(np.minimum(share, 1.0)))


def _check_alive(crystal: npt.NDArray[np.float64], pair: npt.NDArray[np.float64]) -> None:
    if not (crystal > 0).any():
        raise LineArrayError(
            "no crystal has an efficiency above 0: this normalisation would blank the scanner; "
            "calibrate again"
        )
    best = crystal.max(axis=1)
    factor = np.outer(best, best) * pair
    np.fill_diagonal(factor, 0.0)
    if factor.max() < LEAST_FACTOR:
        raise LineArrayError(
            f"the greatest factor of a line between two modules is {factor.max():.3g}: this "
            "normalisation would blank the scanner (1 is the mean); calibrate again"
        )
