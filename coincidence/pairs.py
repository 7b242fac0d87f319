"""The pairing kernel: prompts with a multiples policy, and triples. docs/coincidence.md is law.

It reads singles in order of time and stops at the first whose partners may not have come yet (the
*horizon* is the watermark), returning where to resume: that index is the only state.

A stuck clock or noise must not cost unbounded time and memory: n singles at one instant are n²/2
pairs to examine, and under policy *all* to write. One data frame of 65,536 equal times would hold
up the run for many seconds, two would fill the memory. So a single is **crowded**, and pairs with
nobody, if it and more than ``MOST_NEAR`` others lie within one window of τ. The rule is local, so
it is the same for any batching; what it drops is counted.
"""

from __future__ import annotations

import numpy as np

from coincidence.events import FLAG_MULTIPLE
from coincidence.words import crystal_of, energy_of, write_pair, write_triple
from hw.arrays import Array
from hw.jit import kernel
from hw.messages.sort_settings import POLICIES

MOST_NEAR = 255
"""Others within τ: 6 M singles/s and τ = 1 µs have 6 on average, 25 hardly ever."""


@kernel
def leave_out_crowded(s: Array, i: int, j: int, window_ps: int, out: Array) -> int:
    """Copy those of the singles [i, j) not crowded to ``out`` (≥ j − i, 2) i8; return how many.

    s : (n, 2) i8, singles as words in order of time; ``window_ps`` : τ
    """
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


ALL, DISCARD, HIGHEST, OPENER = range(4)
TAKE_ALL_GOODS, TAKE_WINNER_OF_GOODS, TAKE_IF_ONLY_ONE_GOOD = 4, 5, 6
TAKE_WINNER_IF_IS_GOOD, TAKE_WINNER_IF_ALL_ARE_GOODS, REMOVE_MULTIPLES = 7, 8, 9
POLICY_NUMBERS = {name: number for number, name in enumerate(POLICIES)}
PROMPTS, START, MULTIPLES, TRIPLES, STORED, NEEDED, CROWDED = range(7)
"""Places in a result of :func:`pair_prompts`."""


@kernel
def is_good(s: Array, i: int, j: int, module_of: Array, allowed: Array) -> bool:
    """Whether two singles are in modules that may pair.

    s : (n, 2) i8, singles as words; ``i``, ``j`` : places in it
    module_of : (n_crystals,) u2; ``allowed`` : (modules, modules) bool
    """
    a, b = np.uint64(crystal_of(s, i)), np.uint64(crystal_of(s, j))
    return bool(allowed[module_of[a], module_of[b]])


@kernel
def is_pair(s: Array, i: int, j: int, window_ps: int, module_of: Array, allowed: Array) -> bool:
    """Whether singles i and the later j are a good pair.

    window_ps : τ; other arguments as for ``is_good``
    """
    return bool(s[j, 0] - s[i, 0] <= window_ps and is_good(s, i, j, module_of, allowed))


@kernel
def root_of(parent: Array, i: int) -> int:
    """Return the representative of single i's component, shortening the path to it."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def connect(
    s: Array, i: int, j: int, window_ps: int, module_of: Array, allowed: Array, scratch: Array
) -> int:
    """Find the connected components of the singles [i, j); return the number of good pairs.

    ``scratch`` (4, ≥ j − i) i8: parent of each single; per root the edges; the best energy (−1);
    the number of singles.

    s : (n, 2) i8, singles as words in order of time; ``window_ps`` : τ
    module_of, allowed : as for ``is_good``
    """
    parent, edges, best, size = scratch[0], scratch[1], scratch[2], scratch[3]
    for k in range(j - i):
        parent[k], edges[k], best[k], size[k] = k, 0, -1, 0
    good = 0
    for k in range(i, j):
        for m in range(k + 1, j):
            if s[m, 0] - s[k, 0] > window_ps:
                break
            if is_good(s, k, m, module_of, allowed):
                a, b = root_of(parent, k - i), root_of(parent, m - i)
                parent[max(a, b)] = min(a, b)
                good += 1
    return good


@kernel
def measure(
    s: Array, i: int, j: int, window_ps: int, module_of: Array, allowed: Array, policy: int,
    scratch: Array,
) -> tuple[int, int]:  # fmt: skip
    """Fill in edges, sizes and best energies; return (multiples, components of three).

    Parameters
    ----------
    s : (n, 2) i8, singles as words in order of time; i, j : the group [i, j)
    module_of : (n_crystals,) u2; allowed : (modules, modules) bool
    scratch : as ``connect`` left it
    """
    parent, edges, best, size = scratch[0], scratch[1], scratch[2], scratch[3]
    for k in range(i, j):
        root = root_of(parent, k - i)
        size[root] += 1
        for m in range(k + 1, j):
            if s[m, 0] - s[k, 0] > window_ps:
                break
            if is_good(s, k, m, module_of, allowed):
                edges[root] += 1
                energy = energy_of(s, k) + energy_of(s, m)
                if best[root] < 0 or (policy == HIGHEST and energy > best[root]):
                    best[root] = energy
    multiples = triples = 0
    for k in range(j - i):
        multiples += int(edges[k] > 1)
        triples += int(size[k] == 3 and edges[k] > 1)
    return multiples, triples


@kernel
def write_components(
    s: Array, i: int, j: int, window_ps: int, module_of: Array, allowed: Array, policy: int,
    scratch: Array, out: Array, n: int,
) -> int:  # fmt: skip
    """Write what the policy keeps of each component; return the new number of prompts.

    Parameters
    ----------
    s, i, j, window_ps, module_of, allowed, policy : as for ``measure``
    scratch : as ``measure`` left it
    out : (room, 4) i8, COINCIDENCE as words, of which the first ``n`` are in use
    """
    parent, edges, best = scratch[0], scratch[1], scratch[2]
    for k in range(i, j):
        for m in range(k + 1, j):
            if s[m, 0] - s[k, 0] > window_ps:
                break
            if not is_good(s, k, m, module_of, allowed):
                continue
            root = root_of(parent, k - i)
            flags = FLAG_MULTIPLE if edges[root] > 1 else 0
            if flags and policy != ALL:
                if policy == DISCARD or best[root] < 0:
                    continue
                if policy == HIGHEST and energy_of(s, k) + energy_of(s, m) != best[root]:
                    continue
                best[root] = -1  # one pair of this component is taken: the first that qualifies
            write_pair(out, n, s, k, m, 0, flags, 0)
            n += 1
    return n


@kernel
def is_kept(policy: int, pairs: int, good: int, winner_is_good: bool) -> bool:
    """Whether a GATE policy keeps the best good pair of a window with this many pairs."""
    if policy == TAKE_IF_ONLY_ONE_GOOD:
        return bool(good == 1)
    if policy == TAKE_WINNER_IF_IS_GOOD:
        return winner_is_good
    if policy == TAKE_WINNER_IF_ALL_ARE_GOODS:
        return bool(good == pairs)
    if policy == REMOVE_MULTIPLES:
        return bool(pairs == 1)
    return True


@kernel
def write_openers(
    s: Array, i: int, j: int, window_ps: int, module_of: Array, allowed: Array, policy: int,
    scratch: Array, out: Array, n: int,
) -> int:  # fmt: skip
    """Write what one of GATE's policies keeps of each opener's window; return the new number.

    A window is all later singles within τ in modules other than its opener's; the *winner* is the
    one with the highest energy, or the first of equals.

    Parameters
    ----------
    s, i, j, window_ps, module_of, allowed, policy, scratch, out, n : as for ``write_components``
    """
    edges = scratch[1]
    for k in range(i, j):
        pairs = good = 0
        winner = good_winner = -1
        for m in range(k + 1, j):
            if s[m, 0] - s[k, 0] > window_ps:
                break
            if module_of[crystal_of(s, k)] == module_of[crystal_of(s, m)]:
                continue
            pairs += 1
            if winner < 0 or energy_of(s, m) > energy_of(s, winner):
                winner = m
            if is_good(s, k, m, module_of, allowed):
                good += 1
                if good_winner < 0 or energy_of(s, m) > energy_of(s, good_winner):
                    good_winner = m
        flags = FLAG_MULTIPLE if edges[root_of(scratch[0], k - i)] > 1 else 0
        if policy == TAKE_ALL_GOODS:
            for m in range(k + 1, j):
                if s[m, 0] - s[k, 0] > window_ps:
                    break
                if is_good(s, k, m, module_of, allowed):
                    write_pair(out, n, s, k, m, 0, flags, 0)
                    n += 1
        elif good_winner >= 0 and is_kept(policy, pairs, good, winner == good_winner):
            write_pair(out, n, s, k, good_winner, 0, flags, 0)
            n += 1
    return n


@kernel
def write_triples(
    s: Array, i: int, j: int, window_ps: int, module_of: Array, allowed: Array, scratch: Array,
    out: Array, n: int,
) -> int:  # fmt: skip
    """Write the components of three singles; return the new number of triples.

    Parameters
    ----------
    s, i, j, window_ps, module_of, allowed, scratch : as for ``write_components``
    out : (room, 5) i8, TRIPLE as words, of which the first ``n`` are in use
    """
    parent, edges, size = scratch[0], scratch[1], scratch[3]
    for k in range(i, j):
        root = root_of(parent, k - i)
        if root != k - i or size[root] != 3 or edges[root] < 2:
            continue
        second = k + 1
        while root_of(parent, second - i) != root:
            second += 1
        third = second + 1
        while root_of(parent, third - i) != root:
            third += 1
        near = is_pair(s, k, second, window_ps, module_of, allowed)
        far = is_pair(s, k, third, window_ps, module_of, allowed)
        last = is_pair(s, second, third, window_ps, module_of, allowed)
        far = int(s[third, 0] - s[k, 0] <= window_ps and is_good(s, k, third, module_of, allowed))
        last = int(
            s[third, 0] - s[second, 0] <= window_ps
            and is_good(s, second, third, module_of, allowed)
        )
        write_triple(out, n, s, k, second, third, int(near) | (int(far) << 1) | (int(last) << 2))
        n += 1
    return n


@kernel
def pair_prompts(
    s: Array,
    times: Array,
    start: int,
    horizon_ps: int,
    window_ps: int,
    module_of: Array,
    allowed: Array,
    policy: int,
    scratch: Array,
    out: Array,
    triples: Array,
    result: Array,
) -> None:
    """Write the prompts of every finished group of singles from index ``start``.

    A group is a maximal run of singles with successive gaps ≤ τ: no pair can cross its borders. It
    is finished once the horizon is more than τ beyond its last single.

    Parameters
    ----------
    s, times : (n, 2) i8, singles as words, in order of time, and (n,) i8, their times again
    scratch : (4, ≥ n) i8
    out : (room, 4) i8, COINCIDENCE as words
    triples : (room, 5) i8, TRIPLE as words; with no room, none is stored
    result : (7,) i8, filled in: prompts written, next start, multiples, triples counted and stored,
        number of records that ``out`` and ``triples`` would need for the group at the next start
        (0: all done; else call again with at least that), and singles left out as crowded
    """
    n = multiples = n_triples = stored = crowded = 0
    total = s.shape[0]
    room, triple_room = out.shape[0], triples.shape[0]
    needed = 0
    i = start
    while i < total:
        # most singles are alone: find the next gap within the window
        while i + 1 < total and times[np.uint64(i + 1)] - times[np.uint64(i)] > window_ps:
            i += 1
        j = i + 1
        while j < total and times[np.uint64(j)] - times[np.uint64(j - 1)] <= window_ps:
            j += 1
        if j == total and horizon_ps - times[j - 1] <= window_ps:
            break
        size = j - i
        if size == 2:
            if n == room:
                needed = 1
                break
            if is_good(s, i, i + 1, module_of, allowed):
                write_pair(out, n, s, i, i + 1, 0, 0, 0)
                n += 1
        elif size > 2:
            group, a, b = s, i, j
            if size > MOST_NEAR:
                group, a = np.empty((size, 2), np.int64), 0
                b = leave_out_crowded(s, i, j, window_ps, group)
            good = connect(group, a, b, window_ps, module_of, allowed, scratch)
            if n + good > room or (triple_room > 0 and stored + size // 3 > triple_room):
                needed = max(good, size // 3)
                break
            crowded += size - (b - a)
            more, three = measure(group, a, b, window_ps, module_of, allowed, policy, scratch)
            multiples += more
            n_triples += three
            if three > 0 and triple_room > 0:
                stored = write_triples(
                    group, a, b, window_ps, module_of, allowed, scratch, triples, stored
                )
            if policy < TAKE_ALL_GOODS:
                n = write_components(
                    group, a, b, window_ps, module_of, allowed, policy, scratch, out, n
                )
            else:
                n = write_openers(
                    group, a, b, window_ps, module_of, allowed, policy, scratch, out, n
                )
        i = j
    result[PROMPTS], result[START], result[MULTIPLES] = n, i, multiples
    result[TRIPLES], result[STORED], result[NEEDED] = n_triples, stored, needed
    result[CROWDED] = crowded
