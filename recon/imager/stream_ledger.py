"""What the live imager keeps of the stream besides events: gaps, latencies, the image rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.messages.imager import CoincidenceBatch, RunEnd

LATENCY_BINS_MS = 60_000


@dataclass(frozen=True)
class Missing:
    """Prompts and delayeds of batches that never came."""

    prompts: int = 0
    delayeds: int = 0


class StreamLedger:
    """Follows the sequence numbers and totals of one run's batches.

    A stream that is joined late has lost nothing on the way: ``joined_late`` says so and counting
    begins with the first batch seen.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.batches_lost = 0
        self.joined_late = False
        self._next: int | None = None
        self._prompts = 0
        self._delayeds = 0

    def take(self, batch: CoincidenceBatch) -> Missing | None:
        """Return what is missing before ``batch``; None where it is of another run or repeated."""
        if batch.run != self.run or (self._next is not None and batch.sequence < self._next):
            return None
        if self._next is None:
            self.joined_late = batch.sequence > 0
            if self.joined_late:
                self._prompts, self._delayeds = batch.prompts_before, batch.delayeds_before
            self._next = batch.sequence
        self.batches_lost += batch.sequence - self._next
        missing = Missing(
            max(0, batch.prompts_before - self._prompts),
            max(0, batch.delayeds_before - self._delayeds),
        )
        self._next = batch.sequence + 1
        self._prompts = batch.prompts_before + batch.prompts
        self._delayeds = batch.delayeds_before + batch.delayeds
        return missing

    def end(self, end: RunEnd) -> Missing:
        """Return what is missing between the last batch seen and the run's end."""
        if self._next is None:
            return Missing()
        return Missing(max(0, end.prompts - self._prompts), max(0, end.delayeds - self._delayeds))


class LatencyHistogram:
    """Latencies in bins of 1 ms, the last bin open: percentiles in bounded memory."""

    def __init__(self) -> None:
        self._bins = np.zeros(LATENCY_BINS_MS, dtype=np.int64)

    def add(self, latency_ms: float) -> None:
        """Count one latency."""
        self._bins[int(np.clip(latency_ms, 0, LATENCY_BINS_MS - 1))] += 1

    def percentile(self, percent: float) -> float:
        """Return the latency (ms, upper edge of its bin) that ``percent`` do not exceed."""
        total = int(self._bins.sum())
        if not total:
            return 0.0
        rank = max(1, int(np.ceil(total * percent / 100)))
        return float(np.searchsorted(np.cumsum(self._bins), rank) + 1)


class RateMeter:
    """Mean rate of images from the first to the newest."""

    def __init__(self) -> None:
        self.count = 0
        self._first_s = self._last_s = 0.0

    def add(self, time_s: float) -> None:
        """Count one image published at ``time_s``."""
        if not self.count:
            self._first_s = time_s
        self.count += 1
        self._last_s = time_s

    @property
    def rate_Hz(self) -> float:
        """Images per second, 0 before the second one."""
        span = self._last_s - self._first_s
        return (self.count - 1) / span if span > 0 else 0.0
