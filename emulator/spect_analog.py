"""SPECT the slow way: every photon is emitted to all sides and followed, for tests and trials.

``spect_transport`` follows only what might be seen. Here nothing is aimed, weighted or left out,
the septa are found by looking at many points of the way, and the object is the one of PET. The two
must agree where a collimator is so open that this one sees something.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emulator.camera_head import track_head
from emulator.collimator import CollimatorTables, cell_centre
from emulator.crystal_tracking import DEPOSIT_KEV, DEPOSIT_U
from emulator.object_tracking import track_object
from emulator.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    SCATTERS,
    X,
    Y,
    Z,
    aim_isotropic,
)
from emulator.random_numbers import exponential, seed_stream
from emulator.source_sampling import place_decays
from emulator.spect_sight import SpectScratch
from emulator.spect_tables import SpectTables
from hw.jit import bare_kernel, kernel

_LOOKS = 400  # along the holes

SEEN_KEV, SEEN_U, SEEN_SCATTERS, SEEN_COLUMNS = 0, 1, 2, 3


@bare_kernel
def in_hole(u: float, v: float, tables: CollimatorTables) -> bool:
    """Return whether a place is in a hole: nearer than its half width to the middle, each way."""
    cu, cv = cell_centre(u, v, tables)
    u -= cu
    v -= cv
    sides = tables.sides
    for side in range(sides):
        angle = math.pi * side / sides
        if abs(u * math.cos(angle) + v * math.sin(angle)) > tables.half_hole_mm:
            return False
    return True


@kernel
def follow_all(
    tables: SpectTables,
    pose: npt.NDArray[np.float64],
    energy_keV: float,
    photons: int,
    seed: int,
    scratch: SpectScratch,
    seen: npt.NDArray[np.float64],
) -> int:
    """Emit photons of one energy isotropically; return how many leave energy in the camera.

    ``pose`` (12,) f8 is the camera's; ``seen`` (photons, SEEN_COLUMNS) f8 gets the deposit in keV,
    its place along u in mm and the photon's scatters in the object.
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
        slope_u, slope_v = local[3] / local[5], local[4] / local[5]
        path = 0.0
        inside = True
        for look in range(_LOOKS):
            depth = (look + 0.5) / _LOOKS * collimator.length_mm
            w = depth - collimator.length_mm - collimator.gap_mm - local[2]
            if w < 0.0:
                inside = False
                break
            u, v = local[0] + slope_u * w, local[1] + slope_v * w
            if abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
                inside = False
                break
            if not in_hole(u, v, collimator):
                path += collimator.length_mm / _LOOKS / local[5]
        if not inside:
            continue
        below = int(photon[ENERGY])
        part = photon[ENERGY] - below
        mu = collimator.mu_per_mm[below] * (1 - part) + collimator.mu_per_mm[below + 1] * part
        if exponential(state) < mu * path:
            continue
        u, v = local[0] - slope_u * local[2], local[1] - slope_v * local[2]
        if abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
            continue
        photon[X], photon[Y], photon[Z] = u, v, 0.0
        photon[DX], photon[DY], photon[DZ] = local[3], local[4], local[5]
        track_head(state, photon, tables.head, deposit)
        if deposit[DEPOSIT_KEV] > 0.0:
            seen[found, SEEN_KEV] = deposit[DEPOSIT_KEV]
            seen[found, SEEN_U] = deposit[DEPOSIT_U]
            seen[found, SEEN_SCATTERS] = photon[SCATTERS]
            found += 1
    return found
