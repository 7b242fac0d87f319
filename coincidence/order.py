"""Time order: singles arrive in any order and leave in order of time, up to a watermark.

Promise: every single pushed leaves exactly once; the output is the stable sort by (time, crystal)
of everything pushed, whatever the batching, provided nothing earlier than a watermark is pushed
after it (the caller counts such singles as late). Equal times are common (a tick is 19.5 ps);
ordering them by crystal makes the result independent of which module's frames came first.

Method: stable counting sort into time buckets, one or two per single, then insertion within
buckets; linear in the number of singles, whatever their disorder. If most singles crowd into few
buckets (a straggler hours away stretches them all), a merge sort takes over: n·log n at worst.
"""

from __future__ import annotations

import numpy as np

from coincidence.events import CRYSTAL_FIELD, SINGLE, Rotation, Words, as_words
from hw.arrays import Array, Records
from hw.jit import kernel

_CROWDED = 64  # mean of the square of a bucket's occupancy per single; a steady stream has about 1
_NEVER = np.int64(2**63 - 1)
_ONE = np.uint64(1)
_STEADY_PS = 1 << 40
"""Horizons that move on by more than a second: times are looked at before buckets are laid out."""


@kernel
def range_before(singles: Array, horizon_ps: int) -> tuple[int, int]:
    """Return the first and last time of those singles (n, 2) i8 that lie before the horizon."""
    first, last = _NEVER, -_NEVER
    for i in range(singles.shape[0]):
        time_ps = singles[i, 0]
        if time_ps < horizon_ps:
            first, last = min(first, time_ps), max(last, time_ps)
    return int(first), int(last)


@kernel
def count_buckets(
    singles: Array, low_ps: int, horizon_ps: int, shift: int, buckets: int, starts: Array
) -> None:
    """Count the singles of each bucket into ``starts``; those not ready into the last one.

    Parameters
    ----------
    singles : (n, 2) i8, singles as words
    low_ps : where the first bucket begins
    shift : buckets are 2**shift ps wide
    starts : (≥ buckets + 1,) u4, added to
    """
    # unsigned indices throughout: a signed one may count from the end, which costs a test each
    width, beyond, last = np.uint64(shift), np.uint64(buckets), np.uint64(buckets - 1)
    for i in range(singles.shape[0]):
        time_ps = singles[i, 0]
        bucket = min(np.uint64(max(time_ps - low_ps, 0)) >> width, last)
        starts[bucket if time_ps < horizon_ps else beyond] += np.uint32(1)


@kernel
def lay_out(starts: Array, buckets: int) -> tuple[int, int]:
    """Turn counts into places; return (number of ready singles, how crowded the buckets are)."""
    total = np.int64(0)
    crowding = np.int64(0)
    for b in range(buckets + 1):
        count = np.int64(starts[b])
        if count > _CROWDED and b < buckets:
            crowding += count * count
        starts[b] = total
        total += count
    return int(starts[buckets]), int(crowding)


@kernel
def scatter(
    singles: Array,
    low_ps: int,
    horizon_ps: int,
    shift: int,
    buckets: int,
    starts: Array,
    out: Array,
) -> None:
    """Copy each single to the next place of its bucket.

    Parameters
    ----------
    singles, low_ps, horizon_ps, shift, buckets : as for ``count_buckets``
    starts : next place of each bucket, moved on
    out : (≥ n, 2) i8
    """
    width, beyond, last = np.uint64(shift), np.uint64(buckets), np.uint64(buckets - 1)
    for i in range(singles.shape[0]):
        time_ps = singles[i, 0]
        bucket = min(np.uint64(max(time_ps - low_ps, 0)) >> width, last)
        bucket = bucket if time_ps < horizon_ps else beyond
        place = starts[bucket]
        starts[bucket] = place + np.uint32(1)
        out[place, 0] = time_ps
        out[place, 1] = singles[i, 1]


@kernel
def sort_ready(
    held: Array,
    new: Array,
    low_ps: int,
    high_ps: int,
    horizon_ps: int,
    starts: Array,
    out: Array,
    rest: Array,
) -> int:
    """Sort singles before the horizon into ``out``, move the others to ``rest``.

    Parameters
    ----------
    held, new : (n, 2) and (m, 2) i8, singles as words; those held came earlier
    low_ps, high_ps : range of those before the horizon, for laying out the buckets; singles outside
        it are sorted as well, only more slowly
    starts : scratch (≥ 2·(n + m) + 2,) u4; buckets are 2**shift ps wide, so that there are one to
        two per single
    out, rest : (≥ n + m, 2) i8

    Returns
    -------
    number of singles in ``out``; ``rest`` has the others
    """
    n = held.shape[0] + new.shape[0]
    if n == 0:
        return 0
    shift = 0
    while ((high_ps - low_ps) >> shift) >= 2 * n:
        shift += 1
    buckets = ((high_ps - low_ps) >> shift) + 1  # one more takes what is not ready
    starts[: buckets + 1] = 0
    count_buckets(held, low_ps, horizon_ps, shift, buckets, starts)
    count_buckets(new, low_ps, horizon_ps, shift, buckets, starts)
    ready, crowding = lay_out(starts, buckets)
    scatter(held, low_ps, horizon_ps, shift, buckets, starts, out)
    scatter(new, low_ps, horizon_ps, shift, buckets, starts, out)
    copy_words(out[ready:n], rest)
    if crowding > _CROWDED * ready:
        merge_sort(out, np.empty((ready, 2), np.int64), ready)
    else:
        insertion_sort(out, ready)
    return ready


@kernel
def copy_words(words: Array, out: Array) -> None:
    """Copy (n, 2) i8; assigned as a slice, numba's words for arrays of unlike shape cost 2 s."""
    for i in range(np.uint64(words.shape[0])):
        out[i, 0], out[i, 1] = words[i, 0], words[i, 1]


@kernel
def insertion_sort(singles: Array, n: int) -> None:
    """Finish a nearly sorted array in place, stably: singles move only within their bucket."""
    before_ps = -_NEVER
    for i in range(np.uint64(n)):
        time_ps = singles[i, 0]
        if before_ps < time_ps:
            before_ps = time_ps
            continue
        word = singles[i, 1]
        crystal = word & CRYSTAL_FIELD
        j = np.uint64(i)
        while j > 0 and (
            singles[j - _ONE, 0] > time_ps
            or (
                singles[j - _ONE, 0] == time_ps and (singles[j - _ONE, 1] & CRYSTAL_FIELD) > crystal
            )
        ):
            singles[j, 0], singles[j, 1] = singles[j - _ONE, 0], singles[j - _ONE, 1]
            j -= _ONE
        singles[j, 0], singles[j, 1] = time_ps, word


@kernel
def is_before(a: Array, i: int, j: int) -> bool:
    """Whether single i must leave before single j, by time, then crystal."""
    if a[i, 0] != a[j, 0]:
        return bool(a[i, 0] < a[j, 0])
    return bool((a[i, 1] & CRYSTAL_FIELD) < (a[j, 1] & CRYSTAL_FIELD))


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
        copy_words(spare[:n], singles)


class TimeOrder:
    """Holds singles that are not yet final and releases them in order.

    depth : number of results that stay valid at a time
    """

    def __init__(self, *, depth: int = 1) -> None:
        self._rests = Rotation(SINGLE, depth=2)
        self._ordered = Rotation(SINGLE, depth=depth)
        self._starts = Rotation(np.uint32, depth=1)
        self._held = as_words(self._rests.next(0))
        self._final_ps = 0

    @property
    def held(self) -> int:
        """Number of singles waiting for the watermark."""
        return len(self._held)

    def release(self, new: Records, horizon_ps: int) -> Records:
        """Take in singles (in any order); return those that are now final.

        Returns
        -------
        (k,) SINGLE in order of time, all before ``horizon_ps``; valid for ``depth`` calls.
        """
        words = as_words(new)
        n = len(self._held) + len(words)
        low_ps, high_ps = self._range(words, horizon_ps)
        ordered, rest = self._ordered.next(n), self._rests.next(n)
        ready: int = sort_ready(
            self._held, words, low_ps, high_ps, horizon_ps, self._starts.next(2 * n + 2),
            as_words(ordered), as_words(rest),
        )  # fmt: skip
        self._held = as_words(rest[: n - ready])
        self._final_ps = max(self._final_ps, horizon_ps)
        return ordered[:ready]

    def _range(self, new: Words, horizon_ps: int) -> tuple[int, int]:
        """Return the time range of singles to sort: since the last horizon, in a steady stream."""
        low_ps, high_ps = self._final_ps, horizon_ps - 1
        if not 0 <= high_ps - low_ps < _STEADY_PS:
            ranges = [range_before(words, horizon_ps) for words in (self._held, new)]
            low_ps = min(first for first, _ in ranges)
            high_ps = max(last for _, last in ranges)
        return (low_ps, high_ps) if low_ps <= high_ps else (0, 0)
