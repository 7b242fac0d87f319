"""Tells a module that triggers far more often than the others say it should: noise, interference.

Each module's singles since the last look are compared with its own before, in units of what all
modules together did: a bolus raises all of them and is no alarm. Not for SPECT, where a detector
that turns comes near to the source and away again, nor below three modules.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daq.service.module_watch import named
from hw.messages.codec import Severity

LEAST_S = 0.5
LEAST_COUNTS = 100
LEAST_MODULES = 3
RATIO, SIGMAS = 2.0, 6.0
"""A module's rate is alarming where it is more than RATIO times, and by more than SIGMAS of
counting statistics, what it was before, against the median module; and no more below √RATIO."""

Counts = npt.NDArray[np.int64]


class RateWatch:
    """Watches the modules' rates in one run."""

    def __init__(self) -> None:
        self._last: Counts | None = None
        self._last_ps = 0
        self._usual: Counts = np.zeros(0, np.int64)
        self._told: frozenset[int] = frozenset()

    def look(self, singles: Counts, detector_ps: int) -> list[tuple[Severity, str]]:
        """Return what should be told now.

        singles : (modules,) i8, of the run up to ``detector_ps``
        """
        if len(singles) < LEAST_MODULES or detector_ps < self._last_ps + LEAST_S * 1e12:
            return []
        if self._last is None:
            self._last, self._last_ps = singles.copy(), detector_ps
            self._usual = singles.copy()
            return []
        new = singles - self._last
        self._last, self._last_ps = singles.copy(), detector_ps
        ratio, sigma = _against_before(new, self._usual)
        loud = (ratio > RATIO) & (np.log(ratio) > SIGMAS * sigma)
        calm = ratio < np.sqrt(RATIO)
        now = frozenset(np.flatnonzero(loud).tolist())
        now |= {m for m in self._told if not calm[m]}
        if not now:
            self._usual += new
        return self._tell(now, ratio)

    def _tell(
        self, now: frozenset[int], ratio: npt.NDArray[np.float64]
    ) -> list[tuple[Severity, str]]:
        risen, fallen = now - self._told, self._told - now
        self._told = now
        entries: list[tuple[Severity, str]] = []
        if risen:
            most = max(float(ratio[m]) for m in risen)
            words = f"{named(risen)} triggers up to {most:.1f} times as often as before: noise?"
            entries.append(("alarm", words))
        if fallen:
            entries.append(("info", f"{named(fallen)} triggers as often as before again"))
        return entries


def _against_before(
    new: Counts, usual: Counts
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each module's rate over its usual one against the median module's, and the standard
    deviation of its logarithm; 1 where there are too few counts."""
    enough = (usual >= LEAST_COUNTS) & (new > 0)
    ratio, sigma = np.ones(len(new)), np.ones(len(new))
    if enough.sum() < LEAST_MODULES:
        return ratio, sigma
    share = new[enough] / usual[enough]
    ratio[enough] = share / np.median(share)
    sigma[enough] = np.sqrt(1 / new[enough] + 1 / usual[enough])
    return ratio, sigma
