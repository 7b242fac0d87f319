"""The range of positrons in water, from cross-sections of single collisions. Nothing is fitted.

A positron of energy T slows down continuously (CSDA) and changes direction in many collisions.

*Energy.* Collision stopping power by Bhabha's formula with Sternheimer's density effect (ICRU
Report 37, 1984; I = 75 eV). Bremsstrahlung is left out: it takes less than 1 % up to 1.5 MeV.

*Direction.* 1/λ₁ = n ∫ (1 − cos θ) dσ is the inverse first transport mean free path, the sum of

- elastic scatter by H and O: Rutherford's cross-section with Molière's screening angle (Z.
  Naturforsch. 2a (1947) 133) and, for the spin, McKinley's and Feshbach's factor of a positron
  (Phys. Rev. 74 (1948) 1759);
- collisions with electrons: for losses above I by Bhabha's cross-section (Proc. R. Soc. A 154
  (1936) 195) with the kinematics of free electrons; and distant ones, which transfer momentum up
  to a recoil of I (D. Liljequist, J. Phys. D 16 (1983) 1567).

*Displacement.* On the rest of its way a positron of T advances by K along its present direction on
average, and it ends with a mean square ⟨r²⟩ from where it began (H. W. Lewis, Phys. Rev. 78 (1950)
526):

    dK/ds = 1 − K/λ₁,    d⟨r²⟩/ds = 2K,    s = the CSDA range at T.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from hw.arrays import F8
from hw.physics.constants import ELECTRON_REST_KEV

_ALPHA = 1 / 137.035999  # CODATA 2018
_ELECTRON_RADIUS_CM = 2.8179403e-13
_AVOGADRO = 6.02214076e23
_PER_CM_TO_PER_MM = 0.1

_HYDROGEN, _OXYGEN = 0.111894, 0.888106  # of water's weight
_ATOMS = ((1, _AVOGADRO * _HYDROGEN / 1.008), (8, _AVOGADRO * _OXYGEN / 15.999))  # Z, per cm³
_ELECTRONS = sum(z * n for z, n in _ATOMS)
_I_KEV = 0.075
_DENSITY = (3.5017, 0.2400, 2.8004, 0.09116, 3.4773)  # C, x₀, x₁, a, m of liquid water

LEAST_KEV, MOST_KEV, _ENERGIES = 1.0, 10_000.0, 240
_ANGLES, _LOSSES = 500, 400


class Slowing(NamedTuple):
    """Positrons of these energies in water.

    energy_keV : (n,) f8, increasing
    csda_mm : (n,) f8, length of their way
    rms_mm : (n,) f8, root mean square distance of its end from its beginning
    """

    energy_keV: F8
    csda_mm: F8
    rms_mm: F8


def stopping_power_keV_per_mm(energy_keV: F8) -> F8:
    """Return the collision stopping power of water for positrons."""
    tau = energy_keV / ELECTRON_REST_KEV
    beta2 = 1 - 1 / (tau + 1) ** 2
    bhabha = 2 * math.log(2) - beta2 / 12 * (
        23 + 14 / (tau + 2) + 10 / (tau + 2) ** 2 + 4 / (tau + 2) ** 3
    )
    logs = 2 * np.log(energy_keV / _I_KEV) + np.log1p(tau / 2)
    return np.asarray(_close(beta2) * (logs + bhabha - _density_effect(tau)))


def scattering_per_mm(energy_keV: F8) -> F8:
    """Return 1/λ₁ of water for positrons."""
    return _elastic_per_mm(energy_keV) + _inelastic_per_mm(energy_keV)


@functools.cache
def slowing_down() -> Slowing:
    """Return the table of what becomes of positrons of LEAST_KEV to MOST_KEV."""
    energy = np.geomspace(LEAST_KEV, MOST_KEV, _ENERGIES)
    steepness, turning = 1 / stopping_power_keV_per_mm(energy), scattering_per_mm(energy)
    # below the table, where the way is shorter than 0.1 µm, a positron goes straight on
    way = np.empty(_ENERGIES)
    ahead, square = np.empty(_ENERGIES), np.empty(_ENERGIES)
    way[0] = ahead[0] = energy[0] * steepness[0] / 2
    square[0] = way[0] ** 2
    for k in range(1, _ENERGIES):
        step = (energy[k] - energy[k - 1]) * (steepness[k] + steepness[k - 1]) / 2
        turn = (turning[k] + turning[k - 1]) / 2
        left = math.exp(-turn * step)
        way[k] = way[k - 1] + step
        ahead[k] = (1 - left) / turn + left * ahead[k - 1]
        square[k] = square[k - 1] + (ahead[k] + ahead[k - 1]) * step
    return Slowing(energy, way, np.sqrt(square))


def _close(beta2: F8) -> F8:
    """Return 2πr²mc²n/β², keV/mm: the scale of collisions with electrons."""
    per_cm = 2 * math.pi * _ELECTRON_RADIUS_CM**2 * ELECTRON_REST_KEV * _ELECTRONS / beta2
    return np.asarray(per_cm * _PER_CM_TO_PER_MM)


def _density_effect(tau: F8) -> F8:
    c, x0, x1, a, m = _DENSITY
    x = np.log10(np.sqrt(tau * (tau + 2)))
    bend = a * np.maximum(x1 - x, 0.0) ** m
    return np.where(x < x0, 0.0, 2 * math.log(10) * x - c + bend)


def _elastic_per_mm(energy_keV: F8) -> F8:
    tau = energy_keV[:, None] / ELECTRON_REST_KEV
    beta2 = 1 - 1 / (tau + 1) ** 2
    momentum2 = tau * (tau + 2)  # in units of mc
    half = np.geomspace(1e-12, 1.0, _ANGLES)  # sin²(θ/2)
    sine = np.sqrt(half)
    per_cm = np.zeros(len(energy_keV))
    for z, atoms in _ATOMS:
        angle2 = (_ALPHA * z ** (1 / 3) / 0.885341) ** 2 / momentum2
        screening = angle2 * (1.13 + 3.76 * (_ALPHA * z) ** 2 / beta2) / 4
        spin = 1 - beta2 * half - math.pi * _ALPHA * np.sqrt(beta2) * z * sine * (1 - sine)
        turned = 2 * half * spin * math.pi / (half + screening) ** 2
        size = atoms * (z * _ELECTRON_RADIUS_CM) ** 2 / (momentum2 * beta2)[:, 0]
        per_cm += size * np.trapezoid(turned, half, axis=1)
    return per_cm * _PER_CM_TO_PER_MM


def _inelastic_per_mm(energy_keV: F8) -> F8:
    energy = energy_keV[:, None]
    gamma = 1 + energy / ELECTRON_REST_KEV
    loss = np.geomspace(_I_KEV / energy_keV, 1.0, _LOSSES, axis=1)  # as part of T
    rest = energy * (1 - loss)
    straight = np.sqrt(
        rest * (energy + 2 * ELECTRON_REST_KEV) / (energy * (rest + 2 * ELECTRON_REST_KEV))
    )
    scale = ((gamma - 1) / gamma) ** 2
    shape = (
        1
        - scale * (2 * (gamma + 1) ** 2 - 1) / (gamma**2 - 1) * loss
        + scale * (3 * (gamma + 1) ** 2 + 1) / (gamma + 1) ** 2 * loss**2
        - scale * 2 * (gamma - 1) * gamma / (gamma + 1) ** 2 * loss**3
        + scale * (gamma - 1) ** 2 / (gamma + 1) ** 2 * loss**4
    )
    close = np.trapezoid((1 - straight) * shape / loss**2, loss, axis=1) / energy_keV
    momentum2 = gamma[:, 0] ** 2 - 1
    distant = 1 / (ELECTRON_REST_KEV * momentum2)
    return _close(1 - 1 / gamma[:, 0] ** 2) * (close + distant)
