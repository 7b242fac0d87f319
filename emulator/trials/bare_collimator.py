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
from emulator.physics.atomic_scatter import scatter_bound, scatter_coherent
from emulator.physics.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    PHOTON_SIZE,
    Photon,
    State,
    X,
    Y,
    Z,
    aim_isotropic,
)
from emulator.spect.camera_head import HEAD_DEPOSIT_SIZE, HeadTables, between, track_head
from emulator.spect.collimator import CollimatorTables, cell_centre
from emulator.spect.septa_flight import SeptaMatter
from emulator.spect.septa_library import septa_matter
from hw.jit import bare_kernel, kernel
from hw.physics.random_numbers import exponential, seed_stream, uniform

LEAST_KEV = 40.0
CROSSED, SCATTERED, FLUORESCED, ENDED = range(4)
"""What septa do to a photon: nothing, scatter, make it a K X-ray, or keep it."""


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
    (n,) f8 deposits in keV; (n,) i8: CROSSED (straight), SCATTERED or
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


@bare_kernel
def in_hole(u: float, v: float, tables: CollimatorTables) -> bool:
    """Return whether a place is in a hole: within half its width of the middle, each way."""
    cu, cv = cell_centre(u, v, tables)
    u -= cu
    v -= cv
    sides = tables.sides
    for side in range(sides):
        angle = math.pi * side / sides
        if abs(u * math.cos(angle) + v * math.sin(angle)) > tables.half_hole_mm:
            return False
    return True


@bare_kernel
def through_septa(
    state: State, photon: Photon, collimator: CollimatorTables, matter: SeptaMatter
) -> int:
    """Track a photon from the face (w = 0) through holes and septa; return its kind.

    It ends in a septum, in front of the face, or behind the back.
    """
    kind, length = CROSSED, collimator.length_mm
    while photon[ENERGY] >= LEAST_KEV:
        energy = photon[ENERGY]
        mu, coherent = between(matter.mu_per_mm, energy), between(matter.coherent_per_mm, energy)
        while True:
            step = exponential(state) / (mu + coherent)
            photon[X] += photon[DX] * step
            photon[Y] += photon[DY] * step
            photon[Z] += photon[DZ] * step
            if not 0.0 <= photon[Z] <= length:
                return kind if photon[Z] > length else ENDED
            if not in_hole(photon[X], photon[Y], collimator):
                break
        chosen = uniform(state) * (mu + coherent)
        if chosen < coherent:
            scatter_coherent(state, photon, matter.scatter, 0)
        elif chosen < coherent + mu * matter.photo_fraction[int(energy + 0.5)]:
            k_lines = matter.k_lines
            if energy < k_lines[1] or uniform(state) >= k_lines[0]:
                return ENDED
            photon[ENERGY] = k_lines[3] if uniform(state) < k_lines[4] else k_lines[2]
            aim_isotropic(state, photon)
            kind = FLUORESCED
            continue
        else:
            scatter_bound(state, photon, matter.scatter, 0)
        kind = max(kind, SCATTERED)
    return ENDED


@bare_kernel
def to_crystal(
    state: State, photon: Photon, collimator: CollimatorTables, head: HeadTables
) -> bool:
    """Move a photon from behind the back through the cover to the crystal's face."""
    back = (collimator.length_mm + collimator.gap_mm - photon[Z]) / photon[DZ]
    photon[X] += photon[DX] * back
    photon[Y] += photon[DY] * back
    photon[Z] = 0.0
    if abs(photon[X]) > head.half_u_mm or abs(photon[Y]) > head.half_v_mm:
        return False
    cover = between(collimator.cover_per_mm, photon[ENERGY]) * collimator.cover_mm / photon[DZ]
    return exponential(state) >= cover


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
