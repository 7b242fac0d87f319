"""Kinetic energies of β particles: the allowed spectrum with the Fermi function.

For β⁻ and β⁺ of a known endpoint; also finds the endpoint for a known mean energy.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy  # its submodule optimize is imported where it is first used
from scipy.special import loggamma

from hw.physics.constants import ELECTRON_REST_KEV

Energies = npt.NDArray[np.float64]

_FINE_STRUCTURE = 1 / 137.035999  # CODATA 2018
_MEAN_BINS = 4000


def allowed_spectrum(
    energy_keV: Energies, *, endpoint_keV: float, daughter_z: int, positron: bool
) -> Energies:
    """Return the unnormalised β spectrum of allowed shape: F(±Z, W)·p·W·(Q − T)².

    F is the Fermi function of a point charge, 2(1 + γ)·(2pR)^(2γ−2)·e^(πη)·|Γ(γ + iη)/Γ(2γ + 1)|²
    with γ = √(1 − (αZ)²), η = ±αZW/p, + for β⁻ and − for β⁺ (E. J. Konopinski, "The Theory of Beta
    Radioactivity", 1966); constants and atomic screening are left out.

    Parameters
    ----------
    energy_keV : (n,) f8, kinetic energies T above 0 and up to the endpoint Q
    daughter_z : atomic number Z of the daughter
    """
    w = 1.0 + energy_keV / ELECTRON_REST_KEV
    p = np.sqrt(w * w - 1.0)
    gamma = math.sqrt(1.0 - (_FINE_STRUCTURE * daughter_z) ** 2)
    eta = (-1.0 if positron else 1.0) * _FINE_STRUCTURE * daughter_z * w / p
    log_fermi = 2 * loggamma(gamma + 1j * eta).real + np.pi * eta + (2 * gamma - 2) * np.log(p)
    return np.asarray(np.exp(log_fermi) * p * w * (endpoint_keV - energy_keV) ** 2)


def energy_quantiles(endpoint_keV: float, daughter_z: int, *, positron: bool, n: int) -> Energies:
    """Return the (n + 1,) f8 energies below which 0, 1/n, 2/n, ... 1 of the β lie, keV."""
    edges = np.linspace(0.0, endpoint_keV, 6001)
    middle = np.asarray((edges[1:] + edges[:-1]) / 2, np.float64)
    spectrum = allowed_spectrum(
        middle, endpoint_keV=endpoint_keV, daughter_z=daughter_z, positron=positron
    )
    below = np.concatenate([[0.0], np.cumsum(spectrum)])
    return np.interp(np.linspace(0.0, 1.0, n + 1), below / below[-1], edges)


def mean_energy_keV(endpoint_keV: float, daughter_z: int, *, positron: bool) -> float:
    """Return the mean kinetic energy of the spectrum."""
    energy = np.asarray((np.arange(_MEAN_BINS) + 0.5) * (endpoint_keV / _MEAN_BINS))
    spectrum = allowed_spectrum(
        energy, endpoint_keV=endpoint_keV, daughter_z=daughter_z, positron=positron
    )
    return float((spectrum * energy).sum() / spectrum.sum())


def positron_endpoint_keV(mean_keV: float, daughter_z: int) -> float:
    """Return the endpoint of the β⁺ spectrum with a given mean energy.

    The mean of an allowed spectrum is between 0.3 and 0.6 of its endpoint.
    """

    def excess(endpoint_keV: float) -> float:
        return mean_energy_keV(endpoint_keV, daughter_z, positron=True) - mean_keV

    return float(scipy.optimize.brentq(excess, 1.3 * mean_keV, 4.0 * mean_keV, xtol=1e-4))
