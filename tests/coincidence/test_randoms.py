"""Counted is what theory says: randoms of an uncorrelated stream, trues of a correlated one.

For two independent Poisson processes of rates S₁, S₂ over T, the pairs whose Δt (of either sign)
lies in a set of total width a number S₁·S₂·T·a on average, with the variance

    S₁·S₂·T·a · (1 + a·(S₁ + S₂))

(the second term: pairs that share a single; U-statistics of Poisson processes). Prompts have
a = 2τ; W delayed windows one-sided a = 2τ·W, two-sided a = 4τ·W.
"""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.sorter import CoincidenceSorter, Sorted
from hw.messages.sort_settings import SortSettings

TAU_PS = 5_000
DELAY_PS = 500_000
DURATION_PS = 200_000_000_000  # 0.2 s
SECONDS = DURATION_PS * 1e-12

FACTORS = [(1, "one", 1), (1, "two", 2), (3, "one", 3), (3, "two", 6), (16, "one", 16)]


def poisson_stream(
    rates_per_s: list[float], seed: int, *, duration_ps: int = DURATION_PS
) -> np.ndarray:
    """Return singles of independent Poisson processes, one crystal and module each, in order."""
    rng = np.random.default_rng(seed)
    parts = []
    for crystal, rate in enumerate(rates_per_s):
        part = np.zeros(rng.poisson(rate * duration_ps * 1e-12), dtype=SINGLE)
        part["time_ps"] = rng.integers(0, duration_ps, len(part))
        part["crystal"] = crystal
        parts.append(part)
    return in_order(np.concatenate(parts))


def in_order(singles: np.ndarray) -> np.ndarray:
    return singles[np.argsort(singles["time_ps"], kind="stable")]


def sort(singles: np.ndarray, modules: int, *, windows: int = 1, sides: str = "one") -> Sorted:
    settings = SortSettings(
        lld_keV=0, uld_keV=1, window_ps=TAU_PS, delay_ps=DELAY_PS,
        delay_windows=windows, delay_sides=sides,  # type: ignore[arg-type]
    )  # fmt: skip
    sorter = CoincidenceSorter(
        settings,
        module_of=np.arange(modules, dtype=np.uint16),
        allowed_pairs=~np.eye(modules, dtype=np.bool_),
    )
    return sorter.push(singles, int(END_OF_TIME_PS))


def expected(rate_a: float, rate_b: float, factor: int = 1) -> tuple[float, float]:
    """Return the mean number of pairs in windows of total width 2τ × factor, and its σ."""
    width = 2 * TAU_PS * 1e-12 * factor
    mean = rate_a * rate_b * SECONDS * width
    return mean, float(np.sqrt(mean * (1 + width * (rate_a + rate_b))))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("windows", "sides", "factor"), FACTORS)
def test_randoms_are_2_tau_s1_s2_t_and_the_delayeds_that_times_the_factor(
    windows, sides, factor, seed
) -> None:
    rates = [1.0e6, 0.4e6]
    found = sort(poisson_stream(rates, seed), 2, windows=windows, sides=sides)
    mean, sigma = expected(*rates)
    assert mean > 500
    assert abs(len(found.prompts) - mean) < 3 * sigma
    mean, sigma = expected(*rates, factor=factor)
    assert abs(len(found.delayeds) - mean) < 3 * sigma


@pytest.mark.parametrize(("windows", "sides", "factor"), FACTORS)
def test_the_settings_state_the_factor(windows, sides, factor) -> None:
    settings = SortSettings(
        lld_keV=0, uld_keV=1, window_ps=TAU_PS, delay_ps=DELAY_PS,
        delay_windows=windows, delay_sides=sides,
    )  # fmt: skip
    assert settings.delayed_factor == factor


@pytest.mark.parametrize("sides", ["one", "two"])
def test_each_delayed_window_counts_as_many_and_carries_its_number(sides: str) -> None:
    rates = [1.0e6, 1.0e6]
    delayeds = sort(poisson_stream(rates, 5), 2, windows=8, sides=sides).delayeds
    counts = np.bincount(delayeds["window"], minlength=8)
    mean, sigma = expected(*rates, factor=1 if sides == "one" else 2)
    assert len(counts) == 8
    assert (abs(counts - mean) < 3.5 * sigma).all()


def test_several_windows_lower_the_variance_of_the_estimate() -> None:
    """40 streams of 20 ms: eight windows have nearly an eighth of the variance of one."""
    estimates = {1: [], 8: []}
    for seed in range(40):
        singles = poisson_stream([1e6, 1e6], 100 + seed, duration_ps=DURATION_PS // 10)
        for windows, values in estimates.items():
            values.append(len(sort(singles, 2, windows=windows).delayeds) / windows)
    assert np.var(estimates[8]) < np.var(estimates[1]) / 3
    mean = expected(1e6, 1e6)[0] / 10
    assert np.mean(estimates[8]) == pytest.approx(mean, abs=3 * np.sqrt(mean / 8 / 40 * 1.2))


def test_delayeds_of_each_crystal_pair_follow_its_own_rates() -> None:
    rates = [1.2e6, 0.8e6, 0.4e6]
    delayeds = sort(poisson_stream(rates, 7), 3).delayeds
    for a, b in ((0, 1), (0, 2), (1, 2)):
        n = np.count_nonzero((delayeds["crystal_a"] == a) & (delayeds["crystal_b"] == b))
        mean, sigma = expected(rates[a], rates[b])
        assert abs(n - mean) < 3 * sigma


@pytest.mark.parametrize("sides", ["one", "two"])
def test_random_tof_is_flat_over_the_whole_window_on_both_signs(sides: str) -> None:
    found = sort(poisson_stream([1e6, 1e6], 4), 2, windows=2, sides=sides)
    for records in (found.prompts, found.delayeds):
        counts, _ = np.histogram(records["tof_ps"], bins=4, range=(-TAU_PS, TAU_PS))
        assert counts.sum() == len(records)
        chi2 = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
        assert chi2 < 14.2  # 3 degrees of freedom, p = 0.003


def correlated_stream(*, decays: int, ctr_ps: float, background: float, seed: int) -> np.ndarray:
    """Return two crystals' singles: each photon of a decay seen with 80 %, and a background.

    CTR is the FWHM of Δt: each crystal has CTR/√2. Singles of a pair carry energy 1.
    """
    rng = np.random.default_rng(seed)
    emitted = rng.integers(0, DURATION_PS, decays)
    seen = rng.random((decays, 2)) < 0.8
    parts = [poisson_stream([background, background], seed + 1)]
    for crystal in range(2):
        part = np.zeros(int(seen[:, crystal].sum()), dtype=SINGLE)
        sigma_ps = ctr_ps / np.sqrt(8 * np.log(2)) / np.sqrt(2)
        jitter = rng.normal(0, sigma_ps, len(part))
        part["time_ps"] = emitted[seen[:, crystal]] + np.round(jitter).astype(np.int64)
        part["crystal"] = crystal
        part["energy"] = seen[seen[:, crystal]].all(axis=1)
        parts.append(part)
    return in_order(np.concatenate(parts))


@pytest.mark.parametrize(("windows", "sides"), [(1, "one"), (1, "two"), (8, "one")])
@pytest.mark.parametrize("ctr_ps", [200, 300, 800])
def test_trues_are_recovered_in_number_and_width(ctr_ps: int, windows: int, sides: str) -> None:
    """Prompts − delayeds/factor are the pairs from one decay, and Δt has the FWHM put in."""
    singles = correlated_stream(decays=60_000, ctr_ps=ctr_ps, background=1.8e6, seed=21)
    trues = int(singles["energy"].sum()) // 2
    found = sort(singles, 2, windows=windows, sides=sides)
    factor = windows * (2 if sides == "two" else 1)
    estimate = len(found.prompts) - len(found.delayeds) / factor
    randoms, sigma_randoms = expected(*[np.count_nonzero(singles["crystal"] == k) / SECONDS
                                        for k in (0, 1)])  # fmt: skip
    assert randoms > 5_000
    spread = np.hypot(sigma_randoms, sigma_randoms / np.sqrt(factor))
    assert abs(estimate - trues) < 3 * spread
    bins = np.arange(-2_000, 2_001, 20)
    of_prompts = np.histogram(found.prompts["tof_ps"], bins)[0]
    of_delayeds = np.histogram(found.delayeds["tof_ps"], bins)[0]
    net = of_prompts - of_delayeds / factor
    middles = (bins[1:] + bins[:-1]) / 2
    near = abs(middles) < 1.7 * ctr_ps  # ± 4 σ
    variance = (net[near] * middles[near] ** 2).sum() / net[near].sum() - 20**2 / 12
    assert np.sqrt(8 * np.log(2) * variance) == pytest.approx(ctr_ps, rel=0.02)


def test_trues_do_not_leak_into_the_delayeds() -> None:
    """Without background the delayeds are the randoms among the decays, as if there were no pairs.

    Singles of one decay come together, so pairs of decays are counted up to four times over: that
    widens the spread, hence the factor 2.
    """
    singles = correlated_stream(decays=20_000, ctr_ps=1000, background=0, seed=8)
    for windows, sides, factor in FACTORS:
        delayeds = sort(singles, 2, windows=windows, sides=sides).delayeds
        rates = [np.count_nonzero(singles["crystal"] == k) / SECONDS for k in (0, 1)]
        mean, sigma = expected(*rates, factor=factor)
        assert abs(len(delayeds) - mean) < 3 * 2 * sigma
