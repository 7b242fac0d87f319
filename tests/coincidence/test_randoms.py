"""An uncorrelated stream has 2τ·S₁·S₂·T randoms, and the one-sided delayeds number the same."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.sorter import CoincidenceSorter
from hw.settings import SortSettings

TAU_PS = 5_000
DELAY_PS = 500_000
DURATION_PS = 200_000_000_000  # 0.2 s


def poisson_stream(rates_per_s: list[float], seed: int) -> np.ndarray:
    """Return singles of independent Poisson processes, one crystal and module each, in order."""
    rng = np.random.default_rng(seed)
    parts = []
    for crystal, rate in enumerate(rates_per_s):
        part = np.zeros(rng.poisson(rate * DURATION_PS * 1e-12), dtype=SINGLE)
        part["time_ps"] = rng.integers(0, DURATION_PS, len(part))
        part["crystal"] = crystal
        parts.append(part)
    merged = np.concatenate(parts)
    return merged[np.argsort(merged["time_ps"], kind="stable")]


def sort(singles: np.ndarray, modules: int):
    sorter = CoincidenceSorter(
        SortSettings(lld_keV=0, uld_keV=1, window_ps=TAU_PS, delay_ps=DELAY_PS),
        module_of=np.arange(modules, dtype=np.uint16),
        allowed_pairs=~np.eye(modules, dtype=np.bool_),
    )
    return sorter.push(singles, int(END_OF_TIME_PS))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_randoms_are_2_tau_s1_s2_t_in_both_windows(seed: int) -> None:
    rates = [1.0e6, 0.4e6]
    prompts, delayeds = sort(poisson_stream(rates, seed), 2)
    expected = 2 * TAU_PS * 1e-12 * rates[0] * rates[1] * DURATION_PS * 1e-12
    assert expected > 500
    assert abs(len(prompts) - expected) < 3 * np.sqrt(expected)
    assert abs(len(delayeds) - expected) < 3 * np.sqrt(expected)


def test_delayeds_of_each_crystal_pair_follow_its_own_rates() -> None:
    rates = [1.2e6, 0.8e6, 0.4e6]
    _, delayeds = sort(poisson_stream(rates, 7), 3)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        n = np.count_nonzero((delayeds["crystal_a"] == a) & (delayeds["crystal_b"] == b))
        expected = 2 * TAU_PS * 1e-12 * rates[a] * rates[b] * DURATION_PS * 1e-12
        assert abs(n - expected) < 3 * np.sqrt(expected)


def test_random_tof_is_flat_over_the_whole_window_on_both_signs() -> None:
    prompts, delayeds = sort(poisson_stream([1e6, 1e6], 4), 2)
    for records in (prompts, delayeds):
        counts, _ = np.histogram(records["tof_ps"], bins=4, range=(-TAU_PS, TAU_PS))
        assert counts.sum() == len(records)
        chi2 = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
        assert chi2 < 14.2  # 3 degrees of freedom, p = 0.003


def test_trues_do_not_leak_into_the_delayeds() -> None:
    """20,000 true pairs of σ = 300 ps on a sparse stream: prompts rise by them, delayeds do not."""
    rng = np.random.default_rng(8)
    emitted = np.sort(rng.integers(0, DURATION_PS, 20_000))
    singles = np.zeros(2 * len(emitted), dtype=SINGLE)
    singles["time_ps"] = np.repeat(emitted, 2) + rng.normal(0, 300, len(singles)).astype(np.int64)
    singles["crystal"] = np.tile([0, 1], len(emitted))
    singles = singles[np.argsort(singles["time_ps"], kind="stable")]
    prompts, delayeds = sort(singles, 2)
    rate = len(emitted) / (DURATION_PS * 1e-12)
    randoms = 2 * TAU_PS * 1e-12 * rate**2 * DURATION_PS * 1e-12
    assert abs(len(delayeds) - randoms) < 3 * np.sqrt(2 * randoms)
    trues = len(prompts) - len(delayeds)
    assert abs(trues - len(emitted)) < 3 * np.sqrt(len(prompts) - len(emitted) + len(delayeds) + 1)
    assert np.std(prompts["tof_ps"][np.abs(prompts["tof_ps"]) < 2000]) == pytest.approx(
        300 * np.sqrt(2), rel=0.03
    )
