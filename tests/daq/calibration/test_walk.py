"""The time walk of each crystal comes back from coincidences, jointly with the skews."""

from __future__ import annotations

import numpy as np
import pytest

from daq.calibration.coincidence_pairs import PAIR
from daq.calibration.walk_fit import MOST_ERROR_PS, WalkResult, calibrate_walk
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from rigs.calibration_runs import BENCH, add_walk, synthetic_pairs

N = BENCH.n_crystals


def truth(seed: int, *, spread: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    skew = rng.normal(0.0, 200.0, N)
    return skew - skew.mean(), rng.normal(300.0, spread, N)


def measured(
    skew: np.ndarray, walk: np.ndarray, *, n: int, seed: int, randoms: float = 0.0
) -> np.ndarray:
    pairs = synthetic_pairs(BENCH, skew, n=n, ctr_fwhm_ps=400.0, seed=seed, randoms=randoms)
    return add_walk(pairs, walk, seed=seed + 100)


@pytest.fixture(scope="module")
def found() -> WalkResult:
    return calibrate_walk(measured(*truth(1), n=600_000, seed=2, randoms=0.1), BENCH)


def test_walk_and_skew_of_each_crystal_are_found_together(found: WalkResult) -> None:
    skew, walk = truth(1)
    assert (found.status == Status.FITTED).all()
    # 9400 coincidences a crystal, f spread by 0.14: 170 ps/(0.14·√9400) = 13 ps
    assert np.std(found.walk_ps - walk) < 18.0
    assert abs(np.mean(found.walk_ps - walk)) < 3.0
    assert np.std(found.skew_ps - skew) < 5.0
    assert np.std(found.residual_after) < np.std(found.residual_before)


def test_the_standard_error_is_the_scatter(found: WalkResult) -> None:
    pull = (found.walk_ps - truth(1)[1]) / found.error_ps
    assert 0.8 < pull.std() < 1.3


def test_crystals_with_few_coincidences_share_their_modules_walk() -> None:
    skew, walk = truth(5, spread=0.0)
    walk[64:] += 150.0
    found = calibrate_walk(measured(skew, walk, n=200_000, seed=6), BENCH)
    assert (found.status == Status.MODULE).all()
    assert len(np.unique(found.walk_ps.round(6))) == 2
    assert np.abs(found.walk_ps - walk).max() < 10.0


def test_a_crystal_without_coincidences_takes_its_modules_median() -> None:
    skew, walk = truth(7)
    pairs = measured(skew, walk, n=500_000, seed=8)
    found = calibrate_walk(pairs[pairs["crystal_a"] != 9], BENCH)
    assert found.status[9] == Status.MODULE
    assert found.walk_ps[9] == pytest.approx(np.median(np.delete(found.walk_ps[:64], 9)))


def test_a_photopeak_window_or_a_short_run_is_refused_with_what_to_do() -> None:
    skew, walk = truth(9)
    few = measured(skew, walk, n=800, seed=10)
    with pytest.raises(CalibrationSetError, match=rf"at most {MOST_ERROR_PS:g} ps.*--lld-keV"):
        calibrate_walk(few, BENCH)
    one_energy = synthetic_pairs(BENCH, skew, n=20_000, ctr_fwhm_ps=400.0, seed=11, randoms=0.0)
    with pytest.raises(CalibrationSetError, match="widen the energy window"):
        calibrate_walk(one_energy, BENCH)
    with pytest.raises(CalibrationSetError, match="at least 30"):
        calibrate_walk(np.zeros(0, PAIR), BENCH)
