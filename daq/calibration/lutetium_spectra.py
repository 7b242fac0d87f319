"""What ¹⁷⁶Lu in the crystals looks like: spectra that its decays can leave in a module.

¹⁷⁶Lu decays by β⁻ (end point 593 keV) to a level of ¹⁷⁶Hf that gives γ of 307, 202 and 88 keV
(H. Alva-Sánchez et al., Sci. Rep. 8 (2018) 17310; energies from M. S. Basunia, Nucl. Data Sheets
107 (2006) 791). An end point 4 keV higher, as Q = 1194 keV has it, moves the scale by 0.2 %.
The module where the decay is sees the β with every γ that it stops, each wholly or by one
Compton scatter; other modules see the γ that escape. How often each happens depends on the size of
the blocks and is left free: the spectrum is the sum of these parts with unknown weights ≥ 0, only
their places on the energy axis are fixed. That is what an absolute scale needs.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from scipy.special import loggamma

Floats = npt.NDArray[np.float64]
Deposit = tuple[float, Floats | None]
"""What a γ leaves: a whole energy in keV, or a spectrum."""

BETA_END_keV = 593.0
GAMMAS_keV = (88.34, 201.83, 306.78)
HAFNIUM = 72
ELECTRON_keV = 510.999
FINE_STRUCTURE = 1 / 137.036

STEP_keV = 2.0
REACH_keV = 1400.0
ENERGY_keV = np.arange(0.0, REACH_keV, STEP_keV) + STEP_keV / 2
_COMPTON_FROM = 1
"""γ from this one on may leave a Compton electron only; the 88 keV one is stopped where it is."""


def beta_spectrum(energy_keV: Floats) -> Floats:
    """Return the β's kinetic energy distribution, not normalised: p·W·(Q − T)²·F.

    The allowed shape with Fermi's function of a point nucleus, F ∝ p^(2g)·exp(πη)·|Γ(1 + g + iη)|²,
    g = √(1 − (αZ)²) − 1, η = αZ·W/p (E. Fermi, Z. Phys. 88 (1934) 161). The transition is first
    forbidden; the difference is a smooth factor that moves no edge.
    """
    total = energy_keV / ELECTRON_keV + 1
    momentum = np.sqrt(np.maximum(total**2 - 1, 1e-12))
    eta = FINE_STRUCTURE * HAFNIUM * total / momentum
    g = np.sqrt(1 - (FINE_STRUCTURE * HAFNIUM) ** 2) - 1
    log_fermi = 2 * g * np.log(momentum) + np.pi * eta + 2 * loggamma(1 + g + 1j * eta).real
    left = np.maximum(BETA_END_keV - energy_keV, 0.0)
    return np.asarray(momentum * total * left**2 * np.exp(log_fermi))


def compton_spectrum(gamma_keV: float) -> Floats:
    """Return the energy that one Compton scatter leaves, on ENERGY_keV, normalised to 1.

    Klein–Nishina: dσ/dT ∝ 2 + s²/(α²(1−s)²) + s/(1−s)·(s − 2/α), s = T/E, α = E/511 keV, up to
    T = E·2α/(1 + 2α) (G. F. Knoll, Radiation Detection and Measurement, 4th ed., 10).
    """
    alpha = gamma_keV / ELECTRON_keV
    s = np.minimum(ENERGY_keV / gamma_keV, 0.999)
    shape = 2 + s**2 / (alpha**2 * (1 - s) ** 2) + s / (1 - s) * (s - 2 / alpha)
    shape = np.where(ENERGY_keV <= gamma_keV * 2 * alpha / (1 + 2 * alpha), shape, 0.0)
    return np.asarray(shape / shape.sum())


def parts(energy_fwhm_511: float) -> Floats:
    """Return the parts of the background's spectrum, (parts, len(ENERGY_keV)), each summing to 1.

    Blurred with FWHM = energy_fwhm_511·√(511 keV·E). Rows: the β with each combination of the γ
    (missing, one Compton scatter, several, whole), then the γ alone. Several scatters leave any
    energy up to the γ's: a flat part.
    """
    beta = beta_spectrum(ENERGY_keV)
    deposits: list[list[Deposit]] = [[(0.0, None), (gamma, None)] for gamma in GAMMAS_keV]
    for index in range(_COMPTON_FROM, len(GAMMAS_keV)):
        gamma = GAMMAS_keV[index]
        flat = np.where(gamma > ENERGY_keV, STEP_keV / gamma, 0.0)
        deposits[index] += [(0.0, compton_spectrum(gamma)), (0.0, flat / flat.sum())]
    rows = [_with(beta, combination) for combination in itertools.product(*deposits)]
    nothing = np.zeros_like(beta)
    nothing[0] = 1.0
    for options in deposits:
        rows += [_with(nothing, (option,)) for option in options[1:]]
    blurred = np.array(rows) @ _blur(energy_fwhm_511)
    return np.asarray(blurred / blurred.sum(axis=1, keepdims=True))


def _with(start: Floats, deposits: tuple[Deposit, ...]) -> Floats:
    """Return a spectrum with what γ add to it: moved by a whole energy, or folded with Compton's.

    A bin's middle stands for its counts, so a fold of two moves by half a step too much.
    """
    found = start
    for gamma_keV, compton in deposits:
        if compton is not None:
            found = np.convolve(found, compton)[: len(found)]
        elif gamma_keV:
            place = ENERGY_keV - gamma_keV
            found = np.interp(place, ENERGY_keV, found, left=0.0, right=0.0)
    return found


def _blur(energy_fwhm_511: float) -> Floats:
    """Return (from, to) the share of each energy's counts that is read out in each bin."""
    sigma = energy_fwhm_511 * np.sqrt(511.0 * ENERGY_keV) / 2.3548
    share = np.exp(-0.5 * ((ENERGY_keV[None, :] - ENERGY_keV[:, None]) / sigma[:, None]) ** 2)
    return np.asarray(share / share.sum(axis=1, keepdims=True))
