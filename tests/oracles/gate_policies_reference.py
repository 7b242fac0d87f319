"""GATE's six policies for multiples in plain Python, twice, following GATE's source.

Every single k opens a window. Its *pairs* are (k, m) with m later in the stream, Δt ≤ τ, another
module; those of an allowed module pair are *good*. The policy judges each window by itself:

    TakeAllGoods             every good pair
    TakeWinnerOfGoods        of the good pairs the one with the largest E₁ + E₂
    TakeIfOnlyOneGood        the good pair, if there is exactly one
    TakeWinnerIfIsGood       of all pairs the one with the largest E₁ + E₂, if it is good
    TakeWinnerIfAllAreGoods  of all pairs the one with the largest E₁ + E₂, if all are good
    RemoveMultiples          the pair, if there is exactly one and it is good

Of equal sums the earliest partner wins. ``all_openers`` follows this table; ``open_windows`` walks
the stream once and judges each window as it closes.
"""

from __future__ import annotations

from typing import Protocol

Pair = tuple[int, int]


class Stream(Protocol):
    """The parts of a case that the policies need."""

    @property
    def times(self) -> list[int]: ...
    @property
    def energies(self) -> list[int]: ...
    @property
    def window(self) -> int: ...
    def module(self, i: int) -> int: ...
    def may_pair(self, i: int, j: int) -> bool: ...


def is_gates(policy: str) -> bool:
    """Whether the policy is GATE's: its names begin with a capital."""
    return policy[0].isupper()


def all_openers(case: Stream, policy: str) -> list[Pair]:
    """Return the pairs kept, by the table."""
    kept: list[Pair] = []
    for k, opened in enumerate(case.times):
        later = range(k + 1, len(case.times))
        near = [(k, m) for m in later if case.times[m] - opened <= case.window]
        pairs = [pair for pair in near if case.module(pair[0]) != case.module(pair[1])]
        good = [pair for pair in pairs if case.may_pair(*pair)]
        kept += {
            "TakeAllGoods": good,
            "TakeWinnerOfGoods": _winner(case, good),
            "TakeIfOnlyOneGood": good if len(good) == 1 else [],
            "TakeWinnerIfIsGood": [pair for pair in _winner(case, pairs) if pair in good],
            "TakeWinnerIfAllAreGoods": _winner(case, pairs) if pairs == good else [],
            "RemoveMultiples": good if len(pairs) == 1 else [],
        }[policy]
    return kept


def _winner(case: Stream, pairs: list[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda p: (-case.energies[p[0]] - case.energies[p[1]], p))[:1]


def open_windows(case: Stream, policy: str) -> list[Pair]:
    """Return the pairs kept, in one pass: each partner is offered to every open window."""
    windows: dict[int, list[tuple[int, bool]]] = {}
    kept: list[Pair] = []
    for m, time in enumerate(case.times):
        for k in [k for k in windows if time - case.times[k] > case.window]:
            kept += [(k, partner) for partner in _judge(case, windows.pop(k), policy)]
        for k, partners in windows.items():
            if case.module(k) != case.module(m):
                partners.append((m, case.may_pair(k, m)))
        windows[m] = []
    for k, partners in windows.items():
        kept += [(k, partner) for partner in _judge(case, partners, policy)]
    return kept


def _judge(case: Stream, partners: list[tuple[int, bool]], policy: str) -> list[int]:
    """Return the partners kept; the opener's energy is the same in all sums and drops out."""
    good = [m for m, is_good in partners if is_good]
    if policy == "TakeAllGoods" or not good:
        return good
    if policy in ("TakeIfOnlyOneGood", "RemoveMultiples"):
        alone = good if policy == "TakeIfOnlyOneGood" else partners
        return good if len(alone) == 1 else []
    if policy == "TakeWinnerIfAllAreGoods" and len(good) < len(partners):
        return []
    rivals = [m for m, _ in partners] if policy == "TakeWinnerIfIsGood" else good
    best = rivals[0]
    for m in rivals:
        if case.energies[m] > case.energies[best]:
            best = m
    return [best] if best in good else []
