"""Module pairs of a normalisation: scales of modules, geometric factors of kinds of pairs, χ².

Pairs of the same two rings and the same sector difference are of one *kind*: a symmetric scanner
sees a centred source alike in all of them, so they share one factor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.scanner.description import Scanner
from hw.scanner.geometry import lor_sector_difference

LEAST_PAIR_TRUES = 1000
"""Trues that a kind of module pair needs for a geometric factor of its own: 3 %."""

SMALLER, GRAZING = 0.98, 0.9
"""A kind that would count less than ``GRAZING`` of what all do if the source were smaller by this
factor sees little but its edge, where a blur of 1 mm may double the trues."""

NO_KINDS = np.zeros(0, np.int64)

_MODULE_STEPS = 400


def pair_kinds(scanner: Scanner, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the kind of each module pair, (m, m) i8: the same two rings and the same sector
    difference; −1 if the pair is not allowed.
    """
    module = np.arange(scanner.n_modules)
    ring = module // scanner.ring.modules_per_ring
    low = np.minimum(ring[:, None], ring[None, :])
    high = np.maximum(ring[:, None], ring[None, :])
    sector = lor_sector_difference(scanner, module[:, None], module[None, :])
    code = (low * scanner.ring.n_rings + high) * scanner.ring.modules_per_ring + sector
    _, kind = np.unique(code, return_inverse=True)
    return np.where(allowed, kind.reshape(code.shape), -1)


def grazing_kinds(expected: F8, smaller: F8, kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the kinds that see little but the source's edge.

    expected, smaller : (m, m) trues of the source, and of one ``SMALLER`` times as large
    """
    inside = kinds >= 0
    whole = np.bincount(kinds[inside], expected[inside])
    ratio = np.bincount(kinds[inside], smaller[inside]) / np.maximum(whole, 1e-300)
    everything = smaller[inside].sum() / max(float(expected[inside].sum()), 1e-300)
    return np.flatnonzero(ratio < GRAZING * everything)


def fit_module_pairs(
    expected: F8,
    trues: F8,
    kinds: npt.NDArray[np.int64],
    grazing: npt.NDArray[np.int64] = NO_KINDS,
) -> tuple[F8, F8]:
    """Return module scales x (m,) and geometric factors g (m, m) with x_M x_N g E = T in all fans
    and, for kinds with enough counts that are not ``grazing``, in each kind; g keeps each module's
    fan as modelled.
    """
    scale, geometric = solve_scales(expected, trues), np.ones_like(expected)
    inside = kinds >= 0
    enough = _fitted(expected, trues, kinds, grazing)
    for _ in range(20):
        model = expected * np.outer(scale, scale)
        modelled = np.bincount(kinds[inside], model[inside])
        counted = np.bincount(kinds[inside], trues[inside], len(modelled))
        factor = np.divide(counted, modelled, out=np.ones_like(modelled), where=enough)
        new = np.where(inside, factor[kinds], 1.0)
        new = _fans_as_modelled(new, expected * inside)
        settled = np.abs(new - geometric).max() < 1e-9
        geometric, scale = new, solve_scales(expected * new, trues)
        if settled:
            break
    return scale, geometric


def solve_scales(expected: F8, trues: F8) -> F8:
    """Return x with x_M Σ_N E_MN x_N = T_M, by damped fixed-point iteration."""
    fans = np.maximum(trues.sum(axis=1), 0.0)
    total = max(float(expected.sum()), 1e-300)
    x = np.full(len(expected), np.sqrt(fans.sum() / total))
    for _ in range(_MODULE_STEPS):
        fan = expected @ x
        new = np.sqrt(x * np.divide(fans, fan, out=np.zeros_like(fans), where=fan > 0))
        done = np.abs(new - x).max() <= 1e-12 * max(float(new.max()), 1e-300)
        x = new
        if done:
            break
    return x


def _fans_as_modelled(geometric: F8, expected: F8) -> F8:
    y = solve_scales(expected * geometric, expected)
    y = np.where(y > 0, y, 1.0)
    return geometric * np.outer(y, y)


def kinds_fitted(
    expected: F8,
    trues: F8,
    kinds: npt.NDArray[np.int64],
    grazing: npt.NDArray[np.int64] = NO_KINDS,
) -> npt.NDArray[np.bool_]:
    """Return which pairs (m, m) have a kind with a factor of its own."""
    return np.asarray((kinds >= 0) & _fitted(expected, trues, kinds, grazing)[kinds])


def _fitted(
    expected: F8,
    trues: F8,
    kinds: npt.NDArray[np.int64],
    grazing: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Return which kinds (k,) have a factor of their own."""
    inside, number = kinds >= 0, int(kinds.max(initial=-1)) + 1
    modelled = np.bincount(kinds[inside], expected[inside], number)
    counted = np.bincount(kinds[inside], trues[inside], number)
    # every pair is in the table twice, so are the counts
    found = (counted >= 2 * LEAST_PAIR_TRUES) & (modelled > 0)
    found[grazing] = False
    return np.asarray(found)


def pair_chi2(
    expected: F8, scale: F8, trues: F8, variance: F8,
    inside: npt.NDArray[np.bool_], parameters: int,
) -> float:  # fmt: skip
    """Return χ² per degree of freedom over the pairs M < N; NaN without degrees of freedom.

    Parameters
    ----------
    expected : (m, m) trues expected of each module pair, before scaling
    scale : (m,) factor of each module
    trues, variance : (m, m) trues counted and their variance
    inside : (m, m), the pairs to use
    parameters : number of further parameters that were fitted
    """
    used = np.triu(inside & (variance >= 10), 1)
    pull2 = (trues - expected * np.outer(scale, scale)) ** 2 / np.maximum(variance, 1.0)
    dof = int(used.sum()) - len(expected) - parameters
    return float(pull2[used].sum() / dof) if dof > 0 else float("nan")
