"""Directions and Compton scatter against the formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from emulator.pet.pair_transport import turn_partner
from emulator.physics.photons import (
    DX,
    DZ,
    ENERGY,
    PHOTON_SIZE,
    aim_isotropic,
    scatter_compton,
)
from hw.physics.compton import sample_compton
from hw.physics.photon_kernels import turned
from oracles.emulation import random_state

REST_KEV = 510.99895


def klein_nishina(cosine: float, energy_keV: float) -> float:
    """dσ/dΩ up to a constant (Klein & Nishina, Z. Phys. 52 (1929) 853)."""
    ratio = 1 / (1 + energy_keV / REST_KEV * (1 - cosine))
    return ratio**2 * (ratio + 1 / ratio - (1 - cosine**2))


@pytest.mark.parametrize("energy_keV", [30.0, 80.0, 140.5, 364.5, REST_KEV, 1274.5])
def test_scattering_angles_follow_klein_nishina(energy_keV):
    state = random_state(3)
    drawn = np.array([sample_compton(state, energy_keV) for _ in range(40_000)])
    cosines = 1 - drawn[:, 1]
    assert drawn[:, 0] == pytest.approx(1 + energy_keV / REST_KEV * drawn[:, 1])
    edges = np.linspace(-1, 1, 21)
    counts, _ = np.histogram(cosines, edges)
    share = np.array(
        [
            integrate.quad(klein_nishina, a, b, args=(energy_keV,))[0]
            for a, b in itertools.pairwise(edges)
        ]
    )
    assert counts.sum() == len(cosines)
    assert stats.chisquare(counts, share / share.sum() * len(cosines)).pvalue > 0.001


def test_compton_edge_of_annihilation_photons_is_340_7_keV():
    state = random_state(4)
    photon = np.zeros(PHOTON_SIZE)
    given_away = []
    for _ in range(20_000):
        photon[DX], photon[DX + 1], photon[DZ], photon[ENERGY] = 0, 0, 1, REST_KEV
        given_away.append(scatter_compton(state, photon))
    assert max(given_away) <= 340.67
    assert max(given_away) > 340.0


def test_energy_and_angle_of_a_scatter_belong_together():
    state = random_state(5)
    photon = np.zeros(PHOTON_SIZE)
    for _ in range(200):
        aim_isotropic(state, photon)
        before = photon[DX : DZ + 1].copy()
        photon[ENERGY] = 300.0
        scatter_compton(state, photon)
        cosine = before @ photon[DX : DZ + 1]
        assert photon[ENERGY] == pytest.approx(300 / (1 + 300 / REST_KEV * (1 - cosine)), rel=1e-9)


@given(
    z=st.floats(-1, 1), azimuth=st.floats(0, 6.28), cosine=st.floats(-1, 1), phi=st.floats(0, 6.28)
)
def test_turn_keeps_the_length_and_makes_the_angle(z, azimuth, cosine, phi):
    photon = np.zeros(PHOTON_SIZE)
    across = np.sqrt(1 - z * z)
    direction = np.array([across * np.cos(azimuth), across * np.sin(azimuth), z])
    photon[DX : DZ + 1] = direction
    photon[DX : DZ + 1] = turned(*direction, cosine, np.cos(phi), np.sin(phi))
    assert np.linalg.norm(photon[DX : DZ + 1]) == pytest.approx(1, abs=1e-9)
    assert photon[DX : DZ + 1] @ direction == pytest.approx(cosine, abs=2e-6)


def test_directions_are_isotropic():
    state = random_state(6)
    photon = np.zeros(PHOTON_SIZE)
    directions = []
    for _ in range(10_000):
        aim_isotropic(state, photon)
        directions.append(photon[DX : DZ + 1].copy())
    for axis in range(3):
        component = np.array(directions)[:, axis]
        assert stats.kstest(component, stats.uniform(-1, 2).cdf).pvalue > 0.001


def test_pairs_are_half_a_degree_from_collinear():
    state = random_state(11)
    photon = np.zeros(PHOTON_SIZE)
    bends_deg = []
    for _ in range(20_000):
        photon[DX : DZ + 1] = 0, 0, 1
        turn_partner(state, photon)
        assert photon[DZ] < -0.99
        bends_deg.append(np.degrees(photon[DX:DZ]))
    for plane in np.array(bends_deg).T:
        fwhm_deg = 2 * np.sqrt(2 * np.log(2)) * plane.std()
        assert fwhm_deg == pytest.approx(0.5, rel=0.02)
        assert stats.kstest(plane / plane.std(), stats.norm.cdf).pvalue > 0.001
