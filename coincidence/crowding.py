"""Singles beyond measure: a stuck clock or noise must not cost time and memory without bound.

n singles at one instant are n²/2 pairs to look at, and to write under policy *all*: a single data
frame of 65,536 equal times would hold the run up for many seconds, two would fill the memory. So a
single is **crowded**, and pairs with nobody, where it and more than ``MOST_NEAR`` others lie within
one window of τ. The rule is local, so it is the same for any batching; what it drops is counted.
"""

from __future__ import annotations

from hw.jit import Array, kernel

MOST_NEAR = 255
"""Others within τ: 6 M singles/s and τ = 1 µs have 6 on average, 25 hardly ever."""


@kernel
def leave_out_crowded(s: Array, i: int, j: int, window_ps: int, out: Array) -> int:
    """Copy the singles [i, j) that are not crowded to ``out`` (≥ j − i, 2) i8; return how many."""
    n = 0
    crowded_until = i - 1
    for k in range(i, j):
        last = k + MOST_NEAR
        if last < j and s[last, 0] - s[k, 0] <= window_ps:
            crowded_until = last
        if k > crowded_until:
            out[n, 0], out[n, 1] = s[k, 0], s[k, 1]
            n += 1
    return n
