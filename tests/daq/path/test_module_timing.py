"""A module whose coincidences have no peak at Δt = 0 is named, and no other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from coincidence.events import COINCIDENCE, SINGLE
from daq.path.takers.module_timing import ModuleTiming

MODULES, CRYSTALS, WINDOW_PS = 6, 10, 2000
MODULE_OF = np.repeat(np.arange(MODULES), CRYSTALS).astype(np.uint16)


def output(
    seed: int, *, trues: int, randoms: int, off: tuple[int, ...] = (), displaced_ps: int = 0
):
    """Return what a batch of coincidences looks like; the trues of modules ``off`` are displaced,
    or gone where that is beyond the window.
    """
    rng = np.random.default_rng(seed)
    n = trues + randoms
    a = rng.integers(0, MODULES, n)
    b = (a + rng.integers(1, MODULES, n)) % MODULES
    tof = np.where(
        np.arange(n) < trues, rng.normal(0, 250, n), rng.uniform(-WINDOW_PS, WINDOW_PS, n)
    )
    hit = np.isin(a, off) | np.isin(b, off)
    tof = np.where(hit & (np.arange(n) < trues), tof + displaced_ps, tof)
    keep = np.abs(tof) <= WINDOW_PS
    prompts = np.zeros(n, COINCIDENCE)
    prompts["crystal_a"], prompts["crystal_b"], prompts["tof_ps"] = a * CRYSTALS, b * CRYSTALS, tof
    accepted = np.zeros(4 * n, SINGLE)
    accepted["crystal"] = rng.integers(0, MODULES * CRYSTALS, 4 * n)
    return SimpleNamespace(prompts=prompts[keep], accepted=accepted)


@pytest.fixture
def timing() -> ModuleTiming:
    return ModuleTiming(SimpleNamespace(window_ps=WINDOW_PS), MODULE_OF)


@pytest.mark.parametrize("displaced_ps", [10**8, 1500, -1500])
def test_a_module_whose_clock_is_off_is_named(timing: ModuleTiming, displaced_ps: int) -> None:
    timing.take(output(1, trues=6000, randoms=3000, off=(4,), displaced_ps=displaced_ps))
    assert timing.judge() == ["the Δt peak of module 4 is missing"]
    assert timing.judge() == []  # it begins anew


@pytest.mark.parametrize("randoms", [0, 3000, 40_000])
@pytest.mark.parametrize("seed", range(5))
def test_modules_that_are_well_are_not_named(timing, randoms: int, seed: int) -> None:
    for _ in range(10):
        timing.take(output(seed, trues=6000, randoms=randoms))
        assert timing.judge() == []


def test_few_counts_judge_nobody(timing: ModuleTiming) -> None:
    timing.take(output(2, trues=600, randoms=300, off=(4,), displaced_ps=10**7))
    assert timing.judge() == []


def test_randoms_alone_are_told_once_there_are_singles_enough(timing: ModuleTiming) -> None:
    timing.take(output(3, trues=0, randoms=2000))
    assert timing.judge() == []
    for seed in range(20):
        timing.take(output(seed, trues=0, randoms=2000))
    assert timing.judge() == ["no module has a Δt peak: all coincidences are as randoms would be"]


RING, WIDE = 12, np.repeat(np.arange(12), CRYSTALS).astype(np.uint16)


def ring(seed: int, *, trues: int, none: tuple[tuple[int, int], ...] = (), spread: float = 2.0):
    """Coincidences of a ring of 12 modules, those opposite each other the most; some pairs none."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, RING, trues)
    b = (a + 6 + np.round(rng.normal(0, spread, trues)).astype(int)) % RING
    pair = np.sort(np.stack((a, b)), axis=0)
    keep = a != b
    for one in none:
        keep &= ~((pair[0] == one[0]) & (pair[1] == one[1]))
    prompts = np.zeros(trues, COINCIDENCE)
    prompts["crystal_a"], prompts["crystal_b"] = a * CRYSTALS, b * CRYSTALS
    prompts["tof_ps"] = rng.normal(0, 250, trues)
    return prompts[keep]


def judged(*prompts) -> list[str]:
    timing = ModuleTiming(SimpleNamespace(window_ps=WINDOW_PS), WIDE)
    for some in prompts:
        timing.observe(some, np.zeros(0, SINGLE))
    return timing.judge_pairs()


@pytest.mark.parametrize("pair", [(1, 7), (0, 6), (2, 9)])
def test_a_pair_without_coincidences_among_others_is_named(pair: tuple[int, int]) -> None:
    found = judged(ring(1, trues=200_000, none=(pair,)))
    assert len(found) == 1
    assert found[0].startswith(f"modules {pair[0]} and {pair[1]} have no coincidences")


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0, 6.0])
def test_pairs_that_are_well_or_out_of_view_are_not_named(spread: float) -> None:
    assert judged(ring(2, trues=200_000, spread=spread)) == []


def test_what_lies_between_two_sources_is_not_named() -> None:
    between = tuple((a, a + 6) for a in range(6))
    assert judged(ring(3, trues=300_000, none=between)) == []


def test_few_coincidences_of_pairs_judge_none() -> None:
    assert judged(ring(4, trues=20_000, none=((1, 7),))) == []
