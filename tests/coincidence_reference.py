"""Two slow references of the coincidence sorter, in plain Python, written from the definitions.

``brute_force`` looks at all pairs of singles and grows sets; ``sliding_list`` walks the stream once
with a list of open singles and relabels clusters. Neither shares a line with the kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from coincidence.events import COINCIDENCE, SINGLE

Pair = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A stream in order of time and how it is sorted. ``allowed``: module pairs, both ways."""

    times: list[int]
    crystals: list[int]
    energies: list[int]
    window: int
    delay: int
    allowed: frozenset[Pair]
    crystals_per_module: int = 2

    def may_pair(self, i: int, j: int) -> bool:
        modules = tuple(self.crystals[k] // self.crystals_per_module for k in (i, j))
        return modules in self.allowed

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


def brute_force(case: Case, policy: str) -> tuple[list[Pair], set[Pair], int]:
    """Return (prompts as index pairs, those of multiples, number of multiples)."""
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
    prompts: list[Pair] = []
    multiple: set[Pair] = set()
    for cluster in clusters:
        kept = sorted(cluster)
        if len(cluster) > 1:
            kept = _kept_of_multiple(case, sorted(cluster), policy)
            multiple |= set(kept)
        prompts += kept
    return sorted(prompts), multiple, sum(len(c) > 1 for c in clusters)


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
    """Return what :func:`brute_force` returns, found on the way through the stream."""
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
    multiple: set[Pair] = set()
    for pairs in by_label.values():
        kept = pairs if len(pairs) == 1 else _kept_of_multiple(case, pairs, policy)
        prompts += kept
        multiple |= set(kept) if len(pairs) > 1 else set()
    return sorted(prompts), multiple, sum(len(pairs) > 1 for pairs in by_label.values())


def brute_force_delayeds(case: Case) -> list[Pair]:
    """Return all (opener, later) with D ≤ Δt ≤ D + τ, in order of opener, then of later single."""
    return [
        (i, j)
        for i, j in combinations(range(len(case.times)), 2)
        if case.delay <= case.times[j] - case.times[i] <= case.delay + case.window
        and case.may_pair(i, j)
    ]


def records(case: Case, pairs: Iterable[Pair], *, multiple: set[Pair], delay: int) -> np.ndarray:
    """Return the COINCIDENCE records that the index pairs must give."""
    singles = case.singles()
    rows = []
    for i, j in pairs:
        early, late = singles[i], singles[j].copy()
        late["time_ps"] -= delay
        a, b = (early, late) if early["crystal"] < late["crystal"] else (late, early)
        tof = int(b["time_ps"]) - int(a["time_ps"])
        flags = (1 if delay else 0) | (2 if (i, j) in multiple else 0)
        rows.append(
            (early["time_ps"], a["crystal"], b["crystal"], tof, a["energy"], b["energy"], flags,
             a["doi"], b["doi"], 0, 0)
        )  # fmt: skip
    return np.array(rows, dtype=COINCIDENCE)
