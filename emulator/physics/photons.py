"""One photon in a kernel: its state, an isotropic direction, a Compton scatter.

A photon is a ``(PHOTON_SIZE,)`` f8 array: position in mm, unit direction, energy in keV, path
length since the decay in mm, and how often it was scattered in the object. The kernels change it in
place; whoever starts a photon sets all of it, with PATH and SCATTERS at 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.jit import bare_kernel
from hw.physics.compton import sample_compton
from hw.physics.photon_kernels import isotropic, turned_anyhow
from hw.physics.random_numbers import State as State

X, Y, Z, DX, DY, DZ, ENERGY, PATH, SCATTERS = range(9)
PHOTON_SIZE = 9
"""SCATTERS counts Compton and Rayleigh scatters in the object (``track_object`` adds to it), not
those in modules or collimators."""

Photon = npt.NDArray[np.float64]


@bare_kernel
def aim_isotropic(state: State, photon: Photon) -> None:
    """Give the photon a direction uniform on the sphere."""
    photon[DX], photon[DY], photon[DZ] = isotropic(state)


@bare_kernel
def turn_anyhow(state: State, photon: Photon, cos_theta: float) -> None:
    """Turn the direction by a polar angle, with random azimuth."""
    dx, dy, dz = photon[DX], photon[DY], photon[DZ]
    photon[DX], photon[DY], photon[DZ] = turned_anyhow(dx, dy, dz, cos_theta, state)


@bare_kernel
def scatter_compton(state: State, photon: Photon) -> float:
    """Scatter the photon on a free electron; return the energy it loses, keV."""
    energy = photon[ENERGY]
    ratio, versine = sample_compton(state, energy)
    turn_anyhow(state, photon, 1.0 - versine)
    photon[ENERGY] = energy / ratio
    return energy - photon[ENERGY]
