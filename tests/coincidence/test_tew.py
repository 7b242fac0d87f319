"""Scatter by the triple-energy-window method: Ogawa's formula, its variance, its known biases."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.select import NUMBER_MASK, window_table
from coincidence.tew import tew, tew_of_run
from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.physics.energy_windows import claimed_keV, spect_windows


def settings_with(*windows: EnergyWindow) -> SortSettings:
    return SortSettings(
        lld_keV=425.0, uld_keV=650.0, window_ps=1000, delay_ps=10**5, windows=windows
    )


def test_the_numbers_of_a_worked_example() -> None:
    # heights 300/3 = 100 and 60/3 = 20 counts/keV: a trapezium of mean height 60 over 28 keV
    found = tew(5000, 28.0, low=(300, 3.0), high=(60, 3.0))
    assert found.scatter == pytest.approx(60 * 28)
    assert found.primary == pytest.approx(5000 - 1680)
    assert found.primary_sigma == pytest.approx((5000 + 14**2 * (300 + 60) / 9) ** 0.5)


def test_without_an_upper_window_its_height_is_nought() -> None:
    found = tew(1000, 28.0, low=(90, 3.0))
    assert found.scatter == pytest.approx(30 * 28 / 2)


def test_a_linear_continuum_is_taken_off_without_bias_and_sigma_is_the_spread() -> None:
    """On a linear background the trapezium is exact; 4000 experiments of Poisson counts."""
    rng = np.random.default_rng(3)
    settings = settings_with(*spect_windows("Lu-177"))
    claimed = {w.name: claimed_keV(w, settings.windows) for w in settings.windows}

    def height(energy_keV: float) -> float:  # scatter per keV, falling
        return 60.0 - 0.2 * (energy_keV - 150.0)

    found = []
    for _ in range(4000):
        counts = {}
        for w in settings.windows:
            mean = claimed[w.name] * height((w.lld_keV + w.uld_keV) / 2)
            counts[w.name] = int(rng.poisson(mean + (2000 if w.name == "Lu-177_208" else 0)))
        found.append(tew_of_run(settings, counts)["Lu-177_208"])
    primary = np.array([estimate.primary for estimate in found])
    sigma = np.array([estimate.primary_sigma for estimate in found])
    assert primary.mean() == pytest.approx(2000, abs=4 * sigma.mean() / 4000**0.5 + 3)
    assert sigma.mean() == pytest.approx(primary.std(), rel=0.05)


def test_every_photopeak_with_scatter_windows_has_an_estimate_and_no_other() -> None:
    plain = EnergyWindow(name="plain", lld_keV=300.0, uld_keV=330.0)
    settings = settings_with(*spect_windows("Lu-177"), plain)
    counts = {w.name: 10 for w in settings.windows}
    assert set(tew_of_run(settings, counts)) == {"Lu-177_113", "Lu-177_208"}
    assert tew_of_run(settings_with(), {}) == {}


def test_the_widths_are_those_of_the_table_that_sorts() -> None:
    """A shared edge belongs to the upper window, in the sorter as in the estimate."""
    settings = settings_with(*spect_windows("Lu-177", scatter_fraction=0.06))
    table = window_table(settings, 1)
    row = table.rows[table.row_of_module[0]] & NUMBER_MASK
    for number, window in enumerate(settings.singles_windows, 1):
        assert claimed_keV(window, settings.windows) * 10 == np.count_nonzero(row == number)
