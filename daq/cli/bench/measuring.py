"""How benchmarks measure: the median of several passes, after one that does not count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median_seconds(work: Callable[[], object], *, passes: int) -> float:
    """Return the median duration of ``work`` in seconds."""
    work()
    seconds = []
    for _ in range(passes):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
