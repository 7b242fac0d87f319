"""Time order: singles that came in any order leave in the order of time, up to a watermark.

Promise: every single pushed leaves exactly once; the output is the stable sort by (time, crystal)
of all that was pushed, whatever the batching, provided nothing earlier than a watermark is pushed
after it (the caller counts such singles as late). Equal times are common (a tick is 19.5 ps);
ordering them by crystal makes the outcome independent of which module's frames came first.

Method: stable counting sort into time buckets, three for each single, then insertion within
buckets; linear in the number of singles whatever their disorder. Where most singles crowd into few
buckets (a straggler hours away stretches them all) a merge sort takes over: n·log n at worst.
"""

from __future__ import annotations

import numpy as np

from coincidence.buffers import Records, Rotation, as_words
from coincidence.events import SINGLE
from hw.jit import Array, kernel

_BUCKETS_PER_SINGLE = 3
_CROWDED = 64  # mean of the square of a bucket's occupancy per single; a steady stream has about 1
_CRYSTAL_FIELD = 0xFFFFFFFF
_NEVER = np.int64(2**63 - 1)


@kernel
def range_before(pending: Array, n: int, horizon_ps: int) -> tuple[int, int, int]:
    """Return (how many of ``pending[:n]`` lie before the horizon, their first and last time)."""
    count = 0
    first, last = _NEVER, -_NEVER
    for i in range(n):
        time_ps = pending[i, 0]
        ready = time_ps < horizon_ps
        count += np.int64(ready)
        first = min(first, time_ps)
        last = max(last, time_ps if ready else -_NEVER)
    return count, int(first), int(last)


@kernel
def sort_ready(
    pending: Array, n: int, horizon_ps: int, starts: Array, out: Array, rest: Array
) -> int:
    """Sort those of ``pending[:n]`` before the horizon into ``out``, move the others to ``rest``.

    Parameters
    ----------
    pending, out, rest : (≥ n, 2) i8, singles as words; ``out`` may be used up beyond the result
    starts : scratch (≥ 3n + 3,) i8; buckets are 2**shift ps wide so that there are ≤ 3n + 1

    Returns
    -------
    how many are in ``out``; ``rest`` has the other n less that
    """
    ready, first, last = range_before(pending, n, horizon_ps)
    if ready == 0:
        rest[:n] = pending[:n]
        return 0
    shift = 0
    while ((last - first) >> shift) >= _BUCKETS_PER_SINGLE * n:
        shift += 1
    buckets = ((last - first) >> shift) + 1  # one more holds what is not ready
    starts[: buckets + 2] = 0
    for i in range(n):
        time_ps = pending[i, 0]
        bucket = (time_ps - first) >> shift
        starts[(bucket if time_ps < horizon_ps else buckets) + 1] += 1
    crowding = 0
    total = 0
    for b in range(1, buckets + 2):
        total += starts[b]
        if starts[b] > _CROWDED and b <= buckets:
            crowding += starts[b] * starts[b]
        starts[b] = total
    for i in range(n):
        time_ps = pending[i, 0]
        bucket = (time_ps - first) >> shift
        bucket = bucket if time_ps < horizon_ps else buckets
        place = starts[bucket]
        starts[bucket] = place + 1
        out[place, 0] = time_ps
        out[place, 1] = pending[i, 1]
    for i in range(ready, n):
        rest[i - ready, 0], rest[i - ready, 1] = out[i, 0], out[i, 1]
    if crowding > _CROWDED * ready:
        merge_sort(out, pending, ready)
    else:
        insertion_sort(out, ready)
    return ready


@kernel
def insertion_sort(singles: Array, n: int) -> None:
    """Finish a nearly sorted array in place, stably: singles move only within their bucket."""
    for i in range(1, n):
        time_ps = singles[i, 0]
        if singles[i - 1, 0] < time_ps:
            continue
        word = singles[i, 1]
        crystal = word & _CRYSTAL_FIELD
        j = i
        while j > 0 and (
            singles[j - 1, 0] > time_ps
            or (singles[j - 1, 0] == time_ps and (singles[j - 1, 1] & _CRYSTAL_FIELD) > crystal)
        ):
            singles[j, 0], singles[j, 1] = singles[j - 1, 0], singles[j - 1, 1]
            j -= 1
        singles[j, 0], singles[j, 1] = time_ps, word


@kernel
def is_before(a: Array, i: int, j: int) -> bool:
    """Whether single i must leave before single j, by time and then crystal."""
    if a[i, 0] != a[j, 0]:
        return bool(a[i, 0] < a[j, 0])
    return bool((a[i, 1] & _CRYSTAL_FIELD) < (a[j, 1] & _CRYSTAL_FIELD))


@kernel
def merge_sort(singles: Array, spare: Array, n: int) -> None:
    """Sort in place, stably, by merging runs of doubling length; ``spare`` (≥ n, 2) is scratch."""
    source, target = singles, spare
    passes = 0
    width = 1
    while width < n:
        for left in range(0, n, 2 * width):
            middle, right = min(left + width, n), min(left + 2 * width, n)
            i, j = left, middle
            for k in range(left, right):
                if i < middle and (j >= right or not is_before(source, j, i)):
                    target[k, 0], target[k, 1] = source[i, 0], source[i, 1]
                    i += 1
                else:
                    target[k, 0], target[k, 1] = source[j, 0], source[j, 1]
                    j += 1
        source, target = target, source
        passes += 1
        width *= 2
    if passes % 2:
        singles[:n] = spare[:n]


class TimeOrder:
    """Holds the singles that are not final yet and releases them in order.

    depth : how many results stay valid at a time
    """

    def __init__(self, *, depth: int = 1) -> None:
        self._pending = Rotation(SINGLE, depth=2)
        self._ordered = Rotation(SINGLE, depth=depth)
        self._starts = Rotation(np.int64, depth=1)
        self._rest = self._pending.next(0)
        self._held = 0

    @property
    def held(self) -> int:
        """How many singles wait for the watermark."""
        return self._held

    def release(self, new: Records, horizon_ps: int) -> Records:
        """Take in singles (in any order); return those now final.

        Returns
        -------
        (k,) SINGLE in order of time, all before ``horizon_ps``; valid for ``depth`` calls.
        """
        n = self._held + len(new)
        pending = as_words(self._room(n))
        pending[self._held : n] = as_words(new)
        ordered, rest = self._ordered.next(n), self._pending.next(n)
        starts = self._starts.next(_BUCKETS_PER_SINGLE * n + 3)
        ready: int = sort_ready(pending, n, horizon_ps, starts, as_words(ordered), as_words(rest))
        self._rest, self._held = rest, n - ready
        return ordered[:ready]

    def _room(self, n: int) -> Records:
        """Return what is held in an array with room for n."""
        if len(self._rest) < n:
            larger = np.empty(n + n // 2, SINGLE)
            as_words(larger)[: self._held] = as_words(self._rest)[: self._held]
            self._rest = larger
        return self._rest
