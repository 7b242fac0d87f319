"""Spectra of β particles against closed forms and evaluated endpoints."""

from __future__ import annotations

import numpy as np
import pytest

from hw.physics.beta_spectrum import allowed_spectrum, energy_quantiles, mean_energy_keV
from hw.physics.nuclides import load_nuclide

EVALUATED_keV = [
    ("C-11", 960.4), ("N-13", 1198.5), ("O-15", 1731.9), ("F-18", 633.5), ("Na-22", 546.4),
    ("Cu-64", 653.0), ("Ga-68", 1899.1), ("Rb-82", 3378.0), ("Zr-89", 902.0),
]  # fmt: skip
"""Strongest branch, Nuclear Data Sheets and DDEP."""


@pytest.mark.parametrize(("name", "endpoint_keV"), EVALUATED_keV)
def test_endpoint_that_follows_from_the_mean_is_the_evaluated_one(name, endpoint_keV):
    """Only screening and the shape factor are missing: below 1 %."""
    strongest = max(load_nuclide(name).positrons, key=lambda branch: branch.intensity)
    assert strongest.endpoint_keV == pytest.approx(endpoint_keV, rel=0.01)


def test_forbidden_branch_of_iodine_is_two_per_cent_off():
    assert load_nuclide("I-124").positrons[2].endpoint_keV == pytest.approx(2138, rel=0.02)


@pytest.mark.parametrize("name", ["F-18", "Ga-68", "I-124"])
def test_mean_of_the_spectrum_is_icrp_107s(name):
    nuclide = load_nuclide(name)
    for branch in nuclide.positrons:
        mean = mean_energy_keV(branch.endpoint_keV, nuclide.atomic_number - 1, positron=True)
        assert mean == pytest.approx(branch.mean_keV, rel=1e-3)


def test_without_charge_the_spectrum_is_phase_space():
    """p·W·(Q − T)² in units of the electron's mass; Fermi's function of Z = 0 is 1."""
    energy = np.array([50.0, 200.0, 400.0])
    w = 1 + energy / 511.0
    phase_space = np.sqrt(w**2 - 1) * w * (500.0 - energy) ** 2
    spectrum = allowed_spectrum(energy, endpoint_keV=500.0, daughter_z=0, positron=True)
    assert spectrum / spectrum[0] == pytest.approx(phase_space / phase_space[0], rel=1e-4)


def test_nucleus_repels_positrons_and_attracts_electrons():
    means = [mean_energy_keV(1000.0, 40, positron=sign) for sign in (True, False)]
    assert means[0] > mean_energy_keV(1000.0, 1, positron=True) > means[1]


def test_quantiles_hold_equal_shares():
    quantiles = energy_quantiles(633.0, 8, positron=True, n=100)
    edges = (quantiles[0], quantiles[-1])
    assert edges == (0.0, 633.0)
    middle = (quantiles[1:] + quantiles[:-1]) / 2
    assert middle.mean() == pytest.approx(mean_energy_keV(633.0, 8, positron=True), rel=1e-3)
