"""Transport of positrons in water: against tables, a slow walk, and Geant4."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hw.physics.positron_transport import (
    scattering_per_mm,
    slowing_down,
    stopping_power_keV_per_mm,
)


def at(energy_keV: float, column: np.ndarray) -> float:
    return float(np.interp(energy_keV, slowing_down().energy_keV, column))


@pytest.mark.parametrize(("energy_keV", "electrons_mm"), [
    (100.0, 0.1431), (500.0, 1.766), (1000.0, 4.367), (2000.0, 9.785),
])  # fmt: skip
def test_csda_range_is_near_that_of_electrons(energy_keV: float, electrons_mm: float) -> None:
    """NIST ESTAR, electrons in water. Slow positrons lose more, fast ones less: −5 to +3 %."""
    ratio = at(energy_keV, slowing_down().csda_mm) / electrons_mm
    assert 0.94 < ratio < 1.04
    assert (ratio < 1) == (energy_keV < 800)


def test_displacement_is_that_of_a_slow_walk() -> None:
    """Oracle: 4000 positrons that go straight for a step and turn by angles whose mean cosine is
    that of transport theory. Whatever else the angles' law, the mean square is the same."""
    rng = np.random.default_rng(0)
    edges = np.geomspace(800.0, 4.0, 600)
    place = np.zeros((4000, 3))
    heading = np.tile([0.0, 0.0, 1.0], (4000, 1))
    for above, below in itertools.pairwise(edges):
        middle = np.array([(above + below) / 2])
        step = float((above - below) / stopping_power_keV_per_mm(middle)[0])
        place += step * heading
        turn = step * float(scattering_per_mm(middle)[0])
        # 1 − cos θ exponential, which no angle beyond 180° spoils where its mean is small
        cosine = np.maximum(1 - rng.exponential(turn, 4000), -1.0)
        heading = turned(heading, cosine, rng.uniform(0, 2 * np.pi, 4000))
    rms = np.sqrt((place**2).sum(axis=1).mean())
    assert at(800.0, slowing_down().rms_mm) == pytest.approx(rms, rel=0.02)


def turned(heading: np.ndarray, cosine: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Return directions turned by these angles."""
    helper = np.where(np.abs(heading[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    u = np.cross(heading, helper)
    u /= np.linalg.norm(u, axis=1)[:, None]
    v = np.cross(heading, u)
    sine = np.sqrt(1 - cosine**2)
    across = np.cos(azimuth)[:, None] * u + np.sin(azimuth)[:, None] * v
    return cosine[:, None] * heading + sine[:, None] * across


@pytest.mark.parametrize(("energy_keV", "rms_mm"), [
    (50.0, 0.02847), (100.0, 0.09771), (200.0, 0.3109), (500.0, 1.237), (1000.0, 3.125),
    (2000.0, 7.258),
])  # fmt: skip
def test_displacement_is_geant4s(energy_keV: float, rms_mm: float) -> None:
    """Positrons at rest in water in Geant4 11.4 (opengate 10.1.1, G4EmStandardPhysics, steps of at
    most 2 % of the range or 1 µm), 4,000 to 15,000 each, without bremsstrahlung."""
    assert at(energy_keV, slowing_down().rms_mm) == pytest.approx(rms_mm, rel=0.05)
