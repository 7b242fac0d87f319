"""From a place in the object through a collimator to a hit: whether a camera sees a photon.

``camera_transport`` explains how these steps make up the whole.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import DEPOSIT_KEV
from emulator.detector.response import MADE, respond
from emulator.object.photon_flight import bound_share, coherent_share, next_collision
from emulator.object.source_sampling import PLACE_SIZE
from emulator.physics.atomic_scatter import scatter_coherent
from emulator.physics.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    PHOTON_SIZE,
    SCATTERS,
    Photon,
    State,
    X,
    Y,
    Z,
)
from emulator.slices import DEPOSITS
from emulator.spect.aiming import ENERGY_STEP_KEV, choose_cosine, klein_nishina_per_sr
from emulator.spect.camera_head import FROM_BACKING, HEAD_DEPOSIT_SIZE, between, track_head
from emulator.spect.camera_tables import SpectTables
from emulator.spect.collimator import CollimatorTables, septa_share
from emulator.spect.septa_playback import (
    come_out,
    direction_of,
    draw_node,
    draw_record,
    node_weight,
)
from emulator.truth_labels import no_labels, write_label
from hw.jit import bare_kernel
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.random_numbers import exponential, uniform
from hw.wire.truth_layout import LABEL

PENETRATED, BACKSCATTERED, SEPTAL = 1, 2, 4
"""Bits of a label's ``modules_before``: crossed septa; came back from behind the crystal; scattered
in septa or is their X-ray."""

_PLACED_AT_ONCE = 32


class SpectScratch(NamedTuple):
    """A thread's working space.

    ways : (3, 3) f8, directions after 0, 1, 2 coherent scatters
    exceeded : (1,) i8, number of probabilities above 1, that is, of bounds that did not hold
    """

    state: State
    photon: Photon
    seen: Photon
    ways: npt.NDArray[np.float64]
    deposit: npt.NDArray[np.float64]
    places: npt.NDArray[np.float64]
    labels: npt.NDArray[np.void]
    emitted: npt.NDArray[np.void]
    exceeded: npt.NDArray[np.int64]


def new_spect_scratch() -> SpectScratch:
    """Return working space for one thread."""
    return SpectScratch(
        state=np.zeros(2, np.uint64),
        photon=np.zeros(PHOTON_SIZE),
        seen=np.zeros(PHOTON_SIZE),
        ways=np.zeros((3, 3)),
        deposit=np.zeros(HEAD_DEPOSIT_SIZE),
        places=np.zeros((_PLACED_AT_ONCE, PLACE_SIZE)),
        labels=no_labels(),
        emitted=np.zeros(1, LABEL),
        exceeded=np.zeros(1, np.int64),
    )


@bare_kernel
def scatter_per_sr(
    photon: Photon, dx: float, dy: float, dz: float, material: int, tables: SpectTables
) -> tuple[float, float]:
    """Return the density per sr of Compton scatter into a direction, and the energy after it.

    photon : before the scatter, keV; dx, dy, dz : unit direction after it; ``material`` : its index
    """
    energy = photon[ENERGY]
    cosine = min(photon[DX] * dx + photon[DY] * dy + photon[DZ] * dz, 1.0)
    density = klein_nishina_per_sr(energy, cosine, between(tables.compton, energy))
    density *= bound_share(energy, cosine, material, tables.matter.scatter)
    below = int(energy)
    part = energy - below
    mean = tables.mean_bound[material, below] * (1.0 - part)
    mean += tables.mean_bound[material, below + 1] * part
    return density / mean, energy / (1.0 + energy / ELECTRON_REST_KEV * (1.0 - cosine))


@bare_kernel
def misses_face(
    photon: Photon,
    slope: float,
    pose: npt.NDArray[np.float64],
    collimator: CollimatorTables,
) -> bool:
    """Return whether every direction at this slope to the holes misses the collimator's face."""
    x, y, z = photon[X] - pose[0], photon[Y] - pose[1], photon[Z] - pose[2]
    w = x * pose[9] + y * pose[10] + z * pose[11]
    to_face = -(collimator.gap_mm + collimator.length_mm) - w
    beside = to_face * slope
    u = x * pose[3] + y * pose[4] + z * pose[5]
    v = x * pose[6] + y * pose[7] + z * pose[8]
    return (
        to_face < 0.0
        or abs(u) > collimator.half_u_mm + beside
        or abs(v) > collimator.half_v_mm + beside
    )


@bare_kernel
def aim_at_camera(
    state: State,
    photon: Photon,
    material: int,
    channel: int,
    pose: npt.NDArray[np.float64],
    tables: SpectTables,
    scratch: SpectScratch,
) -> tuple[float, float]:
    """Aim the photon from where it is at a camera, as ``scratch.seen``.

    ``material`` is that of a Compton scatter; −1 means an emission.

    ``channel`` : place in ``tables.channels``. ``pose`` : (12,) f8, the camera's, mm.

    Returns
    -------
    (bound of the transmission, cosine to the holes); bound 0 if it does not get that far
    """
    seen = scratch.seen
    row = int(photon[ENERGY] / ENERGY_STEP_KEV)
    angle_bin, cosine = choose_cosine(state, row, tables.aim)
    sine = math.sqrt(max(1.0 - cosine * cosine, 0.0))
    coherent = tables.channels.coherent[channel]
    if coherent == 0 and misses_face(photon, sine / cosine, pose, tables.collimator):
        return 0.0, cosine
    azimuth = 2.0 * math.pi * uniform(state)
    along_u, along_v = sine * math.cos(azimuth), sine * math.sin(azimuth)
    for i in range(PHOTON_SIZE):
        seen[i] = photon[i]
    for axis in range(3):
        seen[DX + axis] = (
            along_u * pose[3 + axis] + along_v * pose[6 + axis] + cosine * pose[9 + axis]
        )
    most_sr = tables.channels.whole_sr[channel]
    scale = tables.cameras * tables.aim.whole_sr[row] / most_sr
    if not leave_object(state, photon, material, coherent, scale, -1, tables, scratch):
        return 0.0, cosine
    return tables.aim.bound[row, angle_bin], cosine


@bare_kernel
def aim_at_septa(
    state: State,
    photon: Photon,
    material: int,
    channel: int,
    pose: npt.NDArray[np.float64],
    tables: SpectTables,
    scratch: SpectScratch,
) -> tuple[int, int, int]:
    """Aim the photon, as ``scratch.seen``, so that it scatters in septa and is seen.

    Arguments as for ``aim_at_camera``.

    Returns
    -------
    node, record of the library and the symmetry applied to it; record −1 if it does not get that
    far
    """
    seen, septa = scratch.seen, tables.septa
    node, scale = tables.channels.node[channel], 1.0
    if material >= 0:
        node, whole = draw_node(state, photon[ENERGY], septa)
        scale = tables.cameras * whole / tables.channels.whole_sr[channel]
    if septa.size[node] == 0:
        return node, -1, 0
    record, way = draw_record(state, node, septa)
    for i in range(PHOTON_SIZE):
        seen[i] = photon[i]
    cosine = direction_of(record, way, pose, septa, seen)
    coherent = tables.channels.coherent[channel]
    slope = math.sqrt(1.0 - cosine * cosine) / cosine
    if coherent == 0 and misses_face(photon, slope, pose, tables.collimator):
        return node, -1, 0
    hat = node if material >= 0 else -1
    if not leave_object(state, photon, material, coherent, scale, hat, tables, scratch):
        return node, -1, 0
    return node, record, way


@bare_kernel
def leave_object(
    state: State,
    photon: Photon,
    material: int,
    coherent: int,
    scale: float,
    node: int,
    tables: SpectTables,
    scratch: SpectScratch,
) -> bool:
    """Keep ``scratch.seen`` with its direction's probability, after its coherent scatters.

    Parameters
    ----------
    photon : (PHOTON_SIZE,) f8, before the scatter or emission
    material : of the Compton scatter, −1 for an emission
    coherent : number of coherent scatters after it
    scale : probability of keeping a Compton scatter over its density per sr
    node : of the septa library, of which only its own share counts; −1 for none
    """
    seen, ways = scratch.seen, scratch.ways
    for n in range(coherent, 0, -1):  # from the last direction back to the first
        for axis in range(3):
            ways[n, axis] = seen[DX + axis]
        scatter_coherent(state, seen, tables.matter.scatter, tables.coherent_material)
    if material >= 0:
        density, energy = scatter_per_sr(photon, seen[DX], seen[DY], seen[DZ], material, tables)
        chance = scale * density
        if chance > 1.0:
            scratch.exceeded[0] += 1
        if node >= 0:
            chance *= node_weight(energy, node, tables.septa)
        if uniform(state) >= chance or energy < tables.matter.cut_keV:
            return False
        seen[ENERGY] = energy
    for n in range(1, coherent + 1):
        met = next_collision(state, seen, tables.matter)
        if met < 0:
            return False
        share = coherent_share(seen[ENERGY], met, tables.matter)
        if uniform(state) * tables.most_coherent >= share:
            return False
        seen[SCATTERS] += 1.0
        for axis in range(3):
            seen[DX + axis] = ways[n, axis]
    return True


@bare_kernel
def pass_collimator(
    state: State,
    bound: float,
    cosine: float,
    pose: npt.NDArray[np.float64],
    tables: SpectTables,
    scratch: SpectScratch,
) -> int:
    """Take ``scratch.seen`` through object and collimator to the crystal's face, in its frame.

    Parameters
    ----------
    bound, cosine : as ``aim_at_camera`` returned them
    pose : (12,) f8, the camera's in the object's frame

    Returns
    -------
    −1 if it does not get there, PENETRATED if it crossed septa, else 0
    """
    seen, collimator = scratch.seen, tables.collimator
    x, y, z = seen[X] - pose[0], seen[Y] - pose[1], seen[Z] - pose[2]
    u = x * pose[3] + y * pose[4] + z * pose[5]
    v = x * pose[6] + y * pose[7] + z * pose[8]
    w = x * pose[9] + y * pose[10] + z * pose[11]
    along_u = seen[DX] * pose[3] + seen[DY] * pose[4] + seen[DZ] * pose[5]
    along_v = seen[DX] * pose[6] + seen[DY] * pose[7] + seen[DZ] * pose[8]
    slope_u, slope_v = along_u / cosine, along_v / cosine
    to_face = -(collimator.gap_mm + collimator.length_mm) - w
    u += slope_u * to_face
    v += slope_v * to_face
    if to_face < 0.0 or abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
        return -1
    du, dv = slope_u * collimator.length_mm, slope_v * collimator.length_mm
    u_end, v_end = u + slope_u * -(to_face + w), v + slope_v * -(to_face + w)
    if abs(u_end) > collimator.half_u_mm or abs(v_end) > collimator.half_v_mm:
        return -1
    mu = between(collimator.mu_per_mm, seen[ENERGY])
    most = -math.log(max(uniform(state), 1e-300) * bound)
    per_share = mu * collimator.length_mm / cosine
    share = septa_share(u, v, du, dv, most / per_share, collimator)
    depth = share * per_share
    if depth > most:
        return -1
    if math.exp(-depth) > bound * (1.0 + 1e-9):
        scratch.exceeded[0] += 1
    cover = between(collimator.cover_per_mm, seen[ENERGY]) * collimator.cover_mm / cosine
    if exponential(state) < cover:
        return -1
    if next_collision(state, seen, tables.matter) >= 0:
        return -1
    seen[PATH] += -w / cosine
    seen[X], seen[Y], seen[Z] = u_end, v_end, 0.0
    seen[DX], seen[DY], seen[DZ] = along_u, along_v, cosine
    return PENETRATED if share > 0.0 else 0


@bare_kernel
def pass_septa(
    state: State,
    node: int,
    record: int,
    way: int,
    pose: npt.NDArray[np.float64],
    tables: SpectTables,
    scratch: SpectScratch,
) -> bool:
    """Take ``scratch.seen`` through object, septa and cover; return whether it reaches a crystal.

    If so, it is on the crystal's face, in its frame.

    Parameters
    ----------
    node, record, way : as ``aim_at_septa`` returned them
    pose : (12,) f8, the camera's in the object's frame
    """
    seen, collimator = scratch.seen, tables.collimator
    x, y, z = seen[X] - pose[0], seen[Y] - pose[1], seen[Z] - pose[2]
    w = x * pose[9] + y * pose[10] + z * pose[11]
    cosine = seen[DX] * pose[9] + seen[DY] * pose[10] + seen[DZ] * pose[11]
    along_u = seen[DX] * pose[3] + seen[DY] * pose[4] + seen[DZ] * pose[5]
    along_v = seen[DX] * pose[6] + seen[DY] * pose[7] + seen[DZ] * pose[8]
    to_face = -(collimator.gap_mm + collimator.length_mm) - w
    u = x * pose[3] + y * pose[4] + z * pose[5] + along_u / cosine * to_face
    v = x * pose[6] + y * pose[7] + z * pose[8] + along_v / cosine * to_face
    if to_face < 0.0 or abs(u) > collimator.half_u_mm or abs(v) > collimator.half_v_mm:
        return False
    if next_collision(state, seen, tables.matter) >= 0:
        return False
    seen[PATH] += to_face / cosine
    cosine = come_out(record, way, node, u, v, collimator, tables.septa, seen)
    if cosine <= 0.0:
        return False
    cover = between(collimator.cover_per_mm, seen[ENERGY]) * collimator.cover_mm / cosine
    return exponential(state) >= cover


@bare_kernel
def look(
    state: State,
    photon: Photon,
    material: int,
    channel: int,
    time_ps: float,
    poses: npt.NDArray[np.float64],
    tables: SpectTables,
    scratch: SpectScratch,
    hits: npt.NDArray[np.void],
    n_hits: int,
    missed: npt.NDArray[np.int64],
    tally: npt.NDArray[np.int64],
) -> int:
    """Try to detect the photon with a randomly drawn camera; return the new number of hits.

    Parameters
    ----------
    photon : (PHOTON_SIZE,) f8, at the place of its emission or Compton scatter
    material : of the Compton scatter, −1 for an emission
    channel : index into ``tables.channels``
    time_ps : from the slice's start
    poses : (cameras, 12) f8, in the object's frame
    hits : (capacity,) HIT, of which the first ``n_hits`` are in use
    missed, tally : as for ``emulate_spect_slice``
    """
    camera = min(int(uniform(state) * len(poses)), len(poses) - 1)
    pose = poses[camera]
    if tables.channels.node[channel] >= 0:
        node, record, way = aim_at_septa(state, photon, material, channel, pose, tables, scratch)
        if record < 0 or not pass_septa(state, node, record, way, pose, tables, scratch):
            return n_hits
        how = SEPTAL
    else:
        bound, cosine = aim_at_camera(state, photon, material, channel, pose, tables, scratch)
        if bound <= 0.0:
            return n_hits
        how = pass_collimator(state, bound, cosine, pose, tables, scratch)
        if how < 0:
            return n_hits
    deposit, labels = scratch.deposit, scratch.labels
    scatters = scratch.seen[SCATTERS]
    track_head(state, scratch.seen, tables.head, deposit)
    if deposit[DEPOSIT_KEV] <= 0.0:
        return n_hits
    tally[DEPOSITS] += 1
    fate = respond(state, deposit, camera, time_ps, tables.response, hits, n_hits)
    if fate != MADE:
        missed[camera, fate] += 1
        return n_hits
    if len(labels) > 0:
        how += BACKSCATTERED * (deposit[FROM_BACKING] > 0.0)
        write_label(labels[n_hits], scratch.emitted[0], deposit[DEPOSIT_KEV], scatters, how)
    return n_hits + 1
