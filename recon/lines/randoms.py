"""Randoms per line from delayed fan sums: r_ab = r_a · r_b / (k T), spread over the window.

Randoms of a line are proportional to the product of its crystals' singles rates, so the fan sums
D_a (delayeds in which crystal a is one of the two) are the sufficient statistic of all delayeds (M.
E. Casey and E. J. Hoffman, J. Comput. Assist. Tomogr. 10 (1986) 845); the fixed point is
``coincidence.randoms.fan_sum_rates``'s. k counts the delayed windows.

With few delayeds a crystal's D_a is of order 1. Fan sums are therefore shrunk towards better known
values, level by level, keeping each module's total:

    D'_a = E_a · (D_a + κ) / (E_a + κ),     1/κ = v = Σ ((D − E)² − φE) / Σ E²  ≥ 0

the posterior mean for a gamma prior around the expectation E, whose variance v (of the ratio D/E)
is estimated from the data by moments (D. G. Clayton and J. Kaldor, Biometrics 43 (1987) 671). E is
the crystal's share of its module's singles if the run counted them (docs/randoms.md), else of the
block's mean profile, itself shrunk over all modules and then ring by ring. With many counts D' is
D; with few it is E.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.randoms import fan_sum_rates
from hw.arrays import F4, F8, Records
from recon.core.event_location import LocatedEvents
from recon.core.scanner_tables import ReconSystem
from recon.lines.crystal_products import PairProduct, checked, single_precision

OVERDISPERSION = 1.2
"""φ, variance over mean of a fan sum. A single that falls in with both photons of a pair makes two
delayeds: 1.08 (tof_brain) to 1.14 (caremibrain) with a head. Too large a value costs some crystal
resolution, too small lets noise in."""

MOST_RESIDUAL = 0.01
"""No module's fan may be missed by more than this share of all delayeds."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CrystalRandoms:
    """A ``LineRate``; build it with :meth:`of_delayeds`.

    lines : expected randoms per second of each line, all TOF bins together
    tof_share : share of the window that one TOF bin holds; 1 without TOF
    delayeds : counted
    own_share : 0 if crystals share their block's expectation, 1 if each has its own
    """

    lines: PairProduct
    tof_share: float
    delayeds: int
    own_share: float

    @classmethod
    def of_delayeds(
        cls,
        crystal_delayeds: npt.ArrayLike,
        system: ReconSystem,
        *,
        duration_s: float,
        delayed_factor: int,
        crystal_singles: npt.ArrayLike | None = None,
    ) -> CrystalRandoms:
        """Return the randoms of a run or frame.

        Parameters
        ----------
        crystal_delayeds : (n_crystals,) delayeds, of all windows, that involve each crystal
        duration_s : T of the line model, the time measured
        delayed_factor : how often the delayed windows count the randoms
        crystal_singles : (n_crystals,) singles accepted for coincidences, if they were counted
        """
        n = system.scanner.n_crystals
        fans = checked(crystal_delayeds, (n,), name="crystal_delayeds")
        singles = None
        if crystal_singles is not None:
            singles = checked(crystal_singles, (n,), name="crystal_singles")
        smooth, own_share = smoothed_fans(fans, singles, system)
        pairs = (system.allowed | system.allowed.T).astype(np.float64)
        np.fill_diagonal(pairs, 0.0)
        rate = _fitted(smooth, pairs, system)
        rate = rate / np.sqrt(max(delayed_factor, 1) * max(duration_s, 1e-9))
        lines = PairProduct(single_precision(rate), single_precision(pairs))
        return cls(lines, system.tof_share, round(float(fans.sum() / 2)), own_share)

    def of_records(self, records: Records, located: LocatedEvents) -> F4:
        """Return the randoms per second in each record's line and TOF bin, (n,) float32."""
        known = located.gain < UNKNOWN_GAIN
        rate = self.lines.of_records(records) * np.float32(self.tof_share)
        return np.asarray(np.where(known, rate, np.float32(0.0)))

    @property
    def total_per_s(self) -> float:
        """Randoms per second of the whole scanner."""
        of_module = self.lines.crystal.reshape(len(self.lines.module_pair), -1).sum(
            axis=1, dtype=np.float64
        )
        pairs = np.triu(self.lines.module_pair, 1).astype(np.float64)
        return float(of_module @ pairs @ of_module)


UNKNOWN_GAIN = 0.5
"""Gains are far below this; ``locate`` gives 1 to lines of crystals that do not exist."""


def fan_counts(records: Records, n_crystals: int) -> Counts:
    """Return the number of records that involve each crystal, (n_crystals,) int64."""
    a, b = records["crystal_a"], records["crystal_b"]
    known = (a < n_crystals) & (b < n_crystals)
    both = np.concatenate([a[known], b[known]])
    return np.bincount(both, minlength=n_crystals).astype(np.int64)


def smoothed_fans(fans: F8, singles: F8 | None, system: ReconSystem) -> tuple[F8, float]:
    """Return the shrunk fan sums (n_crystals,) and the weight of the crystals' own counts."""
    modules = system.scanner.n_modules
    table = fans.reshape(modules, -1)
    total = table.sum(axis=1, keepdims=True)
    if singles is not None and singles.sum() > 0:
        expected = _share(singles.reshape(modules, -1)) * total
    else:
        expected = _profile(table, system.scanner.ring.n_rings)
    shrunk, own = shrink(table, expected)
    # a module keeps its counts, whatever moved within it
    shrunk *= total / np.maximum(shrunk.sum(axis=1, keepdims=True), 1e-300)
    return shrunk.reshape(-1), own


def shrink(counts: F8, expected: F8) -> tuple[F8, float]:
    """Return counts shrunk towards their expectation, and the mean weight of the counts."""
    seen = expected > 0
    square = float((expected[seen] ** 2).sum())
    if square <= 0:
        return counts.copy(), 1.0
    excess = float((((counts - expected) ** 2 - OVERDISPERSION * expected)[seen]).sum())
    variance = max(excess / square, 0.0)
    weight = variance * expected / (1.0 + variance * expected)
    return np.where(seen, expected + weight * (counts - expected), 0.0), float(weight[seen].mean())


def _fitted(fans: F8, pairs: F8, system: ReconSystem) -> F8:
    """Return r with Σ r_a r_b over each fan = D_a; if there is none, r proportional to D.

    There is none if module pairs that are not allowed have delayeds, as a list of another sorter
    may.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = fan_sum_rates(fans, system.geometry.crystal_module, system.allowed)
    if found.residual < MOST_RESIDUAL and np.isfinite(found.rate).all():
        return found.rate
    of_module = fans.reshape(len(pairs), -1).sum(axis=1)
    lines = float(of_module @ np.triu(pairs, 1) @ of_module)
    return np.asarray(fans * np.sqrt(fans.sum() / 2 / lines) if lines > 0 else np.zeros_like(fans))


def _share(table: F8) -> F8:
    """Return each crystal's share of its module; even shares in a module without counts."""
    total = table.sum(axis=1, keepdims=True)
    even = np.full_like(table, 1.0 / table.shape[1])
    return np.divide(table, total, out=even, where=total > 0)


def _profile(table: F8, n_rings: int) -> F8:
    """Return the counts expected of each crystal from its place in the block, and its ring."""
    modules, each = table.shape
    total = table.sum(axis=1)
    by_place, _ = shrink(table.sum(axis=0), np.full(each, total.sum() / each))
    ring = np.arange(modules) // (modules // n_rings)
    expected = np.empty_like(table)
    for one in range(n_rings):
        here = ring == one
        counts = table[here].sum(axis=0)
        share = _share(by_place[None, :]) * counts.sum()
        place, _ = shrink(counts, share[0])
        expected[here] = _share(place[None, :]) * total[here, None]
    return expected
