"""Three estimates of randoms, each against simulated uncorrelated singles of known rates."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coincidence.events import COINCIDENCE, END_OF_TIME_PS, SINGLE
from coincidence.randoms import (
    close_slice,
    compare_estimates,
    count_delayeds,
    count_singles,
    fan_sum_rates,
    singles_rate_randoms,
)
from coincidence.sorter import CoincidenceSorter
from hw.messages.sort_settings import SortSettings

SLICE_PS = 1_000_000_000  # 1 ms
TAU_PS = 4_000


class Tally:
    """The kernels' arrays for one run of ``modules`` with ``per_module`` crystals each."""

    def __init__(self, modules: int, per_module: int = 1) -> None:
        self.module_of = np.repeat(np.arange(modules, dtype=np.uint16), per_module)
        self.place = np.array([0, SLICE_PS], dtype=np.int64)
        self.crystals = np.zeros(len(self.module_of), dtype=np.int64)
        self.open = np.zeros(modules, dtype=np.int64)
        self.products = np.zeros((modules, modules), dtype=np.int64)

    def add(self, singles: np.ndarray) -> None:
        count_singles(
            singles, self.module_of, SLICE_PS, self.place, self.crystals, self.open, self.products
        )


def stream(crystals: np.ndarray, times_ps: np.ndarray) -> np.ndarray:
    """Return singles in order of time."""
    singles = np.zeros(len(times_ps), dtype=SINGLE)
    order = np.argsort(times_ps, kind="stable")
    singles["time_ps"], singles["crystal"] = times_ps[order], crystals[order]
    return singles


def uncorrelated(rates: np.ndarray, duration_ps: int, seed: int) -> np.ndarray:
    """Return singles of independent Poisson processes, one a crystal, rates per second."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rates * duration_ps * 1e-12)
    times = rng.integers(0, duration_ps, counts.sum())
    return stream(np.repeat(np.arange(len(rates)), counts), times)


@given(
    times=st.lists(st.integers(0, 20 * SLICE_PS), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    seed=st.integers(0, 9),
)
@settings(max_examples=60)
def test_products_are_those_of_a_histogram_in_time_however_batched(
    times: list[int], cuts: list[int], seed: int
) -> None:
    crystals = np.random.default_rng(seed).integers(0, 6, len(times))
    singles = stream(crystals, np.array(times, dtype=np.int64))
    tally = Tally(3, 2)
    for begin, end in pairwise([0, *sorted(min(c, len(times)) for c in cuts), len(times)]):
        tally.add(singles[begin:end])
    close_slice(tally.open, tally.products)
    table, _, _ = np.histogram2d(
        singles["time_ps"] // SLICE_PS, singles["crystal"] // 2, bins=[range(22), range(4)]
    )
    np.testing.assert_array_equal(tally.products, np.triu(table.T @ table, 1))
    np.testing.assert_array_equal(tally.crystals, np.bincount(crystals, minlength=6))


def test_a_gap_of_days_and_singles_before_zero_take_no_time_and_are_counted() -> None:
    tally = Tally(2)
    tally.add(stream(np.array([0, 1, 0, 1]), np.array([-500, 7, 4 * 10**18, 4 * 10**18 + 1])))
    close_slice(tally.open, tally.products)
    assert tally.products.tolist() == [[0, 2], [0, 0]]


def test_a_delayed_counts_in_both_fans_and_in_its_pair() -> None:
    delayeds = np.zeros(3, dtype=COINCIDENCE)
    delayeds["crystal_a"], delayeds["crystal_b"] = [0, 0, 3], [2, 3, 4]
    fans, pairs = np.zeros(6, np.int64), np.zeros((3, 3), np.int64)
    count_delayeds(delayeds, np.repeat(np.arange(3, dtype=np.uint16), 2), fans, pairs)
    assert fans.tolist() == [2, 0, 1, 2, 1, 0]
    assert pairs.tolist() == [[0, 2, 0], [0, 0, 1], [0, 0, 0]]


def test_the_ratio_and_its_sigma() -> None:
    found = compare_estimates(400, 4, 80.0, singles=10_000)
    assert (found.from_delayeds, found.from_singles, found.ratio) == (100, 80, 1.25)
    assert found.sigma == pytest.approx(1.25 * math.sqrt(1 / 400 + 4 / 10_000))
    for nothing in (compare_estimates(0, 0, 80, singles=5), compare_estimates(5, 1, 0, singles=0)):
        assert not nothing.known
        assert math.isnan(nothing.sigma)


def test_no_delayeds_where_many_were_due_are_many_sigmas_off() -> None:
    found = compare_estimates(0, 2, 80.0, singles=10_000)
    assert (found.ratio, found.sigma) == (0, 1 / 160)


@pytest.mark.parametrize("expected", [1, 3, 8, 20, 60, 300])
def test_five_sigmas_are_as_rare_where_few_delayeds_are_counted(expected: int) -> None:
    """An hour has 360 windows of 10 s, so chance may call five sigmas far less than once in 10⁵."""
    counts = np.arange(6 * expected + 60)
    off = [compare_estimates(int(n), 1, expected, singles=10**6).off_sigmas for n in counts]
    assert stats.poisson.pmf(counts[np.array(off) > 5], expected).sum() < 3e-6
    assert off[0] == pytest.approx(math.sqrt(2 * expected), rel=1e-3)


@pytest.mark.parametrize(("windows", "sides"), [(1, "one"), (1, "two"), (4, "one"), (4, "two")])
def test_delayeds_over_their_factor_and_the_singles_rate_are_2_tau_s1_s2_t(
    windows: int, sides: str
) -> None:
    rates, duration_ps = np.array([1.0e6, 0.5e6, 0.3e6]), 200_000_000_000
    singles = uncorrelated(rates, duration_ps, seed=windows + 10 * len(sides))
    sort = SortSettings(
        lld_keV=0, uld_keV=1, window_ps=TAU_PS, delay_ps=500_000,
        delay_windows=windows, delay_sides=sides,  # type: ignore[arg-type]
    )  # fmt: skip
    allowed = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=bool)
    tally = Tally(3)
    tally.add(singles)
    close_slice(tally.open, tally.products)
    sorter = CoincidenceSorter(sort, module_of=tally.module_of, allowed_pairs=allowed)
    delayeds = sorter.push(singles, int(END_OF_TIME_PS)).delayeds
    truth = 2 * TAU_PS * 1e-12 * rates[0] * (rates[1] + rates[2]) * duration_ps * 1e-12
    found = compare_estimates(
        len(delayeds), sort.delayed_factor,
        singles_rate_randoms(
            tally.products, allowed, window_ps=TAU_PS, slice_ps=SLICE_PS
        ).sum(),
        singles=len(singles),
    )  # fmt: skip
    assert sort.delayed_factor == windows * {"one": 1, "two": 2}[sides]
    assert abs(found.from_delayeds - truth) < 3 * math.sqrt(truth / sort.delayed_factor)
    assert abs(found.from_singles - truth) < 3 * truth * math.sqrt(4 / len(singles))
    assert abs(found.ratio - 1) < 3 * found.sigma


def test_the_singles_rate_of_a_pair_of_modules_follows_a_decay() -> None:
    """A rate that falls to a fifth: slices see it, whole-run totals would not."""
    rng = np.random.default_rng(3)
    share = np.array([0.1, 0.9, 0.4, 0.6])
    early, late = 100_000, 20_000
    n = rng.poisson(np.outer([early, late], share))
    crystals = np.concatenate([np.repeat(np.arange(4), row) for row in n])
    times = np.concatenate(
        [rng.integers(k * 50 * SLICE_PS, (k + 1) * 50 * SLICE_PS, row.sum())
         for k, row in enumerate(n)]
    )  # fmt: skip
    tally = Tally(2, 2)
    tally.add(stream(crystals, times))
    close_slice(tally.open, tally.products)
    pairs = singles_rate_randoms(
        tally.products, ~np.eye(2, dtype=bool), window_ps=TAU_PS, slice_ps=SLICE_PS
    )
    per_half = 2 * TAU_PS / (50 * SLICE_PS) * np.array([early**2, late**2])
    assert pairs.sum() == pytest.approx(per_half.sum(), rel=0.03)
    whole_run = 2 * TAU_PS / (100 * SLICE_PS) * (early + late) ** 2
    assert per_half.sum() > 1.4 * whole_run


def ring_of_modules(modules: int, least: int) -> np.ndarray:
    """Return allowed pairs of a ring: cyclic difference at least ``least``."""
    apart = np.abs(np.subtract.outer(np.arange(modules), np.arange(modules)))
    return np.minimum(apart, modules - apart) >= least


def test_fan_sums_give_each_line_without_bias_and_far_less_noise() -> None:
    """8 modules × 16 crystals, 60 repetitions: a line has 2 delayeds on average."""
    rng = np.random.default_rng(5)
    modules, per_module, repeats = 8, 16, 60
    module_of = np.repeat(np.arange(modules, dtype=np.uint16), per_module)
    allowed = ring_of_modules(modules, 2)
    a, b = np.nonzero(np.triu(allowed[np.ix_(module_of, module_of)]))
    rate = rng.uniform(0.3, 1.7, modules)[module_of] * rng.uniform(0.5, 1.5, len(module_of))
    truth = rate[a] * rate[b] * 2.0
    raw = rng.poisson(truth, (repeats, len(truth)))
    smooth = np.empty(raw.shape)
    for k, counts in enumerate(raw):
        fans = np.bincount(a, counts, 128) + np.bincount(b, counts, 128)
        found = fan_sum_rates(fans.astype(np.int64), module_of, allowed)
        smooth[k] = found.lines(a, b)
        assert found.residual < 1e-12
        assert smooth[k].sum() == pytest.approx(counts.sum(), rel=1e-9)
    error = smooth.mean(axis=0) - truth
    spread = smooth.std(axis=0)
    pull = error / (spread / math.sqrt(repeats))
    assert abs(pull.mean()) < 0.3  # the total, common to all lines, fluctuates by 0.1 of these σ
    assert pull.std() < 1.2
    assert np.abs(pull).max() < 5
    # Two fans of 16 × 5 lines of 2 counts each: relative variance ≈ 2 / 160 for 1 / 2 of one line.
    assert np.mean(spread**2) < np.mean(raw.var(axis=0)) / 25


def test_fan_sums_of_a_factorising_count_give_it_back_exactly() -> None:
    module_of = np.array([0, 0, 1, 1, 2], dtype=np.uint16)
    rate, allowed = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), ~np.eye(3, dtype=bool)
    pairs = np.outer(rate, rate) * allowed[np.ix_(module_of, module_of)]
    found = fan_sum_rates(pairs.sum(axis=1).astype(np.int64), module_of, allowed)
    np.testing.assert_allclose(found.rate, rate, rtol=1e-9)


@pytest.mark.parametrize("fans", [[0, 0, 0], [7, 7, 0], [9, 4, 5]])
def test_fans_that_are_empty_or_of_one_pair_only_end_well(fans: list[int]) -> None:
    module_of, allowed = np.arange(3, dtype=np.uint16), ~np.eye(3, dtype=bool)
    found = fan_sum_rates(np.array(fans), module_of, allowed)
    a, b = np.triu_indices(3, 1)
    assert np.isfinite(found.rate).all()
    assert found.lines(a, b).sum() == pytest.approx(sum(fans) / 2, rel=0.01)


def test_modules_without_partners_have_no_randoms() -> None:
    found = fan_sum_rates(np.zeros(2, np.int64), np.arange(2, dtype=np.uint16), np.eye(2) > 1)
    assert found.rate.tolist() == [0, 0]
