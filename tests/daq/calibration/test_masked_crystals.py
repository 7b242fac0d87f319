"""Dead and noisy crystals are found by their counts; chance and the source's place are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.calibration.masked_crystals import find_masked
from daq.folder.calibration_arrays import MASKED_DEAD, MASKED_NOISY, CalibrationSetError
from daq.folder.calibration_set import new_set
from emulator.config import EmulatorConfig
from emulator.object.shapes import cylinder
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from rigs.calibration_runs import singles_of

TOF = load_scanner("tof_brain")
BENCH = load_scanner("bench2")


def counts(expected: float, *, seed: int, scanner: Scanner = BENCH) -> np.ndarray:
    return np.random.default_rng(seed).poisson(expected, size=scanner.n_crystals)


@given(seed=st.integers(0, 2**32), expected=st.floats(60, 5000))
def test_a_good_scanner_has_no_masked_crystal(seed: int, expected: float) -> None:
    assert not find_masked(counts(expected, seed=seed), BENCH).masked.any()


def test_dead_and_noisy_crystals_are_found_whatever_the_modules_share_of_the_counts() -> None:
    found = counts(400.0, seed=1)
    found[:64] *= 10  # the source is nearer to module 0
    found[3], found[70] = 0, 5
    found[5], found[90] = 50_000, 4000
    masked = find_masked(found, BENCH).masked
    assert np.flatnonzero(masked == MASKED_DEAD).tolist() == [3, 70]
    assert np.flatnonzero(masked == MASKED_NOISY).tolist() == [5, 90]
    assert np.count_nonzero(masked) == 4


def test_a_dead_module_is_dead_and_a_weak_one_undecided() -> None:
    per_module = TOF.crystals_per_module
    found = counts(200.0, seed=2, scanner=TOF)
    found[:per_module] = 0
    found[per_module : 2 * per_module] = 40
    result = find_masked(found, TOF)
    assert np.flatnonzero(result.dead_modules).tolist() == [0]
    assert np.flatnonzero(result.undecided).tolist() == [1]
    assert (result.masked[:per_module] == MASKED_DEAD).all()
    assert not result.masked[per_module:].any()


def test_too_few_singles_are_refused() -> None:
    with pytest.raises(CalibrationSetError, match="at least 50 are needed"):
        find_masked(counts(20.0, seed=3), BENCH)


def test_a_set_hands_the_mask_to_the_event_path_as_yes_or_no() -> None:
    masked = np.zeros(BENCH.n_crystals, np.uint8)
    masked[[4, 5]] = MASKED_DEAD, MASKED_NOISY
    made = new_set("m", BENCH, sources=(), values={"masked": masked})
    assert made.calibration().masked.dtype == np.bool_
    assert np.flatnonzero(made.calibration().masked).tolist() == [4, 5]


def test_dead_and_noisy_crystals_of_the_emulator_are_found() -> None:
    config = EmulatorConfig(
        scanner="bench2", activity_Bq=6e6, seed=3, dead_crystals=(5, 77), noisy_crystals=(70,)
    )
    instrument, batches = singles_of(config, periods=60, phantom=cylinder(BENCH, radius_mm=8.0))
    found = np.zeros(BENCH.n_crystals, np.int64)
    for singles in batches:
        found += np.bincount(singles["crystal"], minlength=BENCH.n_crystals)
    masked = find_masked(found, BENCH).masked
    np.testing.assert_array_equal(masked == MASKED_DEAD, instrument.truth.dead)
    np.testing.assert_array_equal(masked == MASKED_NOISY, instrument.truth.noisy)
