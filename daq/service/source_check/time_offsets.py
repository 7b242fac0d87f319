"""Whether modules share one time: found from their coincidences alone.

For each module, the differences of its singles' times to those of the modules that may pair with it
are counted, within 1 µs, and within 1 µs of up to 4 whole periods: boards that took period 0 from
different SYNC pulses are off by whole periods. Where a peak stands out of what chance gives, its
place is the offset; where none does, nothing is said of that module but this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import I8, Mask
from hw.wire.protocol import FRAME_PERIOD_PS

REACH_PS, BIN_PS = 1_000_000, 10_000
MOST_PERIODS = 4
LEAST_PAIRS, SIGMAS = 20, 6.0
MOST_DIFFERENCES = 5_000_000


@dataclass(frozen=True)
class Offset:
    """A module's time against the others': periods and the rest, of so many pairs above chance; no
    pairs where no peak was found."""

    module: int
    periods: int = 0
    rest_ps: float = 0.0
    pairs: int = 0

    @property
    def total_ps(self) -> float:
        """How much later the module's clock says it is."""
        return self.periods * FRAME_PERIOD_PS + self.rest_ps


def time_offsets(time_ps: I8, module: npt.NDArray[np.integer], allowed: Mask) -> list[Offset]:
    """Return the offset of each module that may pair with another; of two, the second's alone.

    time_ps, module : (n,) of singles, in order of time
    allowed : (modules, modules), which may form coincidences
    """
    modules = [int(m) for m in np.flatnonzero(allowed.any(axis=1))]
    if len(modules) == 2:
        modules = modules[1:]
    return [
        _offset(m, time_ps[module == m], time_ps[np.isin(module, np.flatnonzero(allowed[m]))])
        for m in modules
    ]


def _offset(module: int, own: I8, others: I8) -> Offset:
    best = Offset(module)
    for periods in sorted(range(-MOST_PERIODS, MOST_PERIODS + 1), key=abs):
        found = _differences(own - periods * FRAME_PERIOD_PS, others)
        counts, edges = np.histogram(found, np.arange(-REACH_PS, REACH_PS + BIN_PS, BIN_PS))
        chance = max(float(np.median(counts)), len(found) / len(counts) / 4)
        place = int(np.argmax(counts))
        excess = round(float(counts[place]) - chance)
        if excess >= max(LEAST_PAIRS, SIGMAS * math.sqrt(chance), best.pairs + 1):
            near = found[np.abs(found - edges[place] - BIN_PS / 2) <= BIN_PS]
            best = Offset(module, periods, float(np.median(near)), excess)
    return best


def _differences(own: I8, others: I8) -> I8:
    """Return own − other of all pairs within reach, a bounded number of them."""
    low = np.searchsorted(others, own - REACH_PS)
    many = np.searchsorted(others, own + REACH_PS) - low
    total = np.cumsum(many)
    kept = int(np.searchsorted(total, MOST_DIFFERENCES))
    own, low, many = own[:kept], low[:kept], many[:kept]
    if not many.sum():
        return np.empty(0, np.int64)
    starts = np.repeat(low - (np.cumsum(many) - many), many)
    return np.repeat(own, many) - others[starts + np.arange(many.sum())]
