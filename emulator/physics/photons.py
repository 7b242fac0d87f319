"""One photon in a kernel: its state, an isotropic direction, a Compton scatter.

A photon is a ``(PHOTON_SIZE,)`` f8 array: position in mm, unit direction, energy in keV, path
length since the decay in mm, and how often it was scattered in the object. The kernels change it in
place; whoever starts a photon sets all of it, with PATH and SCATTERS at 0.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emulator.physics.compton import ELECTRON_REST_KEV as ELECTRON_REST_KEV
from emulator.physics.compton import sample_compton
from emulator.physics.random_numbers import in_disc
from hw.jit import bare_kernel

X, Y, Z, DX, DY, DZ, ENERGY, PATH, SCATTERS = range(9)
PHOTON_SIZE = 9
"""SCATTERS counts Compton and Rayleigh scatters in the object (``track_object`` adds to it), not
those in modules or collimators."""

Photon = npt.NDArray[np.float64]
State = npt.NDArray[np.uint64]


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
def turn_anyhow(state: State, photon: Photon, cos_theta: float) -> None:
    """Turn the direction by a polar angle, with random azimuth.

    Like ``turn`` with azimuth (x, y)/√(x² + y²) of a point in the disc, but with one square root.
    """
    x, y, square = in_disc(state)
    dx, dy, dz = photon[DX], photon[DY], photon[DZ]
    sine2 = max(0.0, 1.0 - cos_theta * cos_theta)
    across = dx * dx + dy * dy
    if across < 1e-12:
        scale = math.sqrt(sine2 / square)
        photon[DX] = scale * x
        photon[DY] = scale * y
        photon[DZ] = math.copysign(cos_theta, dz * cos_theta)
        return
    scale = math.sqrt(sine2 / (square * across))
    photon[DX] = dx * cos_theta + scale * (dx * dz * x - dy * y)
    photon[DY] = dy * cos_theta + scale * (dy * dz * x + dx * y)
    photon[DZ] = dz * cos_theta - scale * across * x


@bare_kernel
def scatter_compton(state: State, photon: Photon) -> float:
    """Scatter the photon on a free electron; return the energy it loses, keV."""
    energy = photon[ENERGY]
    ratio, versine = sample_compton(state, energy)
    turn_anyhow(state, photon, 1.0 - versine)
    photon[ENERGY] = energy / ratio
    return energy - photon[ENERGY]
