"""The live imager's record of its stream: gaps, latencies and the image rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.messages.imager import CoincidenceBatch, RunEnd, SinglesBatch

LATENCY_BINS_MS = 60_000


@dataclass(frozen=True)
class Missing:
    """Batches that never arrived, and their prompts (or windowed singles) and delayeds."""

    batches: int = 0
    prompts: int = 0
    delayeds: int = 0


class StreamLedger:
    """Follows the sequence numbers and totals of one run's batches.

    Joining a stream late is no loss, unless ``late_is_lost``: ``before`` is set and counting
    begins with the first batch seen.

    seen, total : prompts (or windowed singles) received, and sent up to now
    before, delayeds_before : sent before the stream was joined
    """

    def __init__(self, run: str, *, late_is_lost: bool = False) -> None:
        self.run = run
        self.batches_lost = 0
        self.seen = 0
        self.total = 0
        self.before = self.delayeds_before = 0
        self._next: int | None = 0 if late_is_lost else None
        self._delayeds = 0

    def take(self, batch: CoincidenceBatch | SinglesBatch) -> Missing | None:
        """Return what is missing before ``batch``; None if it is of another run or repeated."""
        if batch.run != self.run or (self._next is not None and batch.sequence < self._next):
            return None
        if isinstance(batch, SinglesBatch):
            came, before, delayeds, delayeds_before = batch.singles, batch.singles_before, 0, 0
        else:
            came, before = batch.prompts, batch.prompts_before
            delayeds, delayeds_before = batch.delayeds, batch.delayeds_before
        if self._next is None:
            if batch.sequence > 0:
                self.total, self._delayeds = before, delayeds_before
                self.before, self.delayeds_before = before, delayeds_before
            self._next = batch.sequence
        missing = Missing(
            batch.sequence - self._next,
            max(0, before - self.total),
            max(0, delayeds_before - self._delayeds),
        )
        self.batches_lost += missing.batches
        self._next = batch.sequence + 1
        self.seen += came
        self.total, self._delayeds = before + came, delayeds_before + delayeds
        return missing

    def end(self, end: RunEnd) -> Missing:
        """Return what is missing between the last batch seen and the run's end.

        Where no batch was seen at all, the stream is joined at its end.
        """
        if self._next is None:
            self.before, self.delayeds_before = end.prompts, end.delayeds
            self.total, self._delayeds = end.prompts, end.delayeds
            return Missing()
        missing = Missing(
            0, max(0, end.prompts - self.total), max(0, end.delayeds - self._delayeds)
        )
        self.total += missing.prompts
        return missing


class LatencyHistogram:
    """Latencies in bins of 1 ms, the last bin open: percentiles in bounded memory."""

    def __init__(self) -> None:
        self._bins = np.zeros(LATENCY_BINS_MS, dtype=np.int64)

    def add(self, latency_ms: float) -> None:
        """Count one latency."""
        self._bins[int(np.clip(latency_ms, 0, LATENCY_BINS_MS - 1))] += 1

    def percentile(self, percent: float) -> float:
        """Return the latency (ms, upper bin edge) that ``percent`` of all do not exceed."""
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
