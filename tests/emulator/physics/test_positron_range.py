"""Positron range: what the emulator draws, against the model by integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gammaln

from emulator.config import EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.prepare import prepare
from emulator.trials.positrons import ways_mm
from hw.physics.beta_spectrum import allowed_spectrum
from hw.physics.nuclides import load_nuclide
from hw.physics.positron_transport import slowing_down

WATER_PER_MM = 0.009577


def test_sampled_ranges_are_the_models_by_integration():
    """Moments over the spectrum, energy by energy: ⟨r²⟩ is transport theory's, ⟨r⟩ that of r²/R²
    with a beta distribution, R·Γ(2)Γ(3/2 + b)/(Γ(3/2)Γ(2 + b))."""
    endpoint = load_nuclide("O-15").positrons[0].endpoint_keV
    table = slowing_down()

    def over_spectrum(value) -> float:
        energy = np.linspace(1.0, endpoint, 4000)
        weight = allowed_spectrum(energy, endpoint_keV=endpoint, daughter_z=7, positron=True)
        way, rms = (np.interp(energy, table.energy_keV, c) for c in (table.csda_mm, table.rms_mm))
        return float(np.average(value(way, rms), weights=weight))

    def first(way, rms):
        b = 1.5 * ((way / rms) ** 2 - 1)
        return way * np.exp(gammaln(1.5 + b) - gammaln(1.5) - gammaln(2 + b))

    moved = ways_mm("O-15", WATER_PER_MM, decays=19_200, seed=3)
    distance = np.linalg.norm(moved, axis=1)
    error = 4 * distance.std() / math.sqrt(len(distance))
    assert distance.mean() == pytest.approx(over_spectrum(first), abs=error)
    assert (distance**2).mean() == pytest.approx(over_spectrum(lambda way, rms: rms**2), rel=0.04)
    assert distance.max() <= np.interp(endpoint, table.energy_keV, table.csda_mm) * 1.001
    assert moved.mean(axis=0) == pytest.approx([0, 0, 0], abs=4 * 1.6 / math.sqrt(len(moved)))
    assert moved.std(axis=0) == pytest.approx([moved.std()] * 3, rel=0.03)


def test_lung_lets_positrons_go_four_times_as_far_as_water():
    in_water = np.linalg.norm(ways_mm("F-18", WATER_PER_MM, decays=9600, seed=3), axis=1).mean()
    in_lung = np.linalg.norm(
        ways_mm("F-18", 0.25 * WATER_PER_MM, decays=9600, seed=3), axis=1
    ).mean()
    assert in_lung / in_water == pytest.approx(4.0, rel=0.02)


def test_range_can_be_switched_off():
    assert not ways_mm("Rb-82", WATER_PER_MM, decays=160, seed=3, positron_range=False).any()


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
