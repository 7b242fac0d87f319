"""Two slow references for the coincidence sorter, in plain Python, written from the definitions.

``brute_force`` looks at all pairs of singles and grows sets; ``sliding_list`` walks the stream once
with a list of open singles and relabels clusters. Neither shares a line with the kernels. GATE's
policies are in ``gate_policies_reference``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from coincidence.events import COINCIDENCE, SINGLE, TRIPLE
from oracles.gate_policies_reference import Pair, all_openers, is_gates, open_windows


@dataclass(frozen=True)
class Case:
    """A stream in order of time, and its sort settings.

    allowed : good module pairs, both ways
    windows, two_sided : delayed windows at delay, 2·delay, … and whether they are symmetric
    """

    times: list[int]
    crystals: list[int]
    energies: list[int]
    window: int
    delay: int
    allowed: frozenset[Pair]
    crystals_per_module: int = 2
    windows: int = 1
    two_sided: bool = False

    def module(self, i: int) -> int:
        return self.crystals[i] // self.crystals_per_module

    def may_pair(self, i: int, j: int) -> bool:
        return (self.module(i), self.module(j)) in self.allowed

    def singles(self) -> np.ndarray:
        array = np.zeros(len(self.times), dtype=SINGLE)
        array["time_ps"], array["crystal"] = self.times, self.crystals
        array["energy"] = self.energies
        array["doi"] = np.arange(len(array)) % 8
        return array

    def allowed_matrix(self, modules: int) -> np.ndarray:
        matrix = np.zeros((modules, modules), dtype=np.bool_)
        for a, b in self.allowed:
            matrix[a, b] = True
        return matrix


def clusters_of(case: Case) -> list[list[Pair]]:
    """Return the connected components of the good pairs, each in order."""
    good = [
        (i, j)
        for i, j in combinations(range(len(case.times)), 2)
        if abs(case.times[j] - case.times[i]) <= case.window and case.may_pair(i, j)
    ]
    clusters: list[set[Pair]] = []
    for pair in good:
        touching = [c for c in clusters if any(set(pair) & set(other) for other in c)]
        clusters = [c for c in clusters if c not in touching]
        clusters.append({pair}.union(*touching))
    return [sorted(cluster) for cluster in clusters]


def brute_force(case: Case, policy: str) -> tuple[list[Pair], set[Pair], int]:
    """Return (prompts as index pairs, those of multiples, number of multiples)."""
    clusters = clusters_of(case)
    multiple = {pair for cluster in clusters if len(cluster) > 1 for pair in cluster}
    prompts: list[Pair] = []
    for cluster in clusters:
        single_pair = len(cluster) == 1 or is_gates(policy)
        prompts += cluster if single_pair else _kept_of_multiple(case, cluster, policy)
    if is_gates(policy):
        prompts = all_openers(case, policy)
    return sorted(prompts), multiple & set(prompts), sum(len(c) > 1 for c in clusters)


def _kept_of_multiple(case: Case, pairs: list[Pair], policy: str) -> list[Pair]:
    if policy == "all":
        return pairs
    if policy == "discard":
        return []
    if policy == "highest":
        return [max(pairs, key=lambda p: (case.energies[p[0]] + case.energies[p[1]], -p[0], -p[1]))]
    assert policy == "opener"
    return [pairs[0]]


def sliding_list(case: Case, policy: str) -> tuple[list[Pair], set[Pair], int]:
    """Return what :func:`brute_force` returns, found in one pass through the stream."""
    open_singles: list[int] = []
    label: dict[int, int] = {}
    found: list[Pair] = []
    for j, time in enumerate(case.times):
        open_singles = [i for i in open_singles if time - case.times[i] <= case.window]
        for i in open_singles:
            if not case.may_pair(i, j):
                continue
            found.append((i, j))
            old, new = label.setdefault(i, i), label.setdefault(j, j)
            for single, name in label.items():
                if name == old:
                    label[single] = new
        open_singles.append(j)
    by_label: dict[int, list[Pair]] = {}
    for pair in sorted(found):
        by_label.setdefault(label[pair[0]], []).append(pair)
    prompts: list[Pair] = []
    groups = list(by_label.values())
    if is_gates(policy):
        prompts = open_windows(case, policy)
    else:
        for pairs in groups:
            prompts += pairs if len(pairs) == 1 else _kept_of_multiple(case, pairs, policy)
    multiple = {p for pairs in groups if len(pairs) > 1 for p in pairs if p in prompts}
    return sorted(prompts), multiple, sum(len(pairs) > 1 for pairs in groups)


def brute_force_delayeds(case: Case) -> list[tuple[int, int, int]]:
    """Return all (opener, later, window), in order of opener, then window, then later single.

    Window w is open for (w + 1)·D ≤ Δt ≤ (w + 1)·D + τ, or if two-sided for |Δt − (w + 1)·D| ≤ τ.
    """
    found = []
    for i, j in combinations(range(len(case.times)), 2):
        for w in range(case.windows):
            off = case.times[j] - case.times[i] - (w + 1) * case.delay
            inside = abs(off) <= case.window if case.two_sided else 0 <= off <= case.window
            if inside and case.may_pair(i, j):
                found.append((i, j, w))
    return sorted(found, key=lambda row: (row[0], row[2], row[1]))


def brute_force_triples(case: Case) -> np.ndarray:
    """Return the TRIPLE records: clusters of good pairs among exactly three singles."""
    singles, rows = case.singles(), []
    for cluster in clusters_of(case):
        members = sorted({single for pair in cluster for single in pair})
        if len(members) != 3:
            continue
        i, j, k = members
        pairs = sum(bit for bit, pair in ((1, (i, j)), (2, (i, k)), (4, (j, k))) if pair in cluster)
        three = singles[members]
        after = [case.times[j] - case.times[i], case.times[k] - case.times[i]]
        row = (case.times[i], three["crystal"], after, three["energy"], three["doi"], pairs, 0)
        rows.append((i, row))
    rows.sort(key=lambda pair: pair[0])
    return np.array([row for _, row in rows], dtype=TRIPLE)


def prompt_records(case: Case, pairs: Iterable[Pair], *, multiple: set[Pair]) -> np.ndarray:
    """Return the COINCIDENCE records that the index pairs must give."""
    rows = [_row(case, i, j, flags=2 if (i, j) in multiple else 0) for i, j in pairs]
    return np.array(rows, dtype=COINCIDENCE)


def delayed_records(case: Case, found: Iterable[tuple[int, int, int]]) -> np.ndarray:
    """Return the COINCIDENCE records that (opener, later, window) must give."""
    rows = [_row(case, i, j, flags=1, delay=(w + 1) * case.delay, window=w) for i, j, w in found]
    return np.array(rows, dtype=COINCIDENCE)


def _row(
    case: Case, i: int, j: int, *, flags: int, delay: int = 0, window: int = 0
) -> tuple[object, ...]:
    singles = case.singles()
    early, late = singles[i], singles[j].copy()
    late["time_ps"] -= delay
    a, b = (early, late) if early["crystal"] < late["crystal"] else (late, early)
    tof = int(b["time_ps"]) - int(a["time_ps"])
    return (
        early["time_ps"], a["crystal"], b["crystal"], tof, a["energy"], b["energy"], flags,
        a["doi"], b["doi"], window, 0,
    )  # fmt: skip
