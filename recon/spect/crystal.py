"""The share of the photons reaching a crystal that is counted in an energy window.

Photons enter an infinite slab at right angles and are followed by Monte Carlo with a fixed seed:
photoelectric absorption, Compton scatter (Klein and Nishina) and the K X rays that leave it again
(yields and mean energies below, xraylib). The deposits are then blurred: a Gaussian of
σ(E) = σ₅₁₁ √(E/511 keV), wider by the spread of the crystals' gains if a run was taken without
calibration; in semiconductors a share of the hits loses charge, exponentially distributed
(docs/emulator/physics.md).

Not included: light guides and shielding that scatter photons back, and collisions in the septa, of
which a few in a hundred are counted (``SEPTAL_SCATTER``).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from hw.arrays import Array
from hw.jit import kernel
from hw.physics.compton import sample_compton
from hw.physics.constants import FWHM_PER_SIGMA
from hw.physics.random_numbers import seed_stream, uniform
from hw.scanner.description import Response, Scanner
from recon.spect.matter import HIGHEST_keV, mu_per_mm

SEPTAL_SCATTER = {"Pb": 0.035, "W": 0.02}
"""Counts after a collision in septa over all counts of a photopeak window, from the emulator's
trials of LEHR (3.3 %) and MELP (3.9 %), docs/emulator/physics.md; of tungsten a guess by its
higher Z."""

PHOTONS = 150_000
"""An error of 0.1 % of the share."""

_TAIL_POINTS = 64


class _XRay(NamedTuple):
    """A K X ray: number per absorption, energy (keV), and the crystal's µ for it (1/mm)."""

    per_absorption: float
    energy_keV: float
    mu_per_mm: float


_X_RAYS = {"NaI": _XRay(0.735, 29.2, 2.55), "CZT": _XRay(0.717, 25.6, 8.5)}


@kernel
def deposits(
    energy_keV: float,
    thickness_mm: float,
    grid_keV: Array,
    photo: Array,
    compton: Array,
    x_ray: tuple[float, float, float],
    photons: int,
    seed: int,
    out: Array,
) -> None:
    """Fill in the energies (keV) that photons deposit in a slab; 0 for no deposit.

    Parameters
    ----------
    energy_keV : of the photons
    thickness_mm : of the slab
    grid_keV : (n,) energies of ``photo`` and ``compton``, ascending in equal steps
    photo, compton : (n,) µ of the slab for the two processes, 1/mm
    x_ray : K X-rays per absorption, their energy (keV) and µ (1/mm)
    photons : how many are followed
    seed : of the random numbers
    out : (photons,) f8, keV, filled
    """
    state = np.empty(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    step = grid_keV[1] - grid_keV[0]
    for i in range(photons):
        e, z, c = energy_keV, 0.0, 1.0
        left = 0.0
        while True:
            k = min(max((e - grid_keV[0]) / step, 0.0), grid_keV.shape[0] - 1.001)
            j = int(k)
            f = k - j
            mu_photo = photo[j] * (1.0 - f) + photo[j + 1] * f
            mu_compton = compton[j] * (1.0 - f) + compton[j + 1] * f
            z -= c * math.log(1.0 - uniform(state)) / (mu_photo + mu_compton)
            if z < 0.0 or z > thickness_mm:
                break
            if uniform(state) * (mu_photo + mu_compton) < mu_photo:
                left += e
                if uniform(state) < x_ray[0] and e > x_ray[1]:
                    away = 2.0 * uniform(state) - 1.0
                    x = z - away * math.log(1.0 - uniform(state)) / x_ray[2]
                    if x < 0.0 or x > thickness_mm:
                        left -= x_ray[1]
                break
            ratio, versine = sample_compton(state, e)
            cosine = 1.0 - versine
            left += e - e / ratio
            e /= ratio
            azimuth = 2.0 * math.pi * uniform(state)
            sines = math.sqrt(max(0.0, (1.0 - c * c) * (1.0 - cosine * cosine)))
            c = min(1.0, max(-1.0, c * cosine + sines * math.cos(azimuth)))
        out[i] = left


@functools.lru_cache(maxsize=64)
def deposit_spectrum(
    scanner: Scanner, energy_keV: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return energies (keV) and the share of incident photons that deposit each."""
    module = scanner.module
    grid = np.linspace(50.0, HIGHEST_keV, 240)
    mu = np.array([mu_per_mm(module.material, e)[:2] for e in grid])
    left = np.empty(PHOTONS)
    x_ray = tuple(map(float, _X_RAYS[module.material]))
    deposits(energy_keV, module.thickness_mm, grid, np.ascontiguousarray(mu[:, 0]),
             np.ascontiguousarray(mu[:, 1]), x_ray, PHOTONS, 1, left)  # fmt: skip
    bins = np.maximum(np.round(left[left > 0]), 1.0)
    whole = left[left > 0] > energy_keV - 1e-6
    values, counts = np.unique(np.where(whole, energy_keV, bins), return_counts=True)
    return values, counts / PHOTONS


def counted_share(
    scanner: Scanner, energy_keV: float, lld_keV: float, uld_keV: float, *, gain_spread: float = 0.0
) -> float:
    """Return the share of incident photons that is read out with an energy in a window.

    Collisions in the septa are included as their share of the counts.

    Parameters
    ----------
    scanner : the preset: its crystal, energy resolution and collimator
    energy_keV : of the photons
    lld_keV, uld_keV : edges of the window
    gain_spread : relative σ of the crystals' gains, if they are not calibrated
    """
    energies, shares = deposit_spectrum(scanner, energy_keV)
    within = share_within(scanner.response, energies, lld_keV, uld_keV, gain_spread)
    assert scanner.collimator is not None
    return float((shares * within).sum()) / (1.0 - SEPTAL_SCATTER[scanner.collimator.material])


def share_within(
    response: Response, energy_keV: npt.NDArray[np.float64], lld_keV: float, uld_keV: float,
    gain_spread: float = 0.0,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Return the share of each deposit that is read out within a window, (n,).

    Parameters
    ----------
    response : energy resolution, and loss of charge
    energy_keV : (n,) deposits
    lld_keV, uld_keV : edges of the window
    gain_spread : relative σ of the crystals' gains, if they are not calibrated
    """
    whole = _gaussian(response, energy_keV, lld_keV, uld_keV, gain_spread)
    if not response.tail_share:
        return whole
    loss = -response.tail_mean * np.log(1 - (np.arange(_TAIL_POINTS) + 0.5) / _TAIL_POINTS)
    lossy = energy_keV[:, None] * np.maximum(1 - loss, 1e-3)
    tail = _gaussian(response, lossy, lld_keV, uld_keV, gain_spread).mean(axis=1)
    return np.asarray((1 - response.tail_share) * whole + response.tail_share * tail)


def _gaussian(
    response: Response, energy_keV: npt.NDArray[np.float64], lld_keV: float, uld_keV: float,
    gain_spread: float,
) -> npt.NDArray[np.float64]:  # fmt: skip
    sigma = response.energy_fwhm_511 * 511.0 / FWHM_PER_SIGMA * np.sqrt(energy_keV / 511.0)
    sigma = np.hypot(sigma, gain_spread * energy_keV)
    return np.asarray(
        special.ndtr((uld_keV - energy_keV) / sigma) - special.ndtr((lld_keV - energy_keV) / sigma)
    )
