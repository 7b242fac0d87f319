"""Compton scatter of photons: energy, angle and cross-section as formulae, and drawn in kernels.

O. Klein, Y. Nishina, Z. Phys. 52 (1929) 853; with ε = E'/E, α = E/mₑc² and the classical electron
radius r_e:

    ε = 1 / (1 + α (1 − cosθ)),    1/(1 + 2α) ≤ ε ≤ 1
    dσ/dΩ = r_e²/2 · ε² (ε + 1/ε − sin²θ),    dσ/dε ∝ 1/ε + ε − sin²θ
    σ(α) = 2π r_e² { (1+α)/α² [2(1+α)/(1+2α) − ln(1+2α)/α] + ln(1+2α)/(2α) − (1+3α)/(1+2α)² }

Photons of lower energy are attenuated more. In water and tissue above 200 keV nearly all
attenuation is Compton scatter, so µ(E) = µ(511) · σ(E)/σ(511) (water at 250 keV: 1.322 by this,
NIST XCOM 1.326; without photoelectric absorption and coherent scatter, 1 and 2 % there).

``sample_compton`` draws exactly from dσ/dε, which varies only about twofold, by rejection from
steps of equal probability, whose edges are tabulated in rows of 8 keV: 95 % of the proposals are
accepted, so that the processor predicts the branch well. Kahn's method (RAND AECU-3259, 1956),
which accepts 60 % of two kinds of proposals, took 1.6 times as long; the distribution is the same,
as the table only proposes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.jit import bare_kernel
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.random_numbers import State, next_word

CLASSICAL_RADIUS_MM = 2.8179403e-12
"""r_e, CODATA 2018."""

MOST_KEV = 2007.0
"""Rows end here; a higher energy would not be drawn rightly."""

_STEPS = 32
_ROW_SHIFT = 3
_PER_REST = 1.0 / ELECTRON_REST_KEV
_TO_UNIT_32 = 2.0**-32
_LOW_32 = np.uint64(0xFFFFFFFF)
_MARGIN = 1.0005  # the density is convex up to rounding; a test looks between the points too


def energy_after(cosine: npt.ArrayLike, energy_keV: float = ELECTRON_REST_KEV) -> F8:
    """Return the energy (keV) of a photon after scatter by an angle of this cosine."""
    alpha = energy_keV / ELECTRON_REST_KEV
    return np.asarray(energy_keV / (1.0 + alpha * (1.0 - np.asarray(cosine, dtype=np.float64))))


def klein_nishina(cosine: npt.ArrayLike, energy_keV: float = ELECTRON_REST_KEV) -> F8:
    """Return dσ/dΩ per electron in mm²/sr."""
    cosine = np.asarray(cosine, dtype=np.float64)
    kept = energy_after(cosine, energy_keV) / energy_keV
    shape = kept**2 * (kept + 1.0 / kept - (1.0 - cosine**2))
    return np.asarray(0.5 * CLASSICAL_RADIUS_MM**2 * shape)


def total_cross_section(energy_keV: npt.ArrayLike) -> F8:
    """Return the Klein–Nishina cross-section per electron in mm²."""
    alpha = np.asarray(energy_keV, dtype=np.float64) / ELECTRON_REST_KEV
    log = np.log1p(2.0 * alpha)
    first = (1.0 + alpha) / alpha**2 * (2.0 * (1.0 + alpha) / (1.0 + 2.0 * alpha) - log / alpha)
    rest = log / (2.0 * alpha) - (1.0 + 3.0 * alpha) / (1.0 + 2.0 * alpha) ** 2
    return np.asarray(2.0 * np.pi * CLASSICAL_RADIUS_MM**2 * (first + rest))


def attenuation_scale(energy_keV: npt.ArrayLike) -> F8:
    """Return µ(E) / µ(511 keV) of water and tissue."""
    return np.asarray(total_cross_section(energy_keV) / total_cross_section(ELECTRON_REST_KEV))


def density(place: F8, energy_keV: F8 | float) -> F8:
    """Return dσ/dε, not normalised, at ``place`` = (ε − ε_least)/(1 − ε_least), 0 to 1."""
    alpha = np.asarray(energy_keV) * _PER_REST
    least = 1.0 / (1.0 + 2.0 * alpha)
    kept = least + place * (1.0 - least)
    versine = (1.0 / kept - 1.0) / alpha
    return np.asarray(1.0 / kept + kept - versine * (2.0 - versine))


def _steps() -> tuple[npt.NDArray[np.float32], F8]:
    """Return the step edges by row, (rows, _STEPS + 1), and 1/(largest density · width)."""
    first = np.arange(0.0, MOST_KEV + 1, 1 << _ROW_SHIFT)[:, None]
    energies = [np.maximum(first + part, 1.0) for part in (0, (1 << _ROW_SHIFT) / 2, 8)]
    fine = np.linspace(0.0, 1.0, 257)[None, :]
    middle = density(fine, energies[1])
    below = np.cumsum((middle[:, 1:] + middle[:, :-1]) / 2, axis=1)
    below = np.pad(below / below[:, -1:], [(0, 0), (1, 0)])
    quantiles = np.linspace(0.0, 1.0, _STEPS + 1)
    edges = np.array([np.interp(quantiles, row, fine[0]) for row in below]).astype(np.float32)
    at_edges = np.max([density(edges.astype(np.float64), energy) for energy in energies], axis=0)
    most = np.maximum(at_edges[:, 1:], at_edges[:, :-1]) * np.diff(edges.astype(np.float64))
    return edges.ravel(), 1.0 / (_MARGIN * most.max(axis=1))


_EDGE, _PER_MOST = _steps()


@bare_kernel
def sample_compton(state: State, energy_keV: float) -> tuple[float, float]:
    """Return (E/E', 1 − cos θ) of a Compton scatter of a photon of 1 to MOST_KEV."""
    alpha = energy_keV * _PER_REST
    least = 1.0 / (1.0 + 2.0 * alpha)
    row = int(energy_keV) >> _ROW_SHIFT
    per_most = _PER_MOST[np.uint64(row)]
    while True:
        word = next_word(state)
        place = np.float64(np.int64(word >> np.uint64(32))) * (_STEPS * _TO_UNIT_32)
        step = int(place)
        at = row * (_STEPS + 1) + step
        low = np.float64(_EDGE[np.uint64(at)])
        width = np.float64(_EDGE[np.uint64(at + 1)]) - low
        kept = least + (1.0 - least) * (low + (place - step) * width)
        ratio = 1.0 / kept
        versine = (ratio - 1.0) / alpha
        likely = (ratio + kept - versine * (2.0 - versine)) * width * per_most
        if np.float64(np.int64(word & _LOW_32)) * _TO_UNIT_32 < likely:
            return ratio, versine
