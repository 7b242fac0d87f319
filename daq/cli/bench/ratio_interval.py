"""How much slower one build is than another, with a confidence interval.

Each sitting (a fresh pair of processes) gives one logarithm of the ratio of times. For equal builds
the two of a pair are exchangeable, so these logarithms are symmetric about zero whatever the noise
of the machine; that is all that Wilcoxon's signed-rank test requires. Its interval is formed from
the means of all pairs of logarithms (Walsh averages), its estimate is their median (J. L. Hodges
and E. L. Lehmann, Ann. Math. Statist. 34 (1963) 598). A t-interval requires a normal distribution
and a bootstrap many sittings; neither is given when a shared machine stalls one sitting in ten,
while the median of Walsh averages tolerates 29 % of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class RatioInterval:
    """Time of the new build over time of the old one: estimate and confidence bounds."""

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
    """Return the largest sum of ranks whose cumulative probability is at most ``tail``."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] += ways[:-rank].copy()
    return int(np.searchsorted(np.cumsum(ways) / 2.0**n, tail, side="right")) - 1
