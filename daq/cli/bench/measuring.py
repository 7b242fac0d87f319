"""How benchmarks measure: the median of several passes, after one that does not count."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import time
from collections.abc import Callable

from hw.cpu import cpu_model

DURATION = "ms"
"""Unit of figures for which less is better; all others are rates."""


def median_seconds(work: Callable[[], object], *, passes: int) -> float:
    """Return the median duration of ``work`` in seconds."""
    work()
    seconds = []
    for _ in range(passes):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def machine() -> dict[str, str]:
    """Return a description of the machine."""
    return {
        "cpu": cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
