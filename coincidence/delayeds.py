"""The delayed windows: pairs too far apart in time to be anything but randoms.

Few singles have another one a delay later. How many singles lie within the delay is known on
average, so a first pass compares each opener with the few places where a partner would be, without
a branch; only where one of them fits, or the window lies elsewhere, are times searched. (Walking
two indices through the stream took 1.6 times as long: each step is a branch that cannot be
foretold. A bitmap of occupied time cells was no faster.)
"""

from __future__ import annotations

import numpy as np

from coincidence.events import FLAG_DELAYED
from coincidence.records import crystal_of, write_pair
from hw.jit import Array, kernel

DELAYEDS, START, NEEDED = range(3)
"""Places in a result of :func:`pair_delayeds`."""

_LOOKED_AT = 4  # places compared at once


@kernel
def first_at(s: Array, begin: int, time_ps: int) -> int:
    """Return the first index from ``begin`` whose time is not before ``time_ps`` (n: none)."""
    n = s.shape[0]
    step = 1
    high = begin
    while high < n and s[high, 0] < time_ps:
        begin = high + 1
        high += step
        step *= 2
    high = min(high, n)
    while begin < high:
        middle = (begin + high) >> 1
        if s[middle, 0] < time_ps:
            begin = middle + 1
        else:
            high = middle
    return begin


@kernel
def mark_likely(
    s: Array, start: int, end: int, offset_ps: int, width_ps: int, skip: int, likely: Array
) -> None:
    """Mark the openers [start, end) that may have a partner in offset … offset + width after them.

    Compared are the singles skip + 1 … skip + 4 places later; an opener is marked, too, where the
    window may reach beyond these. ``likely`` : (≥ end,) u1
    """
    stop = max(start, min(end, s.shape[0] - skip - _LOOKED_AT))
    width = np.uint64(width_ps)
    for i in range(start, stop):
        opens = s[i, 0] + offset_ps
        j = np.uint64(i) + np.uint64(skip)  # an unsigned index cannot count from the end
        fits = np.int64(np.uint64(s[j + np.uint64(1), 0] - opens) <= width)
        fits |= np.int64(np.uint64(s[j + np.uint64(2), 0] - opens) <= width)
        fits |= np.int64(np.uint64(s[j + np.uint64(3), 0] - opens) <= width)
        fits |= np.int64(s[j + np.uint64(_LOOKED_AT), 0] - opens <= width_ps)
        fits |= np.int64(s[j, 0] >= opens)
        likely[i] |= np.uint8(fits)
    for i in range(stop, end):
        likely[i] = 1


@kernel
def pair_delayeds(
    s: Array,
    start: int,
    horizon_ps: int,
    window_ps: int,
    delay_ps: int,
    windows: int,
    early_ps: int,
    module_of: Array,
    allowed: Array,
    likely: Array,
    out: Array,
    result: Array,
) -> None:
    """Write the delayeds of every opener from ``start`` whose last window lies before the horizon.

    Window w (from 0) of the opener at t: t + (w + 1)·D − early ≤ t_j ≤ t + (w + 1)·D + τ, with
    early = 0 one-sided or τ two-sided. On a merged stream either module of a pair may open, so the
    one-sided window's expected number is 2τ·S₁·S₂·T, that of the randoms among the prompts
    (|Δt| ≤ τ): factor 1; two-sided 2; W windows W times as much. Every delayed of an allowed
    module pair counts, whatever the multiples policy.

    Parameters
    ----------
    s : (n, 2) i8, singles as words, in order of time
    likely : (≥ n,) u1, scratch
    out : (room, 4) i8, COINCIDENCE as words: by opener, then window, then later single
    result : (≥ 3,) i8, filled in: delayeds written, next start, and the records that ``out`` would
        need for the opener at the next start (0: all is done)
    """
    n = 0
    total = s.shape[0]
    result[DELAYEDS], result[START], result[NEEDED] = 0, start, 0
    end = first_at(s, start, horizon_ps - windows * delay_ps - window_ps)
    if end <= start:
        return
    likely[start:end] = 0
    per_ps = (total - start) / max(1.0, np.float64(s[total - 1, 0] - s[start, 0]))
    for w in range(windows):
        offset_ps = (w + 1) * delay_ps - early_ps
        skip = max(0, min(int(per_ps * offset_ps) - 1, total))
        mark_likely(s, start, end, offset_ps, early_ps + window_ps, skip, likely)
    for i in range(start, end):
        if likely[i] == 0:
            continue
        before = n
        j = i + 1
        for w in range(windows):
            opens = s[i, 0] + (w + 1) * delay_ps - early_ps
            closes = opens + early_ps + window_ps
            j = first_at(s, j, opens)
            k = j
            while k < total and s[k, 0] <= closes:
                if allowed[module_of[crystal_of(s, i)], module_of[crystal_of(s, k)]]:
                    if n < out.shape[0]:
                        write_pair(out, n, s, i, k, (w + 1) * delay_ps, FLAG_DELAYED, w)
                    n += 1
                k += 1
        if n > out.shape[0]:
            result[DELAYEDS], result[START], result[NEEDED] = before, i, n - before
            return
    result[DELAYEDS], result[START] = n, end
