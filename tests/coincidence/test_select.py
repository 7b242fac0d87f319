"""Selection equals numpy: gain, skew, inclusive energy window, counts, spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.calibration import Calibration, CalibrationError, no_calibration
from coincidence.events import SINGLE
from coincidence.select import (
    COINCIDENCE_BIT,
    ENERGIES,
    SPECTRUM_BINS,
    Selector,
    WindowTable,
    window_dkeV,
)

MODULE_OF = np.array([0, 0, 1, 1, 2, 2], dtype=np.uint16)


def select(singles: np.ndarray, calibration: Calibration, window: tuple[int, int]):
    rows = np.zeros((2, ENERGIES), np.uint8)
    rows[1, window[0] : window[1] + 1] = COINCIDENCE_BIT
    selector = Selector(calibration, WindowTable(rows, np.ones(3, np.uint16)), MODULE_OF)
    return selector.select(singles), selector.accepted, selector.spectrum


def some_singles(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    singles = np.zeros(n, dtype=SINGLE)
    singles["time_ps"] = rng.integers(0, 10**12, n)
    singles["crystal"] = rng.integers(0, 6, n)
    singles["energy"] = rng.integers(0, 65536, n)
    singles["flags"], singles["doi"] = rng.integers(0, 4, n), rng.integers(0, 8, n)
    return singles


@given(
    n=st.integers(0, 80),
    seed=st.integers(0, 2**16),
    gain=st.lists(st.floats(0.25, 4, width=32), min_size=6, max_size=6),
    skew=st.lists(st.integers(-(10**6), 10**6), min_size=6, max_size=6),
    low=st.integers(0, 40000),
    width=st.integers(1, 40000),
)
def test_selection_equals_numpy(n, seed, gain, skew, low, width) -> None:
    singles = some_singles(n, seed)
    calibration = Calibration(np.array(gain, np.float32), np.array(skew, np.int32))
    out, accepted, spectrum = select(singles, calibration, (low, low + width))
    scaled = singles["energy"].astype(np.float64) * calibration.gain[singles["crystal"]]
    energy = np.minimum(np.floor(scaled + 0.5), 65535).astype(np.int64)
    good = (energy >= low) & (energy <= low + width)
    expected = singles[good].copy()
    expected["energy"] = energy[good]
    expected["time_ps"] -= calibration.skew_ps[expected["crystal"]]
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(
        accepted, np.bincount(MODULE_OF[expected["crystal"]], minlength=3)
    )
    bins = np.minimum(energy // 40, SPECTRUM_BINS - 1)
    np.testing.assert_array_equal(spectrum, np.bincount(bins, minlength=SPECTRUM_BINS))


@pytest.mark.parametrize(
    ("energy", "taken"), [(3499, 0), (3500, 1), (3501, 1), (6499, 1), (6500, 1), (6501, 0)]
)
def test_the_energy_window_includes_both_edges(energy: int, taken: int) -> None:
    singles = some_singles(1)
    singles["energy"] = energy
    assert len(select(singles, no_calibration(6), window_dkeV(350, 650))[0]) == taken


@pytest.mark.parametrize(
    ("lld", "uld", "window"),
    [
        (350, 650, (3500, 6500)),
        (0, 6553.5, (0, 65535)),
        (350.05, 649.95, (3501, 6499)),
        (0.1 * 3, 0.7, (3, 7)),
        (434.9, 435.1, (4349, 4351)),
    ],
)
def test_the_window_in_tenths_holds_exactly_the_energies_within(lld, uld, window) -> None:
    assert window_dkeV(lld, uld) == window


def test_a_gain_that_overflows_saturates() -> None:
    singles = some_singles(4)
    singles["energy"] = [0, 1, 40000, 65535]
    huge = Calibration(np.full(6, 3e38, np.float32), np.zeros(6, np.int32))
    out, _, spectrum = select(singles, huge, (0, 65535))
    assert out["energy"].tolist() == [0, 65535, 65535, 65535]
    assert spectrum[-1] == 3


@pytest.mark.parametrize("gain", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_an_absurd_gain_is_refused_with_its_crystal(gain: float) -> None:
    gains = np.ones(6, np.float32)
    gains[4] = gain
    with pytest.raises(CalibrationError, match="crystal 4"):
        Calibration(gains, np.zeros(6, np.int32))


def test_a_calibration_of_another_scanner_is_refused() -> None:
    no_calibration(6).check_fits(6)
    with pytest.raises(CalibrationError, match=r"6 values of gain.*8 crystals"):
        no_calibration(6).check_fits(8)


def test_the_margin_covers_the_latest_skew_and_is_never_negative() -> None:
    def margin(*skew: int) -> int:
        return Calibration(np.ones(len(skew), np.float32), np.array(skew, np.int32)).margin_ps

    assert margin(-5, 7, 3) == 7
    assert margin(-5, -7) == 0
    assert margin() == 0
