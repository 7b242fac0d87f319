"""How benchmarks measure: the median of several passes, after one that does not count."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

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
        "cpu": _cpu_name(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    lines = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return lines[0] if lines else "unknown"
