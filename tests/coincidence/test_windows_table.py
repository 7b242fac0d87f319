"""Energy windows as a table: every energy has its window, shared edges belong to the upper one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.calibration import Calibration, no_calibration
from coincidence.events import SINGLE, WINDOW_SHIFT
from coincidence.select import Selector, window_table
from hw.messages.sort_settings import EnergyWindow, SettingsError, SortSettings

MODULE_OF = np.array([0, 0, 1, 1], dtype=np.uint16)


def settings(*windows: EnergyWindow, lld: float = 400, uld: float = 650) -> SortSettings:
    return SortSettings(lld_keV=lld, uld_keV=uld, window_ps=1000, delay_ps=0, windows=windows)


def peak(name: str, low: float, high: float, **more) -> EnergyWindow:
    return EnergyWindow(name=name, lld_keV=low, uld_keV=high, **more)


def singles_of(energies, crystal: int = 0) -> np.ndarray:
    singles = np.zeros(len(energies), dtype=SINGLE)
    singles["time_ps"], singles["crystal"] = np.arange(len(energies)), crystal
    singles["energy"], singles["flags"] = energies, 1
    return singles


def numbers(windowed: np.ndarray) -> list[int]:
    return (windowed["flags"] >> WINDOW_SHIFT).tolist()


def test_pet_and_two_spect_peaks_share_one_stream() -> None:
    chosen = settings(peak("Lu-113", 102, 124), peak("Lu-208", 187, 229))
    selector = Selector(no_calibration(4), window_table(chosen, 2), MODULE_OF)
    singles = singles_of([1019, 1020, 1240, 1241, 1870, 2290, 2291, 4000, 5110, 6500, 6501])
    kept = selector.select(singles)
    pairing, windowed = selector.split(kept)
    assert pairing["energy"].tolist() == [4000, 5110, 6500]
    assert windowed["energy"].tolist() == [1020, 1240, 1870, 2290]
    assert numbers(windowed) == [1, 1, 2, 2]
    assert (windowed["flags"] & 3).tolist() == [1] * 4, "the word's own flags stay"
    assert selector.accepted.tolist() == [3, 0]
    assert selector.windowed.tolist() == [4, 0]


def test_a_single_in_the_coincidence_and_a_singles_window_goes_both_ways() -> None:
    chosen = settings(peak("I-131", 328, 400), lld=350)
    selector = Selector(no_calibration(4), window_table(chosen, 2), MODULE_OF)
    pairing, windowed = selector.split(selector.select(singles_of([3300, 3640, 5000])))
    assert pairing["energy"].tolist() == [3640, 5000]
    assert windowed["energy"].tolist() == [3300, 3640]
    assert selector.accepted[0] == 2
    assert selector.windowed[0] == 1


def test_a_shared_edge_belongs_to_the_upper_window() -> None:
    chosen = settings(peak("high", 126.4, 154.6), peak("low", 120, 126.4, kind="scatter"))
    selector = Selector(no_calibration(4), window_table(chosen, 2), MODULE_OF)
    _, windowed = selector.split(selector.select(singles_of([1263, 1264, 1265])))
    assert numbers(windowed) == [2, 1, 1]


def test_windows_may_differ_between_modules() -> None:
    own = EnergyWindow(name="front", lld_keV=450, uld_keV=550, kind="coincidence", modules=(1,))
    selector = Selector(no_calibration(4), window_table(settings(own), 2), MODULE_OF)
    assert len(selector.select(singles_of([4100, 5110, 6000], crystal=0))) == 3
    assert selector.select(singles_of([4100, 5110, 6000], crystal=2))["energy"].tolist() == [5110]


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60), st.integers(0, 2))
def test_every_energy_finds_the_window_that_holds_it(energies: list[int], module: int) -> None:
    windows = (peak("a", 50, 60), peak("b", 60, 90.05, modules=(1,)), peak("c", 100, 6553.5))
    table = window_table(settings(*windows), 3)
    for energy in energies:
        number = int(table.rows[table.row_of_module[module], energy]) & 0x3F
        holding = [
            k + 1 for k, w in enumerate(windows)
            if w.lld_keV * 10 <= energy <= w.uld_keV * 10 and (not w.modules or module in w.modules)
        ]  # fmt: skip
        assert number == (holding[-1] if holding else 0)


def test_a_module_that_the_scanner_lacks_is_refused() -> None:
    far = EnergyWindow(name="far", lld_keV=1, uld_keV=2, modules=(7,))
    with pytest.raises(SettingsError, match=r"far names module 7: the scanner has 2 modules"):
        window_table(settings(far), 2)


def test_singles_of_a_masked_crystal_are_counted_and_left_out() -> None:
    masked = np.array([False, True, False, False])
    calibration = Calibration(np.ones(4, np.float32), np.zeros(4, np.int32), masked=masked)
    selector = Selector(calibration, window_table(settings(), 2), MODULE_OF)
    singles = np.concatenate([singles_of([5110] * 3, crystal=c) for c in range(4)])
    assert sorted(set(selector.select(singles)["crystal"].tolist())) == [0, 2, 3]
    assert selector.masked.tolist() == [3, 0]
    assert selector.accepted.tolist() == [3, 6]
