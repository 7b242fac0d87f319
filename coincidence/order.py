"""Time order: singles that came in any order leave in the order of time, up to a watermark.

Promise: every single pushed leaves exactly once; the output is the stable sort by (time, crystal)
of all that was pushed, whatever the batching, provided nothing earlier than a watermark is pushed
after it (the caller counts such singles as late). Equal times are common (a tick is 19.5 ps);
ordering them by crystal makes the outcome independent of which module's frames came first.

Method: stable counting sort into time buckets of about one single each, then insertion within
buckets; linear in the number of singles whatever their disorder. Where most singles crowd into few
buckets (a straggler hours away stretches them all) a merge sort takes over: n·log n at worst.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.select import empty_singles
from hw.jit import Array, Record, kernel

_INITIAL_CAPACITY = 1 << 16
_CROWDED = 64  # mean of the square of a bucket's occupancy; a steady stream has about 3


@kernel
def take_ready(pending: Array, n_pending: int, horizon_ps: int, ready: Array) -> tuple[int, int]:
    """Move singles before ``horizon_ps`` to ``ready``, close ranks; return (n_ready, n_left)."""
    n_ready = 0
    n_left = 0
    for i in range(n_pending):
        if pending[i].time_ps < horizon_ps:
            ready[n_ready] = pending[i]
            n_ready += 1
        else:
            pending[n_left] = pending[i]
            n_left += 1
    return n_ready, n_left


@kernel
def sort_by_time(singles: Array, n: int, starts: Array, out: Array) -> None:
    """Stable sort of ``singles[:n]`` by (time, crystal) into ``out``.

    ``singles`` is used up; ``starts`` : scratch (≥ n + 2,) i8; buckets are 2**shift ps wide so
    that there are ≤ n.
    """
    if n == 0:
        return
    first = singles[0].time_ps
    last = first
    for i in range(n):
        first = min(first, singles[i].time_ps)
        last = max(last, singles[i].time_ps)
    shift = 0
    while ((last - first) >> shift) >= n:
        shift += 1
    buckets = ((last - first) >> shift) + 1
    starts[: buckets + 1] = 0
    for i in range(n):
        starts[((singles[i].time_ps - first) >> shift) + 1] += 1
    crowding = 0
    for b in range(buckets):
        crowding += starts[b + 1] * starts[b + 1]
        starts[b + 1] += starts[b]
    for i in range(n):
        b = (singles[i].time_ps - first) >> shift
        out[starts[b]] = singles[i]
        starts[b] += 1
    if crowding > _CROWDED * n:
        _merge_sort(out, singles, n)
    else:
        _insertion_sort(out, n)


@kernel
def _is_before(a: Record, b: Record) -> bool:
    """Whether a must leave before b, by time and then crystal."""
    if a.time_ps != b.time_ps:
        return bool(a.time_ps < b.time_ps)
    return bool(a.crystal < b.crystal)


@kernel
def _merge_sort(singles: Array, spare: Array, n: int) -> None:
    """Sort in place, stably, by merging runs of doubling length; ``spare`` (≥ n,) is scratch."""
    source, target = singles, spare
    passes = 0
    width = 1
    while width < n:
        for left in range(0, n, 2 * width):
            middle, right = min(left + width, n), min(left + 2 * width, n)
            i, j = left, middle
            for k in range(left, right):
                if i < middle and (j >= right or not _is_before(source[j], source[i])):
                    target[k] = source[i]
                    i += 1
                else:
                    target[k] = source[j]
                    j += 1
        source, target = target, source
        passes += 1
        width *= 2
    if passes % 2:
        for k in range(n):
            singles[k] = spare[k]


@kernel
def _insertion_sort(singles: Array, n: int) -> None:
    """Finish a nearly sorted array in place, stably: singles move only within their bucket."""
    for i in range(1, n):
        if not _is_before(singles[i], singles[i - 1]):
            continue
        j = i
        time_ps, crystal, energy = singles[i].time_ps, singles[i].crystal, singles[i].energy
        flags, doi = singles[i].flags, singles[i].doi
        while j > 0 and (
            singles[j - 1].time_ps > time_ps
            or (singles[j - 1].time_ps == time_ps and singles[j - 1].crystal > crystal)
        ):
            singles[j] = singles[j - 1]
            j -= 1
        singles[j].time_ps = time_ps
        singles[j].crystal, singles[j].energy = crystal, energy
        singles[j].flags, singles[j].doi = flags, doi


class TimeOrder:
    """Holds the singles that are not final yet and releases them in order."""

    def __init__(self) -> None:
        self._pending = empty_singles(_INITIAL_CAPACITY)
        self._ready = empty_singles(_INITIAL_CAPACITY)
        self._sorted = empty_singles(_INITIAL_CAPACITY)
        self._starts = np.empty(_INITIAL_CAPACITY + 2, dtype=np.int64)
        self._held = 0

    @property
    def held(self) -> int:
        """How many singles wait for the watermark."""
        return self._held

    def free_space(self, n: int) -> npt.NDArray[np.void]:
        """Return where the next ``n`` singles (and one scratch record) may be written."""
        if self._held + n + 1 > len(self._pending):
            self._grow(2 * (self._held + n + 1))
        return self._pending[self._held : self._held + n + 1]

    def release(self, n_new: int, horizon_ps: int) -> npt.NDArray[np.void]:
        """Take in ``n_new`` singles written to :meth:`free_space`; return those now final.

        Returns
        -------
        (k,) SINGLE in order of time, all before ``horizon_ps``; valid until the next call.
        """
        self._held += n_new
        count, self._held = take_ready(self._pending, self._held, horizon_ps, self._ready)
        sort_by_time(self._ready, count, self._starts, self._sorted)
        return self._sorted[:count]

    def _grow(self, capacity: int) -> None:
        pending = empty_singles(capacity)
        pending[: self._held] = self._pending[: self._held]
        self._pending = pending
        self._ready, self._sorted = empty_singles(capacity), empty_singles(capacity)
        self._starts = np.empty(capacity + 2, dtype=np.int64)
