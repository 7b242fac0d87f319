"""How much slower one build is than another, and how sure that is.

Of each sitting (a fresh pair of processes) there is one logarithm of the ratio of times. Under
equal builds the two of a pair are exchangeable, so that these logarithms are symmetric about zero
whatever the noise of the machine looks like; and that is all that Wilcoxon's signed-rank test
asks. Its interval is made of the means of all pairs of logarithms (Walsh averages), its estimate
is their median (J. L. Hodges and E. L. Lehmann, Ann. Math. Statist. 34 (1963) 598). A t-interval
asks for a normal distribution and a bootstrap for many sittings; neither is given where a shared
machine stalls one sitting in ten, and the median of Walsh averages bears 29 % of such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class RatioInterval:
    """Time of the new build over time of the old one: estimate and bounds of confidence."""

    ratio: float
    low: float
    high: float


def ratio_interval(logs: Sequence[float], *, confidence: float = CONFIDENCE) -> RatioInterval:
    """Return the estimate and the two-sided interval of the ratio whose logarithms are given.

    Raises
    ------
    ValueError : too few for such an interval
    """
    order = _largest_rank(len(logs), (1.0 - confidence) / 2)
    if order < 0:
        raise ValueError(f"{len(logs)} sittings are too few for an interval of {confidence:.0%}")
    first, second = np.triu_indices(len(logs))
    values = np.asarray(logs, dtype=np.float64)
    walsh = np.sort((values[first] + values[second]) / 2)
    low, high = walsh[order], walsh[len(walsh) - 1 - order]
    return RatioInterval(*(float(np.exp(x)) for x in (np.median(walsh), low, high)))


def _largest_rank(n: int, tail: float) -> int:
    """Return the largest sum of ranks that comes, with all smaller ones, with at most ``tail``."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] += ways[:-rank].copy()
    return int(np.searchsorted(np.cumsum(ways) / 2.0**n, tail, side="right")) - 1
