"""¹⁷⁶Lu in the crystals: its rate, its β spectrum, the edges of the sum spectrum, its γ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from msgspec.structs import replace as changed
from scipy import integrate

from emulator.config import EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.prepare import prepare
from emulator.pet.lutetium import activity_Bq_per_mm3, lutetium_tables
from emulator.slices import LUTETIUM
from hw.physics.lutetium import beta_spectrum
from hw.scanner.preset_file import load_scanner
from oracles.emulation import PERIOD_PS, ideal

CONFIG = EmulatorConfig(
    scanner="bench2", phantom="point", activity_Bq=1.0, trigger_keV=30.0, lutetium=True
)
SHARP = {"time_sigma_ps": 0.0, "energy_sigma": 0.0, "position_sigma_mm": 0.0, "doi_sigma_mm": 0.0}


def hits_of(config: EmulatorConfig, *, times: float, slices: int) -> np.ndarray:
    """Return the hits of crystals that are ``times`` as active as they are, seen sharply."""
    instrument = ideal(config, **SHARP)
    lutetium = instrument.lutetium
    assert lutetium is not None
    hot = replace(instrument, lutetium=lutetium._replace(rate_Hz=times * lutetium.rate_Hz))
    emulation = Emulation(hot, activity_Bq=1.0, seed=7)
    return np.concatenate([emulation.emulate_slice(k).hits for k in range(slices)])


def test_activity_of_lyso_is_about_a_quarter_becquerel_per_mm3():
    """Lutetium metal has 52 Bq/g (2.6 % of ¹⁷⁶Lu, 3.76e10 y); LYSO is 71 % lutetium."""
    lutetium_Bq_per_g = 6.022e23 / 174.967 * 0.02599 * np.log(2) / (3.76e10 * 3.1557e7)
    assert lutetium_Bq_per_g == pytest.approx(52, rel=0.01)
    per_mm3 = 7.1e-3 * (1.8 * 174.967 / 440.8) * lutetium_Bq_per_g
    assert activity_Bq_per_mm3() == pytest.approx(per_mm3, rel=0.002)


def test_every_module_decays_by_its_volume():
    emulation = Emulation(prepare(CONFIG), activity_Bq=1.0, seed=7)
    decays = sum(int(emulation.emulate_slice(k).tally[LUTETIUM]) for k in range(400))
    volume_mm3 = 2 * 25.6 * 25.6 * 15.0
    expected = activity_Bq_per_mm3() * volume_mm3 * 400 * PERIOD_PS * 1e-12
    assert decays == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_beta_spectrum_has_the_published_endpoint_and_mean():
    def spectrum(energy_keV: float) -> float:
        return float(beta_spectrum(np.array([energy_keV]))[0])

    whole = integrate.quad(spectrum, 0.01, 593.0)[0]
    mean_keV = integrate.quad(lambda e: e * spectrum(e), 0.01, 593.0)[0] / whole
    assert mean_keV == pytest.approx(182, abs=1.5)  # Alva-Sánchez et al. 2018
    assert spectrum(593.0) == 0
    quantiles = lutetium_tables(load_scanner("bench2")).beta_keV
    assert (quantiles[0], quantiles[-1]) == (0.0, pytest.approx(593.0))
    assert (np.diff(quantiles) > 0).all()
    for share in (0.25, 0.5, 0.9):
        below = integrate.quad(spectrum, 0.01, quantiles[round(share * 1024)])[0] / whole
        assert below == pytest.approx(share, abs=0.003)


def test_sum_spectrum_of_a_module_rises_at_the_published_edges_only():
    hits = hits_of(CONFIG, times=30, slices=150)
    counts = np.bincount(hits["energy"], minlength=13_000)
    assert len(hits) > 100_000

    def rise(at_keV: float) -> float:
        """Return how many σ more there are in the 8 keV above an energy than below it."""
        at = round(at_keV * 10)
        below, above = counts[at - 85 : at - 5].sum(), counts[at + 5 : at + 85].sum()
        return float((above - below) / np.sqrt(above + below))

    for edge_keV in (88.3, 290.1, 395.1, 596.9):
        assert rise(edge_keV) > 5, edge_keV
    for smooth_keV in (150.0, 240.0, 350.0, 450.0, 520.0, 560.0, 700.0, 900.0):
        assert rise(smooth_keV) < 3, smooth_keV
    assert hits["energy"].max() <= 10 * (593.0 + 596.9) + 1


def test_gammas_are_seen_by_other_modules_at_their_lines():
    """The coincidence spectrum has peaks at 202 and 307 keV beside the β that started it."""
    hits = hits_of(changed(CONFIG, scanner="caremibrain"), times=1, slices=120)
    counts = np.bincount(hits["energy"], minlength=13_000)
    for line_keV in (201.8, 306.8):
        at = round(line_keV * 10)
        beside = (counts[at - 60 : at - 10].sum() + counts[at + 10 : at + 60].sum()) / 100
        assert counts[at - 1 : at + 2].sum() > 10 * 3 * beside


def test_crystals_of_all_places_decay_alike():
    hits = hits_of(CONFIG, times=30, slices=60)
    by_crystal = np.bincount(hits["crystal"], minlength=64).reshape(8, 8)
    assert by_crystal.min() > 0.75 * by_crystal.mean()
    by_module = np.bincount(hits["module"], minlength=2)
    assert by_module[0] == pytest.approx(by_module[1], abs=5 * np.sqrt(by_module[0]))


def test_without_the_option_crystals_are_quiet():
    emulation = Emulation(prepare(changed(CONFIG, lutetium=False)), activity_Bq=1.0, seed=7)
    assert sum(len(emulation.emulate_slice(k).hits) for k in range(50)) <= 5


@pytest.mark.parametrize("scanner", ["bench2", "caremibrain"])
def test_lutetium_is_in_the_sums(scanner):
    config = changed(CONFIG, scanner=scanner, activity_Bq=1e6, trigger_keV=100.0)
    emulation = Emulation(prepare(config), activity_Bq=1e6, seed=7)
    for k in range(4):
        emulation.digitize(emulation.emulate_slice(k), last=k == 3)
    truth = emulation.totals.truth()
    ends = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off", "after_end")
    assert truth["lutetium_decays"] > 50
    assert truth["deposits"] == sum(truth[k] for k in ends)
