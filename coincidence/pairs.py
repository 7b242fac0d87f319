"""The pairing kernels: prompts with a multiples policy, and delayeds. docs/coincidence.md is law.

Both read singles in order of time and stop at the first whose partners may not have come yet
(their *horizon* is the watermark), returning where to resume: that index is the only state.
"""

from __future__ import annotations

from coincidence.events import FLAG_DELAYED, FLAG_MULTIPLE
from hw.jit import Array, Record, kernel

POLICY_ALL, POLICY_DISCARD, POLICY_HIGHEST, POLICY_OPENER = 0, 1, 2, 3
POLICY_NUMBERS = {
    "all": POLICY_ALL,
    "discard": POLICY_DISCARD,
    "highest": POLICY_HIGHEST,
    "opener": POLICY_OPENER,
}


@kernel
def write_pair(out: Array, n: int, early: Record, late: Record, delay_ps: int, flags: int) -> None:
    """Write one coincidence: lower crystal first, tof = t_b − t_a with the delay removed."""
    record = out[n]
    tof_ps = late.time_ps - delay_ps - early.time_ps
    record.time_ps = early.time_ps
    if early.crystal < late.crystal:
        a, b = early, late
    else:
        a, b = late, early
        tof_ps = -tof_ps
    record.crystal_a, record.crystal_b = a.crystal, b.crystal
    record.tof_ps = tof_ps
    record.energy_a, record.energy_b = a.energy, b.energy
    record.doi_a, record.doi_b = a.doi, b.doi
    record.flags = flags
    record.window = 0
    record.reserved = 0


@kernel
def _root(parent: Array, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _pair_group(
    s: Array,
    i: int,
    j: int,
    window_ps: int,
    module_of: Array,
    allowed: Array,
    policy: int,
    scratch: Array,
    out: Array,
    n: int,
) -> tuple[int, int]:
    """Pair the singles [i, j), a group no other single can touch; return (n, multiples).

    Good pairs are edges of a graph; its connected components are found by union-find, and the
    policy acts on every component with more than one edge (a *multiple*). Where ``out`` has no
    room for all good pairs nothing is written and multiples is minus their number.
    """
    parent, edges, best = scratch[0], scratch[1], scratch[2]
    for k in range(i, j):
        parent[k - i] = k - i
        edges[k - i] = 0
        best[k - i] = -1
    good = 0
    for k in range(i, j):
        for m in range(k + 1, j):
            if s[m].time_ps - s[k].time_ps > window_ps:
                break
            if allowed[module_of[s[k].crystal], module_of[s[m].crystal]]:
                a, b = _root(parent, k - i), _root(parent, m - i)
                parent[max(a, b)] = min(a, b)
                good += 1
    if n + good > out.shape[0]:
        return n, -good
    for k in range(i, j):
        for m in range(k + 1, j):
            if s[m].time_ps - s[k].time_ps > window_ps:
                break
            if allowed[module_of[s[k].crystal], module_of[s[m].crystal]]:
                root = _root(parent, k - i)
                edges[root] += 1
                energy = int(s[k].energy) + int(s[m].energy)
                first = best[root] < 0
                if first or (policy == POLICY_HIGHEST and energy > best[root]):
                    best[root] = energy
    multiples = 0
    for k in range(j - i):
        multiples += int(edges[k] > 1)
    for k in range(i, j):
        for m in range(k + 1, j):
            if s[m].time_ps - s[k].time_ps > window_ps:
                break
            if not allowed[module_of[s[k].crystal], module_of[s[m].crystal]]:
                continue
            root = _root(parent, k - i)
            flags = FLAG_MULTIPLE if edges[root] > 1 else 0
            if flags and policy != POLICY_ALL:
                if policy == POLICY_DISCARD or best[root] < 0:
                    continue
                energy = int(s[k].energy) + int(s[m].energy)
                if policy == POLICY_HIGHEST and energy != best[root]:
                    continue
                best[root] = -1  # one pair of this component is taken: the first that qualifies
            write_pair(out, n, s[k], s[m], 0, flags)
            n += 1
    return n, multiples


@kernel
def pair_prompts(
    s: Array,
    start: int,
    horizon_ps: int,
    window_ps: int,
    module_of: Array,
    allowed: Array,
    policy: int,
    scratch: Array,
    out: Array,
) -> tuple[int, int, int, int]:
    """Write the prompts of every finished group of singles from index ``start``.

    ``scratch`` : (3, ≥ len(s)) i8. A group is a longest run of singles with successive gaps ≤ τ:
    no pair can cross its borders. It is finished once the horizon is more than τ beyond its last
    single.

    Returns
    -------
    (prompts, next start, multiples, room): ``room`` > 0 is how many records ``out`` would need
    for the group at ``next start``; call again with at least that.
    """
    n = 0
    multiples = 0
    total = s.shape[0]
    i = start
    while i < total:
        j = i + 1
        while j < total and s[j].time_ps - s[j - 1].time_ps <= window_ps:
            j += 1
        if j == total and horizon_ps - s[j - 1].time_ps <= window_ps:
            break
        size = j - i
        if size == 2:
            if n == out.shape[0]:
                return n, i, multiples, 1
            if allowed[module_of[s[i].crystal], module_of[s[i + 1].crystal]]:
                write_pair(out, n, s[i], s[i + 1], 0, 0)
                n += 1
        elif size > 2:
            n, more = _pair_group(s, i, j, window_ps, module_of, allowed, policy, scratch, out, n)
            if more < 0:
                return n, i, multiples, -more
            multiples += more
        i = j
    return n, i, multiples, 0


@kernel
def pair_delayeds(
    s: Array,
    start: int,
    horizon_ps: int,
    window_ps: int,
    delay_ps: int,
    module_of: Array,
    allowed: Array,
    out: Array,
) -> tuple[int, int, int]:
    """Write the delayeds of every opener from ``start`` whose whole window lies before the horizon.

    One-sided: D ≤ t_j − t_i ≤ D + τ. On a merged stream either module of a pair may open, so the
    expected number is 2τ·S₁·S₂·T, that of the randoms among the prompts (|Δt| ≤ τ): factor 1.
    Every delayed of an allowed module pair counts, whatever the multiples policy.

    Returns
    -------
    (delayeds, next start, room): as in :func:`pair_prompts`.
    """
    n = 0
    total = s.shape[0]
    low = start
    for i in range(start, total):
        opens = s[i].time_ps + delay_ps
        closes = opens + window_ps
        if closes >= horizon_ps:
            return n, i, 0
        while low < total and s[low].time_ps < opens:
            low += 1
        high = low
        while high < total and s[high].time_ps <= closes:
            high += 1
        if n + high - low > out.shape[0]:
            return n, i, high - low
        module = module_of[s[i].crystal]
        for j in range(low, high):
            if allowed[module, module_of[s[j].crystal]]:
                write_pair(out, n, s[i], s[j], delay_ps, FLAG_DELAYED)
                n += 1
    return n, total, 0
