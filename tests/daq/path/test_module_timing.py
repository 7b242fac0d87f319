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
