"""Relative efficiencies: what was planted is found, chance is not taken for a spread."""

from __future__ import annotations

import numpy as np
import pytest

from daq.quality.efficiency_map import efficiency_map
from daq.quality.peak_quality import QcError
from hw.scanner.preset_file import load_scanner

RING = load_scanner("tof_brain")


def planted(*, mean: float, spread: float, seed: int) -> np.ndarray:
    """Counts of a ring with a pattern that all modules share, and crystals that differ."""
    rng = np.random.default_rng(seed)
    pattern = 1 + 0.3 * np.sin(np.arange(RING.crystals_per_module))
    own = rng.normal(1.0, spread, (RING.n_modules, RING.crystals_per_module))
    return rng.poisson(mean * pattern * own).ravel()


NONE = np.zeros(RING.n_crystals, np.bool_)


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.10])
def test_the_planted_spread_is_found_without_that_of_chance(spread: float) -> None:
    found = efficiency_map(planted(mean=1000, spread=spread, seed=2), RING, NONE)
    assert found.spread_percent == pytest.approx(100 * spread, abs=0.8)  # chance alone: 3 %
    assert found.modules == pytest.approx(1.0, abs=0.03)


def test_a_weak_module_and_a_crystal_that_is_left_out() -> None:
    counts = planted(mean=1000, spread=0.02, seed=3).reshape(RING.n_modules, -1)
    counts[7] = counts[7] * 8 // 10
    left_out = NONE.copy()
    left_out[5] = True
    found = efficiency_map(counts.ravel(), RING, left_out)
    assert found.modules[7] == pytest.approx(0.8, abs=0.02)
    assert np.isnan(found.crystals.ravel()[5])
    assert np.isfinite(np.delete(found.crystals.ravel(), 5)).all()


def test_too_few_counts_are_told() -> None:
    with pytest.raises(QcError, match="measure longer"):
        efficiency_map(np.ones(RING.n_crystals, np.int64), RING, NONE)
