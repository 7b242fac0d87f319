"""A photon's flight in the object as far as its next collision: one step of SPECT tracking.

``photon_tracking.track_object`` follows a photon through all its collisions. In SPECT each
collision matters in itself, since the photon may be detected from there, so the photon is followed
from one to the next, with the same tables.
"""

from __future__ import annotations

import math

from emulator.object.photon_tracking import MIXED, ObjectTables, box_crossing
from emulator.physics.atomic_scatter import BOUND_PER_A, FREE_TRANSFER2, KEV_ANGSTROM, ScatterTables
from emulator.physics.photons import DX, DY, DZ, ENERGY, PATH, Photon, State, X, Y, Z
from hw.jit import bare_kernel
from hw.physics.random_numbers import exponential, uniform

_BLOCK_SHIFT = 2
ABSORBED_THERE, COHERENT_THERE, COMPTON_THERE = range(3)


@bare_kernel
def next_collision(state: State, photon: Photon, matter: ObjectTables) -> int:
    """Move to the next collision in the object; return its material, or −1 if there is none.

    A photon that leaves the object is not moved; its path continues on the same straight line.
    """
    travelled, leave = box_crossing(photon, matter.low_mm, matter.high_mm)
    if travelled >= leave:
        return -1
    across, down, blocks_across, blocks_down = matter.steps
    sx, sy, sz = matter.per_voxel[0], matter.per_voxel[1], matter.per_voxel[2]
    x = (photon[X] - matter.low_mm[0]) * sx + 1.0
    y = (photon[Y] - matter.low_mm[1]) * sy + 1.0
    z = (photon[Z] - matter.low_mm[2]) * sz + 1.0
    vx, vy, vz = photon[DX] * sx, photon[DY] * sy, photon[DZ] * sz
    energy_bin = int(photon[ENERGY] + 0.5)
    free_path_mm = 1.0 / matter.majorant_per_mm[energy_bin]
    row = energy_bin * matter.row_step
    while True:
        travelled += exponential(state) * free_path_mm
        if travelled >= leave:
            return -1
        ix, iy, iz = int(x + vx * travelled), int(y + vy * travelled), int(z + vz * travelled)
        block = (ix >> _BLOCK_SHIFT) * blocks_across
        block += (iy >> _BLOCK_SHIFT) * blocks_down + (iz >> _BLOCK_SHIFT)
        kind = matter.kind_block[block]
        if kind == MIXED:
            kind = matter.kind[ix * across + iy * down + iz]
        kept = matter.share[row + kind]
        if kept >= 1.0 or uniform(state) < kept:
            break
    photon[X] += photon[DX] * travelled
    photon[Y] += photon[DY] * travelled
    photon[Z] += photon[DZ] * travelled
    photon[PATH] += travelled
    return matter.material[kind]


@bare_kernel
def draw_fate(state: State, energy_keV: float, material: int, matter: ObjectTables) -> int:
    """Draw what happens in a collision: ABSORBED_THERE, COHERENT_THERE or COMPTON_THERE."""
    fate = uniform(state)
    ends = 2 * (int(energy_keV + 0.5) * matter.materials + material)
    if fate < matter.fate[ends]:
        return ABSORBED_THERE
    return COHERENT_THERE if fate < matter.fate[ends + 1] else COMPTON_THERE


@bare_kernel
def coherent_share(energy_keV: float, material: int, matter: ObjectTables) -> float:
    """Return the share of coherent scatter in a material's collisions."""
    ends = 2 * (int(energy_keV + 0.5) * matter.materials + material)
    return matter.fate[ends + 1] - matter.fate[ends]


@bare_kernel
def bound_share(energy_keV: float, cosine: float, material: int, scatter: ScatterTables) -> float:
    """Return the incoherent scattering function for a scatter through a given angle."""
    at2 = 0.5 * (1.0 - cosine) * energy_keV * energy_keV / (KEV_ANGSTROM * KEV_ANGSTROM)
    if at2 >= FREE_TRANSFER2:
        return 1.0
    place = math.sqrt(max(at2, 0.0)) * BOUND_PER_A
    i = int(place)
    part = place - i
    return scatter.bound[material, i] * (1.0 - part) + scatter.bound[material, i + 1] * part
