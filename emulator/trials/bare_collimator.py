"""A collimator without aiming: each photon is tracked through holes and septa to the crystal.

It scatters in septa (Klein and Nishina's angles, coherent by lead's or tungsten's form factor), may
become a K X-ray, and is tracked further. Slow, for trials only: ``sight_of_camera`` with
``septa_playback`` must see the same.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import DEPOSIT_KEV
from emulator.engines.instrument import Instrument
from emulator.physics.photons import DX, DY, DZ, ENERGY, PATH, PHOTON_SIZE, X, Y, Z
from emulator.spect.camera_head import HEAD_DEPOSIT_SIZE, HeadTables, track_head
from emulator.spect.collimator import CollimatorTables
from emulator.spect.septa_flight import SeptaMatter
from emulator.spect.septa_library import septa_matter
from emulator.trials.analog_cameras import ENDED, through_septa, to_crystal
from hw.jit import kernel
from hw.physics.random_numbers import seed_stream, uniform


def energies_behind(
    instrument: Instrument,
    energy_keV: float,
    *,
    photons: int,
    cone_deg: float = 60.0,
    distance_mm: float = 100.0,
    seed: int = 1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], float]:
    """Return deposits of a point source's photons, and what became of them in the collimator.

    The source is in front of the middle of the camera's face; photons are emitted into a cone.

    Parameters
    ----------
    energy_keV : of the photons
    photons : how many are emitted into the cone
    cone_deg : half of the cone's opening angle
    distance_mm : from the source to the collimator's face

    Returns
    -------
    (n,) f8 deposits in keV; (n,) i8 of ``analog_cameras``: CROSSED (straight), SCATTERED or
    FLUORESCED; the equivalent number of photons in all directions
    """
    spect, collimator = instrument.spect, instrument.scanner.collimator
    assert spect is not None and collimator is not None
    least_cosine = math.cos(math.radians(cone_deg))
    seen, how = np.empty(photons), np.empty(photons, np.int64)
    found = follow_through(
        spect.collimator, spect.head, septa_matter(collimator.material, energy_keV),
        energy_keV, distance_mm, least_cosine, photons, seed, seen, how,
    )  # fmt: skip
    return seen[:found], how[:found], photons / ((1.0 - least_cosine) / 2.0)


@kernel
def follow_through(
    collimator: CollimatorTables,
    head: HeadTables,
    matter: SeptaMatter,
    energy_keV: float,
    distance_mm: float,
    least_cosine: float,
    photons: int,
    seed: int,
    seen: npt.NDArray[np.float64],
    how: npt.NDArray[np.int64],
) -> int:
    """Track photons from a point to the crystal; fill in deposits (keV) and their kinds.

    Parameters
    ----------
    distance_mm : from the source to the collimator's face
    least_cosine : of the cone's half opening angle
    photons : how many are emitted into the cone
    seen, how : (photons,) f8 and i8, filled in: deposits in keV and their kinds

    Returns
    -------
    number of deposits
    """
    state, photon = np.zeros(2, np.uint64), np.zeros(PHOTON_SIZE)
    deposit = np.zeros(HEAD_DEPOSIT_SIZE)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    pitch, found = 2.0 * collimator.half_pitch_mm, 0
    tall = math.sqrt(3.0) if collimator.sides == 3 else 1.0  # pitches after which a lattice repeats
    for _ in range(photons):
        cosine = 1.0 - uniform(state) * (1.0 - least_cosine)
        sine, azimuth = math.sqrt(1.0 - cosine * cosine), 2.0 * math.pi * uniform(state)
        photon[DX], photon[DY] = sine * math.cos(azimuth), sine * math.sin(azimuth)
        # w from the collimator's face; the source anywhere before a cell of the lattice
        photon[X] = pitch * uniform(state) + distance_mm * photon[DX] / cosine
        photon[Y] = pitch * tall * uniform(state) + distance_mm * photon[DY] / cosine
        if abs(photon[X]) > head.half_u_mm or abs(photon[Y]) > head.half_v_mm:
            continue
        photon[DZ], photon[Z], photon[ENERGY], photon[PATH] = cosine, 0.0, energy_keV, 0.0
        kind = through_septa(state, photon, collimator, matter)
        if kind == ENDED or not to_crystal(state, photon, collimator, head):
            continue
        track_head(state, photon, head, deposit)
        if deposit[DEPOSIT_KEV] > 0.0:
            seen[found], how[found] = deposit[DEPOSIT_KEV], kind
            found += 1
    return found
