"""Positron range: the distance from the place of a decay to that of the annihilation.

For positrons of one energy, the place of annihilation is Gaussian about that of the decay, with
σ = R_ex/2 along each axis, where R_ex is their extrapolated range in the matter (M. R. Palmer and
G. L. Brownell, IEEE Trans. Med. Imag. 11 (1992) 373):

    R_ex = b₁·E²/(b₂ + E)  in mm · g/cm³, E in MeV,
    b₁ = 4.569·A/Z^1.209,  b₂ = 1/(2.873 − 0.02309·Z).

Z is the mean atomic number of water by weight and A = Z/(Z/A of water), after T. Tabata, R. Ito and
S. Okabe, Nucl. Instrum. Methods 103 (1972) 85, whose range formula this simplifies. Energies come
from the allowed spectrum of each branch. All other matter is treated as water of another electron
density, found from its µ at 511 keV, which is nearly all Compton scatter.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from emulator.physics.photons import State
from hw.jit import bare_kernel
from hw.physics.beta_spectrum import energy_quantiles
from hw.physics.nuclides import Positron
from hw.physics.random_numbers import uniform

RANGE_BINS = 1024
MOST_SCALE = 5.0
"""No matter is taken as thinner than a fifth of water: lung has a quarter of it."""

ENCAPSULATED_BELOW = 0.1
"""A source in thinner matter than this part of water is in air, where its positrons would get out:
it is taken as encapsulated in water."""

_HYDROGEN, _OXYGEN = 0.111894, 0.888106  # of water's weight
_WATER_Z = _HYDROGEN * 1 + _OXYGEN * 8
_WATER_A = _WATER_Z / (_HYDROGEN / 1.008 + _OXYGEN * 8 / 15.999)
_B1 = 4.569 * _WATER_A / _WATER_Z**1.209
_B2_MEV = 1 / (2.873 - 0.02309 * _WATER_Z)
_ENERGIES, _RADII = 1000, 2000


def extrapolated_range_mm(energy_keV: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return R_ex in water, mm, of positrons of these kinetic energies."""
    energy_MeV = energy_keV / 1000
    return np.asarray(_B1 * energy_MeV**2 / (_B2_MEV + energy_MeV))


def radius_quantiles_mm(branch: Positron, daughter_z: int) -> npt.NDArray[np.float64]:
    """Return the radii (RANGE_BINS + 1,) f8 within which 0, 1/n, 2/n, ... of annihilations lie.

    In water, mm. The share of a Gaussian within r is erf(x) − 2x·e^(−x²)/√π, x = r/(σ√2), averaged
    over the spectrum. It is cut at R_ex of the endpoint, beyond which 0.5 % (F-18) to 1.2 % (Rb-82)
    of it would lie.
    """
    energy = energy_quantiles(branch.endpoint_keV, daughter_z, positron=True, n=_ENERGIES)
    sigma = extrapolated_range_mm((energy[1:] + energy[:-1]) / 2) / 2
    furthest = float(extrapolated_range_mm(np.array([branch.endpoint_keV]))[0])
    # finer towards 0, where the many slow positrons are
    radius = np.linspace(0.0, 1.0, _RADII) ** 2 * furthest
    within = np.empty(_RADII)
    for k, r in enumerate(radius):
        x = r / (sigma * math.sqrt(2))
        within[k] = np.mean(erf(x) - 2 / math.sqrt(math.pi) * x * np.exp(-x * x))
    return np.interp(np.linspace(0.0, 1.0, RANGE_BINS + 1), within / within[-1], radius)


def range_scale(mu_per_mm: npt.NDArray[np.float32], water_per_mm: float) -> npt.NDArray[np.float64]:
    """Return the ratio of ranges to those in water, in matter of these µ at 511 keV."""
    part = np.asarray(mu_per_mm, np.float64) / water_per_mm
    scale = 1.0 / np.maximum(part, 1.0 / MOST_SCALE)
    return np.where(part < ENCAPSULATED_BELOW, 1.0, scale)


@bare_kernel
def draw_radius_mm(state: State, radii_mm: npt.NDArray[np.float64], branch: int) -> float:
    """Draw a distance from decay to annihilation in water.

    ``radii_mm`` (branches, RANGE_BINS + 1) f8 are its quantiles (``radius_quantiles_mm``).
    """
    place = uniform(state) * RANGE_BINS
    below = int(place)
    inner = radii_mm[branch, below]
    return inner + (radii_mm[branch, below + 1] - inner) * (place - below)
