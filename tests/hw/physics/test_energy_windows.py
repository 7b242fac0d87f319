"""Standard SPECT windows: where the nuclide's lines are, touching, and honest about their width."""

from __future__ import annotations

import math

import pytest

from hw.messages.sort_settings import EnergyWindow, SettingsError, SortSettings
from hw.physics.energy_windows import claimed_keV, spect_windows
from hw.physics.nuclides import NuclideError


def levels(*args: object, **options: object) -> dict[str, tuple[float, float]]:
    windows = spect_windows(*args, **options)  # type: ignore[arg-type]
    return {window.name: (window.lld_keV, window.uld_keV) for window in windows}


def test_lutetiums_windows_are_ten_percent_around_its_lines_with_3_keV_on_each_side() -> None:
    assert levels("Lu-177") == {
        "Lu-177_113_low": (98.7, 101.7),
        "Lu-177_113": (101.7, 124.2),
        "Lu-177_113_high": (124.2, 127.2),
        "Lu-177_208_low": (184.5, 187.5),
        "Lu-177_208": (187.5, 229.2),
        "Lu-177_208_high": (229.2, 232.2),
    }  # by hand: 112.95 × 0.9 = 101.65, × 1.1 = 124.2; 208.37 × 0.9 = 187.5, × 1.1 = 229.2


def test_the_windows_say_whose_they_are_and_make_valid_settings() -> None:
    windows = spect_windows("Lu-177")
    assert [w.kind for w in windows] == ["scatter", "photopeak", "scatter"] * 2
    assert [w.photopeak for w in windows[:3]] == ["Lu-177_113", "", "Lu-177_113"]
    assert {w.nuclide for w in windows} == {"Lu-177"}
    settings = SortSettings(
        lld_keV=425.0, uld_keV=650.0, window_ps=1000, delay_ps=10**5, windows=windows
    )
    assert settings.singles_windows == windows


@pytest.mark.parametrize(
    ("nuclide", "peaks"),
    [
        ("Tc-99m", ["Tc-99m_141"]),
        ("I-131", ["I-131_364"]),
        ("At-211", ["At-211_79"]),
        ("Lu-177", ["Lu-177_113", "Lu-177_208"]),
    ],
)
def test_the_lines_are_those_that_are_imaged(nuclide: str, peaks: list[str]) -> None:
    assert [w.name for w in spect_windows(nuclide) if w.kind == "photopeak"] == peaks


def test_widths_are_parameters_and_scatter_may_be_a_share_of_the_line() -> None:
    found = levels("Tc-99m", photopeak_fraction=0.15, scatter_fraction=0.06)
    low, high = found["Tc-99m_141"]
    assert (low, high) == (round(140.511 * 0.925, 1), round(140.511 * 1.075, 1))
    below, edge = found["Tc-99m_141_low"]
    assert edge == low
    assert edge - below == pytest.approx(0.06 * 140.511, abs=0.06)


def test_a_daughters_lines_are_given_by_their_energy() -> None:
    found = levels("Ac-225", lines_keV=[440.5, 218.1])
    assert list(found)[1::3] == ["Ac-225_218", "Ac-225_440"]


@pytest.mark.parametrize("nuclide", ["F-18", "Ga-68", "Ac-225", "Zr-89"])
def test_a_nuclide_without_a_line_to_image_is_refused_with_the_remedy(nuclide: str) -> None:
    with pytest.raises(SettingsError, match=rf"{nuclide} has no photon line.*{nuclide}@ENERGY"):
        spect_windows(nuclide)


def test_an_unknown_nuclide_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(NuclideError, match=r"'Lu-176'.*did you mean Lu-177"):
        spect_windows("Lu-176")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photopeak_fraction": 0.6, "scatter_keV": 40.0}, "Lu-177_113 and Lu-177_208 overlap"),
        ({"lines_keV": [140.0, 141.0]}, "Lu-177_140 and Lu-177_141 overlap.*narrower"),
        ({"photopeak_fraction": 0.0}, "photopeak_fraction = 0"),
        ({"photopeak_fraction": math.nan}, "photopeak_fraction = nan"),
        ({"scatter_keV": -3.0}, "scatter_keV = -3"),
        ({"scatter_fraction": math.inf}, "scatter_fraction = inf"),
        ({"lines_keV": [2.0]}, "a line at 2 keV"),
        ({"lines_keV": [math.nan]}, "a line at nan keV"),
        ({"lines_keV": [20.0], "scatter_keV": 30.0}, "would reach from -12"),
    ],
)
def test_windows_that_cannot_be_are_refused_in_words(options: dict, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        spect_windows("Lu-177", **options)


def window(name: str, low: float, high: float, **more: object) -> EnergyWindow:
    return EnergyWindow(name=name, lld_keV=low, uld_keV=high, **more)  # type: ignore[arg-type]


def test_the_claimed_width_counts_the_energies_that_belong_to_a_window() -> None:
    low, peak = window("low", 10.0, 13.0, kind="scatter"), window("peak", 13.0, 20.0)
    far = window("far", 20.0, 25.0, kind="coincidence", modules=(0,))
    # 10.0, 10.1 … 12.9 are 30 energies; 13.0 … 20.0 are 71
    assert claimed_keV(low, [low, peak, far]) == 3.0
    assert claimed_keV(peak, [low, peak, far]) == 7.1
    assert claimed_keV(low, [low]) == 3.1
    elsewhere = window("peak", 13.0, 20.0, modules=(1,))
    on_0 = window("low", 10.0, 13.0, modules=(0,))
    assert claimed_keV(on_0, [on_0, elsewhere]) == 3.1
