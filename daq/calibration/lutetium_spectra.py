"""The spectra that decays of ¹⁷⁶Lu in the crystals can leave in a module.

¹⁷⁶Lu decays by β⁻ and gives γ of 307, 202 and 88 keV (``hw.physics.lutetium``). The module of the
decay sees the β with every γ that it absorbs, each completely or by one Compton scatter; other
modules see the γ that escape. How often each happens depends on the size of the blocks and is left
free: the spectrum is the sum of these parts with unknown weights ≥ 0, and only their places on the
energy axis are fixed. That suffices for an absolute scale.
"""

from __future__ import annotations

import itertools

import numpy as np

from hw.arrays import F8
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA, REFERENCE_KEV
from hw.physics.lutetium import GAMMA_KEV, beta_spectrum

Deposit = tuple[float, F8 | None]
"""What a γ deposits: its full energy in keV, or a spectrum."""

GAMMAS_keV = GAMMA_KEV[::-1]
"""From low to high."""

STEP_keV = 2.0
REACH_keV = 1400.0
ENERGY_keV = np.arange(0.0, REACH_keV, STEP_keV) + STEP_keV / 2
_COMPTON_FROM = 1
"""γ from this one on may deposit only a Compton electron; the 88 keV one is absorbed at once."""


def compton_spectrum(gamma_keV: float) -> F8:
    """Return the spectrum of the energy deposited by one Compton scatter, on ENERGY_keV, normalised
    to 1.

    Klein–Nishina: dσ/dT ∝ 2 + s²/(α²(1−s)²) + s/(1−s)·(s − 2/α), s = T/E, α = E/511 keV, up to
    T = E·2α/(1 + 2α) (G. F. Knoll, Radiation Detection and Measurement, 4th ed., 10).
    """
    alpha = gamma_keV / ELECTRON_REST_KEV
    s = np.minimum(ENERGY_keV / gamma_keV, 0.999)
    shape = 2 + s**2 / (alpha**2 * (1 - s) ** 2) + s / (1 - s) * (s - 2 / alpha)
    shape = np.where(ENERGY_keV <= gamma_keV * 2 * alpha / (1 + 2 * alpha), shape, 0.0)
    return np.asarray(shape / shape.sum())


def parts(energy_fwhm_511: float) -> F8:
    """Return the parts of the background's spectrum, (parts, len(ENERGY_keV)), each summing to 1.

    Blurred with FWHM = energy_fwhm_511·√(511 keV·E). Rows: the β with each combination of the γ
    (missing, one Compton scatter, several, full energy), then the γ alone. Several scatters deposit
    any energy up to the γ's: a flat part.
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


def _with(start: F8, deposits: tuple[Deposit, ...]) -> F8:
    """Return a spectrum with a γ added: shifted by its full energy, or folded with Compton's.

    A bin's middle represents its counts, so folding two shifts by half a step too much.
    """
    found = start
    for gamma_keV, compton in deposits:
        if compton is not None:
            found = np.convolve(found, compton)[: len(found)]
        elif gamma_keV:
            place = ENERGY_keV - gamma_keV
            found = np.interp(place, ENERGY_keV, found, left=0.0, right=0.0)
    return found


def _blur(energy_fwhm_511: float) -> F8:
    """Return (from, to): the share of each energy's counts that is read out in each bin."""
    sigma = energy_fwhm_511 * np.sqrt(REFERENCE_KEV * ENERGY_keV) / FWHM_PER_SIGMA
    share = np.exp(-0.5 * ((ENERGY_keV[None, :] - ENERGY_keV[:, None]) / sigma[:, None]) ** 2)
    return np.asarray(share / share.sum(axis=1, keepdims=True))
