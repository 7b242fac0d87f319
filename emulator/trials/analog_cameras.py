"""SPECT by brute force: photons are emitted in all directions and tracked, for tests and trials.

``camera_transport`` follows only photons that might be seen. Here nothing is aimed, weighted or
left out: photons are tracked through holes and septa by delta tracking, with all that happens
there, and the object is that of PET. The two must agree wherever a collimator is open enough for
this one to see anything.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import DEPOSIT_KEV, DEPOSIT_U
from emulator.object.photon_tracking import track_object
from emulator.object.source_sampling import place_decays
from emulator.physics.atomic_scatter import scatter_bound, scatter_coherent
from emulator.physics.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    SCATTERS,
    Photon,
    State,
    X,
    Y,
    Z,
    aim_isotropic,
)
from emulator.spect.camera_head import HeadTables, between, track_head
from emulator.spect.camera_tables import SpectTables
from emulator.spect.collimator import CollimatorTables, cell_centre
from emulator.spect.septa_flight import SeptaMatter
from emulator.spect.sight_of_camera import SpectScratch
from hw.jit import bare_kernel, kernel
from hw.physics.random_numbers import exponential, seed_stream, uniform

SEEN_KEV, SEEN_U, SEEN_SCATTERS, SEEN_KIND, SEEN_COLUMNS = range(5)

LEAST_KEV = 40.0
CROSSED, SCATTERED, FLUORESCED, ENDED = range(4)
"""What septa do to a photon: nothing, scatter, make it a K X-ray, or keep it."""


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
def follow_all(
    tables: SpectTables,
    septa: SeptaMatter,
    pose: npt.NDArray[np.float64],
    energy_keV: float,
    photons: int,
    seed: int,
    scratch: SpectScratch,
    seen: npt.NDArray[np.float64],
) -> int:
    """Emit photons of one energy isotropically; return how many leave energy in the camera.

    ``pose`` (12,) f8 is the camera's; ``seen`` (photons, SEEN_COLUMNS) f8 receives the deposit in
    keV, its place along u in mm, the photon's scatters in the object, and what the septa did to it.

    ``septa`` : what the septa are made of; ``photons`` : how many; ``scratch`` : of one thread.
    """
    state, photon, places = scratch.state, scratch.photon, scratch.places
    seed_stream(state, np.uint64(seed), np.uint64(0))
    collimator, deposit = tables.collimator, scratch.deposit
    region_share = np.empty(0)
    local = np.empty(6)
    found = 0
    for _ in range(photons):
        place_decays(state, tables.source, region_share, places[:1])
        for axis in range(3):
            photon[X + axis] = places[0, axis]
        photon[ENERGY] = energy_keV
        photon[PATH] = photon[SCATTERS] = 0.0
        aim_isotropic(state, photon)
        if not track_object(state, photon, tables.matter):
            continue
        for axis in range(3):
            row = 3 + 3 * axis
            local[axis] = local[3 + axis] = 0.0
            for i in range(3):
                local[axis] += pose[row + i] * (photon[X + i] - pose[i])
                local[3 + axis] += pose[row + i] * photon[DX + i]
        if local[5] <= 0.0:
            continue
        to_face = -(collimator.length_mm + collimator.gap_mm) - local[2]
        if to_face < 0.0:
            continue
        u = local[0] + local[3] / local[5] * to_face
        v = local[1] + local[4] / local[5] * to_face
        if abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
            continue
        photon[X], photon[Y], photon[Z] = u, v, 0.0
        photon[DX], photon[DY], photon[DZ] = local[3], local[4], local[5]
        kind = through_septa(state, photon, collimator, septa)
        if kind == ENDED or not to_crystal(state, photon, collimator, tables.head):
            continue
        track_head(state, photon, tables.head, deposit)
        if deposit[DEPOSIT_KEV] > 0.0:
            seen[found, SEEN_KEV] = deposit[DEPOSIT_KEV]
            seen[found, SEEN_U] = deposit[DEPOSIT_U]
            seen[found, SEEN_SCATTERS] = photon[SCATTERS]
            seen[found, SEEN_KIND] = kind
            found += 1
    return found
