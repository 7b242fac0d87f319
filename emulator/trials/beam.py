"""Trials of photon transport alone, for validation: a pencil beam, and single scatters.

They use the emulation's own kernels, without a detector.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Phantom
from emulator.object.photon_tracking import ObjectTables, object_tables, track_object
from emulator.physics.materials import mu_per_mm
from emulator.physics.photons import (
    DX,
    DZ,
    ENERGY,
    PHOTON_SIZE,
    SCATTERS,
    Photon,
    State,
    X,
    scatter_compton,
)
from hw.jit import kernel
from hw.physics.random_numbers import seed_stream

SLAB_MM = 100.0


def water_slab() -> Phantom:
    """Return a slab of 10 cm of water along x, from x = −50 mm, wide in y and z."""
    mu = np.full((20, 8, 8), mu_per_mm("water"), np.float32)
    return Phantom(
        "slab", np.ones_like(mu), mu, (SLAB_MM / 20, 50.0, 50.0), (-47.5, -175.0, -175.0)
    )


def transmitted(phantom: Phantom, energy_keV: float, *, photons: int, seed: int) -> int:
    """Return how many photons of a pencil beam along x through the origin emerge unscattered."""
    tables = object_tables(phantom, trigger_keV=30.0)
    return int(count_unscattered(tables, energy_keV, photons, *_scratch(seed)))


def compton_cosines(
    energy_keV: float, *, scatters: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return cos θ and energy loss (keV) of scatters on free electrons, (n,) f8 each."""
    cosine, given_keV = np.empty(scatters), np.empty(scatters)
    scatter_often(energy_keV, cosine, given_keV, *_scratch(seed))
    return cosine, given_keV


def _scratch(seed: int) -> tuple[State, Photon]:
    state = np.zeros(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    return state, np.zeros(PHOTON_SIZE)


@kernel
def count_unscattered(
    tables: ObjectTables, energy_keV: float, photons: int, state: State, photon: Photon
) -> int:
    """Track photons along x; return how many emerge without any scatter.

    photons : how many, each from x = −500 mm; ``state`` (2,) u8 of the random numbers; ``photon`` :
        scratch
    """
    through = 0
    for _ in range(photons):
        photon[:] = 0.0
        photon[X], photon[DX], photon[ENERGY] = -500.0, 1.0, energy_keV
        if track_object(state, photon, tables) and photon[SCATTERS] == 0.0:
            through += 1
    return through


@kernel
def scatter_often(
    energy_keV: float,
    cosine: npt.NDArray[np.float64],
    given_keV: npt.NDArray[np.float64],
    state: State,
    photon: Photon,
) -> None:
    """Scatter a photon along z afresh for each element of the two outputs (n,) f8.

    cosine, given_keV : the outputs, of the angle and the energy given to the electron
    state : (2,) u8 of the random numbers; ``photon`` : scratch
    """
    for i in range(len(cosine)):
        photon[:] = 0.0
        photon[DZ], photon[ENERGY] = 1.0, energy_keV
        given_keV[i] = scatter_compton(state, photon)
        cosine[i] = photon[DZ]
