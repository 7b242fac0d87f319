"""Photons tracked through blocks of crystal: what one block counts where, and what is left in it.

The photons' rays cover the block evenly, with a margin for those that scatter over from a
neighbour. They start where they pass the scanner's axis and are forced to interact in the blocks,
with the probability of that as their weight; from then on they are tracked without bias, through
any of the blocks, by photoelectric absorption or Compton scatter until absorbed or gone. The first
block of the list is the one whose counts are wanted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hw.arrays import Array
from hw.jit import bare_kernel, kernel
from hw.physics.compton import sample_compton
from hw.physics.photon_kernels import Ray, isotropic, moved, scattered
from hw.physics.random_numbers import State, exponential, normal, seed_stream, uniform

ABSORBED_BELOW_KEV = 70
"""Such photons do not get 0.2 mm further in LYSO."""

_FAR = 1e30
_CLEAR_MM = 1e-6


class _Blocks(NamedTuple):
    """Blocks of one size; the first is the one whose counts are wanted.

    centres : (b, 3) f8, mm, centres of the front faces; axes : (b, 3, 3) f8, rows u, v, w
    half_u, half_v, thickness : mm; along w a block starts at its centre
    """

    centres: Array
    axes: Array
    half_u: float
    half_v: float
    thickness: float


class _Crystal(NamedTuple):
    """What a photon of i keV meets: µ in 1/mm and its photoelectric share, each (n,) f8."""

    mu_per_mm: Array
    photo: Array


class _Beam(NamedTuple):
    """Photons of one direction that cover a rectangle in the plane of the first block's face.

    du, dv, dw : direction along the block's axes; dx, dy, dz : along the scanner's
    low_u, high_u, low_v, high_v : mm, the rectangle
    photon_mm2 : area across the beam that one photon stands for
    """

    du: float
    dv: float
    dw: float
    dx: float
    dy: float
    dz: float
    low_u: float
    high_u: float
    low_v: float
    high_v: float
    photon_mm2: float


class _Deposit(NamedTuple):
    """What one photon deposited in the first block.

    total, largest : keV, of all its interactions there and of the largest one
    u, v, w : place in mm of the largest; for monolithic blocks of all, summed times keV
    """

    total: float
    largest: float
    u: float
    v: float
    w: float


@bare_kernel
def _beam(du: float, dv: float, blocks: _Blocks, margin_mm: float, photons: int) -> _Beam:
    """Return the beam that covers all of the first block, and ``margin_mm`` around it.

    du, dv : direction along the block's u and v; ``photons`` : how many share the beam
    """
    axes, half_u, half_v, thickness = blocks.axes, blocks.half_u, blocks.half_v, blocks.thickness
    dw = math.sqrt(max(1e-6, 1.0 - du * du - dv * dv))
    slant_u, slant_v = -thickness * du / dw, -thickness * dv / dw
    low_u, high_u = min(0.0, slant_u) - half_u - margin_mm, max(0.0, slant_u) + half_u + margin_mm
    low_v, high_v = min(0.0, slant_v) - half_v - margin_mm, max(0.0, slant_v) + half_v + margin_mm
    photon_mm2 = (high_u - low_u) * (high_v - low_v) * dw / photons
    dx = du * axes[0, 0, 0] + dv * axes[0, 1, 0] + dw * axes[0, 2, 0]
    dy = du * axes[0, 0, 1] + dv * axes[0, 1, 1] + dw * axes[0, 2, 1]
    dz = du * axes[0, 0, 2] + dv * axes[0, 1, 2] + dw * axes[0, 2, 2]
    return _Beam(du, dv, dw, dx, dy, dz, low_u, high_u, low_v, high_v, photon_mm2)


@bare_kernel
def _aimed_at(beam: _Beam, number: int) -> tuple[float, float]:
    """Return where photon ``number`` crosses the plane of the face: u and v in mm.

    The R2 sequence of M. Roberts (2018) covers the rectangle evenly.
    """
    part_u = (0.5 + number * 0.7548776662466927) % 1.0
    part_v = (0.5 + number * 0.5698402909980532) % 1.0
    return (
        beam.low_u + (beam.high_u - beam.low_u) * part_u,
        beam.low_v + (beam.high_v - beam.low_v) * part_v,
    )


@bare_kernel
def _started(face_u: float, face_v: float, beam: _Beam, blocks: _Blocks) -> Ray:
    """Return the photon that crosses the face here (mm), moved back to the scanner's axis."""
    centres, axes = blocks.centres, blocks.axes
    x = centres[0, 0] + face_u * axes[0, 0, 0] + face_v * axes[0, 1, 0]
    y = centres[0, 1] + face_u * axes[0, 0, 1] + face_v * axes[0, 1, 1]
    z = centres[0, 2] + face_u * axes[0, 0, 2] + face_v * axes[0, 1, 2]
    dx, dy, dz = beam.dx, beam.dy, beam.dz
    back = (x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12)
    return moved(Ray(x, y, z, dx, dy, dz), -back)


@bare_kernel
def _crossing(ray: Ray, block: int, blocks: _Blocks) -> tuple[float, float]:
    """Return after how many mm a photon enters and leaves a block; (far, 0) if it misses."""
    centres, axes = blocks.centres, blocks.axes
    enter, leave = 0.0, _FAR
    x, y, z = ray.x - centres[block, 0], ray.y - centres[block, 1], ray.z - centres[block, 2]
    for k in range(3):
        place = axes[block, k, 0] * x + axes[block, k, 1] * y + axes[block, k, 2] * z
        slope = axes[block, k, 0] * ray.dx + axes[block, k, 1] * ray.dy + axes[block, k, 2] * ray.dz
        low, high = -blocks.half_u, blocks.half_u
        if k == 1:
            low, high = -blocks.half_v, blocks.half_v
        elif k == 2:
            low, high = 0.0, blocks.thickness
        if abs(slope) < 1e-12:
            if place < low or place > high:
                return _FAR, 0.0
            continue
        a, b = (low - place) / slope, (high - place) / slope
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return enter, leave


@bare_kernel
def _cross_all(ray: Ray, blocks: _Blocks, enters: Array, ways: Array) -> float:
    """Write where a photon enters each block and its path in it, mm; return the total path."""
    total = 0.0
    for b in range(len(ways)):
        enters[b], leave = _crossing(ray, b, blocks)
        ways[b] = max(leave - enters[b], 0.0)
        total += ways[b]
    return total


@bare_kernel
def _first_interaction(way: float, enters: Array, ways: Array) -> tuple[int, float]:
    """Return the block in which a photon completes ``way`` mm within blocks, and the distance.

    enters, ways : (b,) mm, see :func:`_cross_all`; the paths before are set to 0. Beyond the last
        block (possible only by rounding): (-1, 0)
    """
    for _ in range(len(ways)):
        nearest = -1
        for b in range(len(ways)):
            if ways[b] > 0.0 and (nearest < 0 or enters[b] < enters[nearest]):
                nearest = b
        if way <= ways[nearest]:
            return nearest, enters[nearest] + way
        way -= ways[nearest]
        ways[nearest] = 0.0
    return -1, 0.0


@bare_kernel
def _next_block(ray: Ray, blocks: _Blocks) -> tuple[int, float]:
    """Return the next block on a photon's path and the distance to it, mm; (-1, far) if none."""
    found, nearest = -1, _FAR
    for b in range(len(blocks.centres)):
        enter, leave = _crossing(ray, b, blocks)
        if leave > enter and enter < nearest:
            found, nearest = b, enter
    return found, nearest


@bare_kernel
def _next_interaction(ray: Ray, inside: int, way: float, blocks: _Blocks) -> tuple[int, Ray]:
    """Move a photon ``way`` mm within blocks, from inside one; return its block (-1: gone)."""
    while inside >= 0:
        _, leave = _crossing(ray, inside, blocks)
        if way <= leave:
            return inside, moved(ray, way)
        way -= leave
        ray = moved(ray, leave + _CLEAR_MM)
        inside, distance = _next_block(ray, blocks)
        if inside >= 0:
            ray = moved(ray, distance)
    return inside, ray


@bare_kernel
def _collision(energy: float, crystal: _Crystal, state: State) -> tuple[float, float]:
    """Return the share of its energy that a photon keeps, 0 if absorbed, and cosθ."""
    if energy >= ABSORBED_BELOW_KEV and uniform(state) >= crystal.photo[int(energy)]:
        ratio, versine = sample_compton(state, energy)
        return 1.0 / ratio, 1.0 - versine
    return 0.0, 1.0


@bare_kernel
def _added(before: _Deposit, given: float, ray: Ray, blocks: _Blocks, monolithic: bool) -> _Deposit:
    """Return the deposit with ``given`` keV added at the photon's place in the first block.

    ray : the photon where it interacts, mm; ``monolithic`` : places are summed, else that of the
        largest
    """
    centres, axes = blocks.centres, blocks.axes
    x, y, z = ray.x - centres[0, 0], ray.y - centres[0, 1], ray.z - centres[0, 2]
    u = x * axes[0, 0, 0] + y * axes[0, 0, 1] + z * axes[0, 0, 2]
    v = x * axes[0, 1, 0] + y * axes[0, 1, 1] + z * axes[0, 1, 2]
    w = x * axes[0, 2, 0] + y * axes[0, 2, 1] + z * axes[0, 2, 2]
    total, largest = before.total + given, max(before.largest, given)
    if monolithic:
        u, v, w = before.u + given * u, before.v + given * v, before.w + given * w
    elif given <= before.largest:
        u, v, w = before.u, before.v, before.w
    return _Deposit(total, largest, u, v, w)


@bare_kernel
def _followed(
    ray: Ray, energy: float, inside: int, blocks: _Blocks, crystal: _Crystal, monolithic: bool,
    state: State,
) -> _Deposit:  # fmt: skip
    """Track a photon of ``energy`` keV from its first interaction on; return its deposit.

    ray : the photon at that interaction, mm; ``inside`` : the block it is in; ``state`` : (2,) u8
    """
    deposit = _Deposit(0.0, 0.0, 0.0, 0.0, 0.0)
    while inside >= 0:
        ratio, cosine = _collision(energy, crystal, state)
        if inside == 0:
            deposit = _added(deposit, energy * (1.0 - ratio), ray, blocks, monolithic)
        energy *= ratio
        if energy <= 0.0:
            break
        ray = scattered(ray, cosine, state)
        way = -math.log(1.0 - uniform(state)) / crystal.mu_per_mm[int(energy)]
        inside, ray = _next_interaction(ray, inside, way, blocks)
    total, largest, u, v, w = deposit
    if monolithic and total > 0.0:
        u, v, w = u / total, v / total, w / total
    return _Deposit(total, largest, u, v, w)


@bare_kernel
def _add_depth(
    deposit: _Deposit, face_u: float, face_v: float, beam: _Beam, weight: float, depths: Array
) -> None:
    """Add a photon aimed at ``face_u, face_v`` to the sums over slopes, places and depths (mm).

    Without scatter, the shift from where it meets the face would be the depth times the slope.

    beam : the photon's; ``weight`` : mm², area it stands for; ``depths`` : (3,) f8, added to
    """
    du, dv, dw = beam.du, beam.dv, beam.dw
    depths[0] += weight * ((deposit.u - face_u) * du + (deposit.v - face_v) * dv) / dw
    depths[1] += weight * deposit.w * (du * du + dv * dv) / (dw * dw)
    depths[2] += weight * (du * du + dv * dv) / (dw * dw)


@bare_kernel
def _reflected(place: float, half: float) -> float:
    """Return a blurred position reflected back into the block: no light leaves it."""
    if place > half:
        place = 2.0 * half - place
    elif place < -half:
        place = -2.0 * half - place
    return min(max(place, -half), half)


@bare_kernel
def _blurred(
    u: float, v: float, blur_mm: float, blocks: _Blocks, state: State
) -> tuple[float, float]:
    """Return a place in a block as read out, mm: ``blur_mm`` is σ of a Gaussian.

    u, v : mm from the block's middle; ``state`` : (2,) u8 of the random numbers
    """
    return (
        _reflected(u + blur_mm * normal(state), blocks.half_u),
        _reflected(v + blur_mm * normal(state), blocks.half_v),
    )


@bare_kernel
def _count(along: Array, place: float, half: float, weight: float) -> None:
    """Add ``weight`` (mm²) to the cell of a place from -half to half, mm."""
    cell = int((place / (2.0 * half) + 0.5) * len(along))
    along[min(max(cell, 0), len(along) - 1)] += weight


@kernel
def counts_from(
    du: float,
    dv: float,
    energy_keV: float,
    centres: Array,
    axes: Array,
    size: Array,
    margin_mm: float,
    mu_per_mm: Array,
    photo: Array,
    counted: Array,
    monolithic: bool,
    blur_mm: float,
    photons: int,
    seed: int,
    along_u: Array,
    along_v: Array,
    depths: Array,
    spectrum: Array,
) -> None:
    """Add what the first block counts of photons from one direction, as areas in mm², by place.

    Parameters
    ----------
    du, dv : the photons' direction along the first block's u and v; along w it is positive
    energy_keV : of the photons
    centres : (b, 3) f8, centres of the front faces; axes : (b, 3, 3) f8, rows u, v, w
    size : (3,) f8, width, height and thickness of every block; margin_mm : see above
    mu_per_mm, photo, counted : (n,) f8 by energy in keV, up to the photons': attenuation, its
        photoelectric share, the probability that a deposit is read out within the energy window
    monolithic : the place is the energy-weighted mean (True) or that of the largest deposit
    blur_mm : σ of the place as read out
    along_u, along_v : (n,) f8, by place in the block
    depths : (3,) f8, sums of s·a, s·s w and s·s over counted photons: slopes s of the ray along u
        and v, measured place a relative to where the ray meets the face, measured depth w
    spectrum : (n,) f8, areas by the energy left in the block, keV
    """
    state = np.empty(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    blocks = _Blocks(centres, axes, 0.5 * size[0], 0.5 * size[1], size[2])
    crystal = _Crystal(mu_per_mm, photo)
    beam = _beam(du, dv, blocks, margin_mm, photons)
    enters, ways = np.empty(len(centres)), np.empty(len(centres))
    mu = mu_per_mm[int(energy_keV + 0.5)]
    for i in range(photons):
        face_u, face_v = _aimed_at(beam, i)
        ray = _started(face_u, face_v, beam, blocks)
        total = _cross_all(ray, blocks, enters, ways)
        if total <= 0.0:
            continue
        chance = -math.expm1(-mu * total)
        way = -math.log(1.0 - uniform(state) * chance) / mu
        inside, distance = _first_interaction(way, enters, ways)
        ray = moved(ray, distance)
        deposit = _followed(ray, energy_keV, inside, blocks, crystal, monolithic, state)
        if deposit.total <= 0.0:
            continue
        energy_bin = min(int(deposit.total + 0.5), len(spectrum) - 1)
        spectrum[energy_bin] += beam.photon_mm2 * chance
        weight = beam.photon_mm2 * chance * counted[energy_bin]
        if inside == 0:
            _add_depth(deposit, face_u, face_v, beam, weight, depths)
        u, v = _blurred(deposit.u, deposit.v, blur_mm, blocks, state)
        _count(along_u, u, blocks.half_u, weight)
        _count(along_v, v, blocks.half_v, weight)


@bare_kernel
def _from_ball(radius_mm: float, distance_mm: float, blocks: _Blocks, state: State) -> Ray:
    """Return a photon that enters a block anywhere on its face, from a ball before it."""
    x, y, z = isotropic(state)
    radius = radius_mm * uniform(state) ** (1.0 / 3.0)
    u = (2.0 * uniform(state) - 1.0) * blocks.half_u
    v = (2.0 * uniform(state) - 1.0) * blocks.half_v
    x, y, z = u - radius * x, v - radius * y, distance_mm - radius * z
    length = math.sqrt(x * x + y * y + z * z)
    return Ray(u, v, 0.0, x / length, y / length, z / length)


@kernel
def deposits_from_ball(
    radius_mm: float, distance_mm: float, energy_keV: float, size: Array, mu_per_mm: Array,
    photo: Array, seed: int, out: Array,
) -> None:  # fmt: skip
    """Fill in the energy (keV) that each photon interacting in a lone block deposits.

    radius_mm, distance_mm : of the ball that the photons come from, and of its middle to the face
    size : (3,) f8, width, height and thickness; mu_per_mm, photo : as for :func:`counts_from`
    out : (photons,) f8
    """
    state = np.empty(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(int(energy_keV)))
    axes = np.zeros((1, 3, 3))
    axes[0, 0, 0] = axes[0, 1, 1] = axes[0, 2, 2] = 1.0
    blocks = _Blocks(np.zeros((1, 3)), axes, 0.5 * size[0], 0.5 * size[1], size[2])
    crystal = _Crystal(mu_per_mm, photo)
    mu = mu_per_mm[int(energy_keV)]
    for i in range(len(out)):
        while True:
            ray, way = _from_ball(radius_mm, distance_mm, blocks, state), exponential(state) / mu
            if way < _crossing(ray, 0, blocks)[1]:
                break
        deposit = _followed(moved(ray, way), energy_keV, 0, blocks, crystal, False, state)
        out[i] = deposit.total
