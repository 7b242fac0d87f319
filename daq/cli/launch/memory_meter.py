"""Resident memory and processor time of child processes over a run."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import Any

import psutil

EVERY_S = 1.0


class MemoryMeter:
    """Samples processes once a second; ``drift`` compares the run's end with its second tenth."""

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = {}
        self._cpu_s: dict[str, float] = {}
        self._next_s = 0.0
        self._began_s = time.monotonic()

    def sample(self, pids: dict[str, int]) -> None:
        """Take a sample of each process by name, if it is time to."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + EVERY_S
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                held, times = process.memory_info().rss, process.cpu_times()
                if not held:  # it was killed and has not been waited for yet
                    continue
                self._samples.setdefault(name, []).append(held / 2**20)
                self._cpu_s[name] = times.user + times.system

    def report(self) -> dict[str, dict[str, Any]]:
        """Return per process: MiB early, at the end and at the maximum, drift in %, mean cores
        used.
        """
        elapsed_s = max(time.monotonic() - self._began_s, 1e-9)
        found = {}
        for name, samples in self._samples.items():
            tenth = max(1, len(samples) // 10)
            early = statistics.median(samples[tenth : 2 * tenth] or samples)
            late = statistics.median(samples[-tenth:])
            found[name] = {
                "early_MiB": round(early, 1),
                "end_MiB": round(late, 1),
                "max_MiB": round(max(samples), 1),
                "drift_percent": round(100 * (late / early - 1), 2),
                "cores": round(self._cpu_s.get(name, 0.0) / elapsed_s, 3),
            }
        return found
