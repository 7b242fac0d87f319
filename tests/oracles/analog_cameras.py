"""SPECT by brute force: photons are emitted in all directions and tracked.

``camera_transport`` follows only photons that might be seen. Here nothing is aimed, weighted or
left out: photons are tracked through holes and septa by delta tracking, with all that happens
there, and the object is that of PET. The two must agree wherever a collimator is open enough for
this one to see anything.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import DEPOSIT_KEV, DEPOSIT_U
from emulator.object.photon_tracking import track_object
from emulator.object.source_sampling import place_decays
from emulator.physics.photons import DX, DY, DZ, ENERGY, PATH, SCATTERS, X, Y, Z, aim_isotropic
from emulator.spect.camera_head import track_head
from emulator.spect.camera_tables import SpectTables
from emulator.spect.septa_flight import SeptaMatter
from emulator.spect.sight_of_camera import SpectScratch
from emulator.trials.bare_collimator import ENDED, through_septa, to_crystal
from hw.jit import kernel
from hw.physics.random_numbers import seed_stream

SEEN_KEV, SEEN_U, SEEN_SCATTERS, SEEN_KIND, SEEN_COLUMNS = range(5)


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
