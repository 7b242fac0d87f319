"""The delayed windows: pairs too far apart in time to be anything but randoms.

Few singles have another one a delay later. The number of singles within the delay is known on
average, so a first pass compares each opener, without branching, with the few places where a
partner would be; times are searched only where one of them fits or the window lies elsewhere.
(Walking two indices through the stream took three times as long: each step is an unpredictable
branch. A bitmap of occupied time cells was no faster.)
"""

from __future__ import annotations

import numpy as np

from coincidence.events import FLAG_DELAYED
from coincidence.pairs import MOST_NEAR
from coincidence.words import crystal_of, write_pair
from hw.arrays import Array
from hw.jit import kernel

DELAYEDS, START, NEEDED, CROWDED = range(4)
"""Places in a result of :func:`pair_delayeds`."""


@kernel
def first_at(times: Array, begin: int, time_ps: int) -> int:
    """Return the first index from ``begin`` on whose time is not before ``time_ps`` (n: none)."""
    n = times.shape[0]
    step = 1
    high = begin
    while high < n and times[np.uint64(high)] < time_ps:
        begin = high + 1
        high += step
        step *= 2
    high = min(high, n)
    while begin < high:
        middle = (begin + high) >> 1
        if times[np.uint64(middle)] < time_ps:
            begin = middle + 1
        else:
            high = middle
    return begin


@kernel
def mark_likely(
    times: Array, n: int, offset_ps: int, width_ps: int, skip: int, likely: Array
) -> None:
    """Mark the openers 0 … n − 1 that may have a partner in offset … offset + width after them.

    The singles skip + 1 … skip + 4 places later are compared; an opener is also marked if the
    window may reach beyond these. ``likely`` : (≥ n,) u1. (With contiguous times and a plain loop,
    the compiler compares four openers at once.)

    times : (singles,) i8, ps, ascending; ``offset_ps`` and ``width_ps`` : of the delayed window
    skip : places passed over after each opener, which by the rate come before its window
    """
    stop = max(0, min(n, times.shape[0] - skip - 4))
    at = times[skip:]
    for i in range(stop):
        opens = times[i] + offset_ps
        closes = opens + width_ps
        likely[i] |= (
            ((at[i + 1] >= opens) & (at[i + 1] <= closes))
            | ((at[i + 2] >= opens) & (at[i + 2] <= closes))
            | ((at[i + 3] >= opens) & (at[i + 3] <= closes))
            | (at[i + 4] <= closes)
            | (at[i] >= opens)
        )
    likely[stop:n] = 1


@kernel
def pair_delayeds(
    s: Array,
    times: Array,
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

    Window w (from 0) of the opener at t is t + (w + 1)·D − early ≤ t_j ≤ t + (w + 1)·D + τ, with
    early = 0 if one-sided, τ if two-sided. On a merged stream either module of a pair may open, so
    the expected number in a one-sided window is 2τ·S₁·S₂·T, that of the randoms among the prompts
    (|Δt| ≤ τ): factor 1; two-sided 2; W windows W times as much. Every delayed of an allowed module
    pair counts, whatever the multiples policy.

    Parameters
    ----------
    s, times : (n, 2) i8, singles as words, in order of time, and (n,) i8, their times again
    likely : (≥ n,) u1, scratch
    out : (room, 4) i8, COINCIDENCE as words: by opener, then window, then later single
    result : (≥ 4,) i8, filled in: delayeds written, next start, the number of records that ``out``
        would need for the opener at the next start (0: all done), and windows left out as crowded
    """
    n = crowded = 0
    total = s.shape[0]
    result[DELAYEDS], result[START], result[NEEDED], result[CROWDED] = 0, start, 0, 0
    end = first_at(times, start, horizon_ps - windows * delay_ps - window_ps)
    if end <= start:
        return
    own, marks = times[start:], likely[start:]
    marks[: end - start] = 0
    per_ps = (total - start) / max(1.0, np.float64(times[total - 1] - times[start]))
    for w in range(windows):
        offset_ps = (w + 1) * delay_ps - early_ps
        skip = max(0, min(int(per_ps * offset_ps) - 1, total - start))
        mark_likely(own, end - start, offset_ps, early_ps + window_ps, skip, marks)
    for i in range(start, end):
        if likely[i] == 0:
            continue
        before, crowded_before = n, crowded
        j = i + 1
        for w in range(windows):
            opens = times[i] + (w + 1) * delay_ps - early_ps
            closes = opens + early_ps + window_ps
            j = first_at(times, j, opens)
            if j + MOST_NEAR < total and times[j + MOST_NEAR] <= closes:
                crowded += 1
                continue
            k = j
            while k < total and times[k] <= closes:
                if allowed[module_of[crystal_of(s, i)], module_of[crystal_of(s, k)]]:
                    if n < out.shape[0]:
                        write_pair(out, n, s, i, k, (w + 1) * delay_ps, FLAG_DELAYED, w)
                    n += 1
                k += 1
        if n > out.shape[0]:
            result[DELAYEDS], result[START], result[NEEDED] = before, i, n - before
            result[CROWDED] = crowded_before
            return
    result[DELAYEDS], result[START], result[CROWDED] = n, end, crowded
