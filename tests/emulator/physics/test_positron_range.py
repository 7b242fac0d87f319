"""Positron range: Palmer's model against itself by integration, and against published ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate

from emulator.config import EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.prepare import prepare
from emulator.object.phantom import Phantom
from emulator.object.source_sampling import source_tables
from emulator.pet.decay_sampling import AT_ONCE, MODE, draw_decays, new_drawn
from emulator.physics.emission import emission_tables, load_source
from emulator.physics.positron_range import extrapolated_range_mm, radius_quantiles_mm, range_scale
from hw.physics.beta_spectrum import allowed_spectrum
from hw.physics.nuclides import load_nuclide
from oracles.emulation import random_state

WATER_PER_MM = 0.009577


def displacements_mm(nuclide: str, mu_per_mm: float, batches: int = 600, **options) -> np.ndarray:
    """Return the vectors from decay to annihilation of a cube of matter, (n, 3)."""
    ones = np.ones((1, 1, 1), np.float32)
    phantom = Phantom("cube", ones, mu_per_mm * ones, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    emission = emission_tables(load_source(nuclide), **options)
    state, drawn, parts = random_state(3), new_drawn(), []
    for _ in range(batches):
        draw_decays(state, source_tables(phantom), emission, np.ones(1), np.zeros(0), drawn)
        pairs = emission.positron[drawn.kinds[:, MODE]] >= 0
        parts.append((drawn.annihilations_mm - drawn.places[:, :3])[pairs])
    assert len(drawn.kinds) == AT_ONCE
    return np.concatenate(parts)


def test_extrapolated_range_is_that_of_the_formula_for_water():
    """By hand: Z = 7.217, A = 13.00; b1 = 5.446 mm g/cm³/MeV, b2 = 0.3695 MeV."""
    at_1_MeV = extrapolated_range_mm(np.array([1000.0]))[0]
    assert at_1_MeV == pytest.approx(5.446 / 1.3695, rel=1e-3)


def test_extrapolated_range_is_below_the_csda_range_in_water():
    """NIST ESTAR, electrons: 0.4367 and 0.9785 g/cm² at 1 and 2 MeV. Extrapolated ranges are
    shorter, for paths are not straight."""
    ranges = extrapolated_range_mm(np.array([1000.0, 2000.0]))
    assert (ranges < [4.367, 9.785]).all()
    assert (ranges > [3.7, 8.3]).all()


@pytest.mark.parametrize(("name", "mean_abs_mm", "rms_mm"), [
    ("F-18", 0.299, 0.438), ("C-11", 0.521, 0.759), ("N-13", 0.682, 0.985), ("O-15", 1.080, 1.548),
])  # fmt: skip
def test_projected_range_is_near_levins_and_hoffmans(name, mean_abs_mm, rms_mm):
    """Their Monte Carlo (Phys. Med. Biol. 44 (1999) 781, corrected 45 (2000) 559) fitted by
    C·exp(−k₁|x|) + (1 − C)·exp(−k₂|x|): the moments follow from C, k₁ and k₂. Published ranges
    differ among each other by 20 to 30 %, most at low energy; so do these from theirs."""
    nuclide = load_nuclide(name)
    radii = radius_quantiles_mm(nuclide.positrons[0], nuclide.atomic_number - 1)
    inner, outer = radii[:-1], radii[1:]
    mean_square = ((inner**2 + inner * outer + outer**2) / 3).mean() / 3
    assert math.sqrt(mean_square) == pytest.approx(rms_mm, rel=0.20)
    assert ((inner + outer) / 4).mean() == pytest.approx(mean_abs_mm, rel=0.25)


@pytest.mark.parametrize(("name", "furthest_mm"), [
    ("F-18", 2.4), ("C-11", 4.2), ("N-13", 5.5), ("O-15", 8.4),
])  # fmt: skip
def test_no_positron_gets_beyond_the_published_maximum(name, furthest_mm):
    """Maxima: M. Conti and L. Eriksson, EJNMMI Phys. 3 (2016) 8, table 1 (CSDA range of the
    endpoint, which is a tenth longer than the extrapolated one)."""
    nuclide = load_nuclide(name)
    radii = radius_quantiles_mm(nuclide.positrons[0], nuclide.atomic_number - 1)
    assert 0.85 * furthest_mm < radii[-1] < furthest_mm


def test_sampled_ranges_are_the_models_by_integration():
    """Moments of Gaussians over the spectrum, cut at the endpoint's range, by quadrature."""
    nuclide = load_nuclide("O-15")
    endpoint = nuclide.positrons[0].endpoint_keV
    cut = float(extrapolated_range_mm(np.array([endpoint]))[0])

    def over_spectrum(moment: int) -> float:
        def of_energy(energy: float) -> float:
            one = np.array([energy])
            sigma = float(extrapolated_range_mm(one)[0]) / 2
            weight = allowed_spectrum(one, endpoint_keV=endpoint, daughter_z=7, positron=True)[0]
            end = min(cut, 12 * sigma)
            radii = np.linspace(0, end, 2001)
            density = radii ** (2 + moment) * np.exp(-0.5 * (radii / sigma) ** 2) / sigma**3
            return float(weight * integrate.trapezoid(density, radii))

        return integrate.quad(of_energy, 1.0, endpoint - 1e-3, limit=100, epsrel=1e-4)[0]

    whole, first, second = (over_spectrum(k) for k in range(3))
    moved = displacements_mm("O-15", WATER_PER_MM)
    distance = np.linalg.norm(moved, axis=1)
    error = 4 * distance.std() / math.sqrt(len(distance))
    assert distance.mean() == pytest.approx(first / whole, abs=error)
    assert (distance**2).mean() == pytest.approx(second / whole, rel=0.04)
    assert distance.max() <= cut
    assert moved.mean(axis=0) == pytest.approx([0, 0, 0], abs=4 * 1.6 / math.sqrt(len(moved)))
    assert moved.std(axis=0) == pytest.approx([moved.std()] * 3, rel=0.03)


@pytest.mark.parametrize(("of_water", "scale"), [
    (1.0, 1.0), (1.53, 0.654), (0.26, 3.85), (0.15, 5.0), (0.0, 1.0), (0.001, 1.0),
])  # fmt: skip
def test_range_scales_with_density_and_sources_in_air_are_encapsulated(of_water, scale):
    mu = np.array([of_water * WATER_PER_MM], np.float32)
    assert range_scale(mu, WATER_PER_MM)[0] == pytest.approx(scale, rel=0.01)


def test_lung_lets_positrons_go_four_times_as_far_as_water():
    in_water = np.linalg.norm(displacements_mm("F-18", WATER_PER_MM, 300), axis=1).mean()
    in_lung = np.linalg.norm(displacements_mm("F-18", 0.25 * WATER_PER_MM, 300), axis=1).mean()
    assert in_lung / in_water == pytest.approx(4.0, rel=0.02)


def test_range_can_be_switched_off():
    assert not displacements_mm("Rb-82", WATER_PER_MM, 5, positron_range=False).any()


def test_hardest_positrons_blur_a_point_source_most_and_leave_its_counts():
    """A point in the centre: pairs are lost at most by a solid angle that hardly changes."""
    counts = []
    for config in (
        EmulatorConfig(phantom="point", nuclide="Rb-82"),
        EmulatorConfig(phantom="point", nuclide="Rb-82", positron_range=False),
    ):
        emulation = Emulation(prepare(config), activity_Bq=4e6, seed=5)
        counts.append(sum(len(emulation.emulate_slice(k).hits) for k in range(4)))
    assert counts[0] == pytest.approx(counts[1], rel=6 / math.sqrt(counts[0]))
