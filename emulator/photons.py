"""One photon in a kernel: its state, an isotropic direction, a Compton scatter.

A photon is a ``(PHOTON_SIZE,)`` f8 array: position in mm, unit direction, energy in keV and the
path flown since the decay in mm. The kernels change it in place.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emulator.random_numbers import in_disc, next_word, uniform
from hw.jit import bare_kernel

X, Y, Z, DX, DY, DZ, ENERGY, PATH = range(8)
PHOTON_SIZE = 8

Photon = npt.NDArray[np.float64]
State = npt.NDArray[np.uint64]

ELECTRON_REST_KEV = 510.99895  # CODATA 2018
_TO_UNIT_32 = 1.0 / 4294967296.0
_LOW_32 = np.uint64(0xFFFFFFFF)


@bare_kernel
def aim_isotropic(state: State, photon: Photon) -> None:
    """Give the photon a direction uniform on the sphere (Marsaglia, Ann. Math. Stat. 43 (1972))."""
    x, y, square = in_disc(state)
    scale = 2.0 * math.sqrt(1.0 - square)
    photon[DX] = x * scale
    photon[DY] = y * scale
    photon[DZ] = 1.0 - 2.0 * square


@bare_kernel
def turn(photon: Photon, cos_theta: float, cos_phi: float, sin_phi: float) -> None:
    """Turn the direction by a polar angle, with azimuth φ about the old direction."""
    dx, dy, dz = photon[DX], photon[DY], photon[DZ]
    sin_theta = math.sqrt(max(0.0, 1.0 - cos_theta * cos_theta))
    across = dx * dx + dy * dy
    if across < 1e-12:
        photon[DX] = sin_theta * cos_phi
        photon[DY] = sin_theta * sin_phi
        photon[DZ] = math.copysign(cos_theta, dz * cos_theta)
        return
    scale = sin_theta / math.sqrt(across)
    photon[DX] = dx * cos_theta + scale * (dx * dz * cos_phi - dy * sin_phi)
    photon[DY] = dy * cos_theta + scale * (dy * dz * cos_phi + dx * sin_phi)
    photon[DZ] = dz * cos_theta - scale * across * cos_phi


@bare_kernel
def sample_klein_nishina(state: State, energy_keV: float) -> float:
    """Return E/E' of a Compton scatter on a free electron at rest.

    Exact rejection from two densities: H. Kahn, "Applications of Monte Carlo", RAND AECU-3259
    (1956). The scattering angle follows from cos θ = 1 − (E/E' − 1)·mₑc²/E.
    """
    alpha = energy_keV / ELECTRON_REST_KEV
    most = 1.0 + 2.0 * alpha
    while True:
        word = next_word(state)
        choice = np.float64(np.int64(word & _LOW_32)) * _TO_UNIT_32
        second = np.float64(np.int64(word >> np.uint64(32))) * _TO_UNIT_32
        if choice * (most + 8.0) < most:
            ratio = 1.0 + 2.0 * alpha * second
            inverse = 1.0 / ratio
            accepted = uniform(state) <= 4.0 * (inverse - inverse * inverse)
        else:
            ratio = most / (1.0 + 2.0 * alpha * second)
            cosine = 1.0 - (ratio - 1.0) / alpha
            accepted = uniform(state) <= 0.5 * (cosine * cosine + 1.0 / ratio)
        if accepted:
            return ratio


@bare_kernel
def scatter_compton(state: State, photon: Photon) -> float:
    """Scatter the photon: new energy and direction. Returns the energy given away, keV."""
    energy = photon[ENERGY]
    ratio = sample_klein_nishina(state, energy)
    cos_theta = 1.0 - (ratio - 1.0) * ELECTRON_REST_KEV / energy
    x, y, square = in_disc(state)
    scale = 1.0 / math.sqrt(square)
    turn(photon, cos_theta, x * scale, y * scale)
    photon[ENERGY] = energy / ratio
    return energy - photon[ENERGY]
