"""Kernels of :mod:`recon.scatter.multiple`: photons followed from collision to collision."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hw.jit import Array, bare_kernel, kernel
from hw.physics.block_efficiency import efficiency_at
from hw.physics.compton import sample_compton
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.photon_kernels import Ray, isotropic, moved, scattered
from hw.physics.random_numbers import State, seed_stream, uniform
from recon.scatter.single_kernels import trilinear

_REST = ELECTRON_REST_KEV
_FAR = 1e30

_EDGE_ON = 0.02
"""Cosine of incidence below which a module is assumed to detect nothing."""

_NO_CHANCE = 1e-9
"""Collision probability below which a photon is assumed to leave."""


class _Matter(NamedTuple):
    """The object that photons cross: µ at 511 keV in cubes.

    mu : (x, y, z) f4, 1/mm; shape : (3,) f8, its shape
    origin : (3,) f8, mm, middle of its first voxel; voxel_mm : side
    """

    mu: Array
    shape: Array
    origin: Array
    voxel_mm: float


class _Modules(NamedTuple):
    """The scanner's modules, all of one size.

    faces : (m, 3) f8, mm, middles of their faces; axes : (m, 3, 3) f8, rows u, v, w
    width, height, thickness : mm; along_u, along_v : see
    :func:`hw.physics.block_efficiency.efficiency_at`
    """

    faces: Array
    axes: Array
    width: float
    height: float
    thickness: float
    along_u: Array
    along_v: Array


class _Energies(NamedTuple):
    """A table over energy, its rows ``per_keV`` from ``least_keV`` on; see follow_chains."""

    table: Array
    least_keV: float
    per_keV: float


class _Spot(NamedTuple):
    """A place in a module: 0 to 1 along u and v, and mm below the face."""

    part_u: float
    part_v: float
    depth_mm: float


@bare_kernel
def _reach(shape: Array, ray: Ray) -> float:
    """Return a ray's length within an image of ``shape`` voxels; all in units of its voxels."""
    far = _FAR
    for k in range(3):
        place, slope = ray.x, ray.dx
        if k == 1:
            place, slope = ray.y, ray.dy
        elif k == 2:
            place, slope = ray.z, ray.dz
        if abs(slope) > 1e-12:
            edge = 0.0 if slope < 0.0 else shape[k] - 1.0
            far = min(far, (edge - place) / slope)
    return max(far, 0.0)


@bare_kernel
def _path(matter: _Matter, ray: Ray, far: float, wanted: float) -> tuple[float, float]:
    """Return ∫µ ds along a ray up to ``far`` or until ``wanted`` is reached, and the distance.

    Positions and lengths are in (cubic) voxels; ∫µ is in 1/mm · voxels.
    """
    far = min(far, _reach(matter.shape, ray))
    steps = math.ceil(far)
    if steps == 0:
        return 0.0, 0.0
    width, total = far / steps, 0.0
    for i in range(steps):
        at = moved(ray, (i + 0.5) * width)
        here = trilinear(matter.mu, at.x, at.y, at.z) * width
        if total + here >= wanted:
            return wanted, (i + (wanted - total) / here) * width
        total += here
    return total, far


@bare_kernel
def _at(energies: _Energies, energy: float, column: int) -> float:
    """Return a column of the table at an energy in keV, interpolated between rows."""
    table, row = energies.table, (energy - energies.least_keV) * energies.per_keV
    i = min(max(int(row), 0), table.shape[0] - 2)
    part = min(max(row - i, 0.0), 1.0)
    return float(table[i, column] * (1.0 - part) + table[i + 1, column] * part)


@bare_kernel
def _drawn_depth(table: Array, thickness_mm: float, state: State) -> float:
    """Return a random interaction depth of a 511 keV photon at normal incidence."""
    mu = table[table.shape[0] - 1, 2]
    return float(-math.log1p(uniform(state) * math.expm1(-mu * thickness_mm)) / mu)


@bare_kernel
def _stopped(
    table: Array, mu: float, thickness_mm: float, depth_mm: float, incidence: float
) -> float:
    """Return cosθ · density of interactions at a depth, over the density it was drawn from.

    table : of ``_Energies``; ``mu`` : 1/mm, of the module at the photon's energy
    incidence : cosθ to the face's normal; depths in mm
    """
    of_511 = table[table.shape[0] - 1, 2]
    drawn = of_511 * math.exp(-of_511 * depth_mm) / -math.expm1(-of_511 * thickness_mm)
    return float(mu * math.exp(-mu * depth_mm / incidence) / drawn)


@bare_kernel
def _drawn_spot(modules: _Modules, energies: _Energies, state: State) -> _Spot:
    """Return a random place in a module: uniform over the face, in depth as for 511 keV."""
    part_u, part_v = uniform(state), uniform(state)
    return _Spot(part_u, part_v, _drawn_depth(energies.table, modules.thickness, state))


@bare_kernel
def _drawn_decay(place: int, mu: Array, state: State) -> tuple[float, float, float]:
    """Return a random place of decay in a voxel (flat index), in voxels from the first's centre."""
    ny, nz = mu.shape[1], mu.shape[2]
    x = place // (ny * nz) + uniform(state) - 0.5
    y = place // nz % ny + uniform(state) - 0.5
    z = place % nz + uniform(state) - 0.5
    return x, y, z


@bare_kernel
def _drawn_ray(x: float, y: float, z: float, state: State) -> Ray:
    """Return a photon from there (voxels) in an isotropic random direction."""
    dx, dy, dz = isotropic(state)
    return Ray(x, y, z, dx, dy, dz)


@bare_kernel
def _towards(
    m: int, spot: _Spot, modules: _Modules, matter: _Matter, x: float, y: float, z: float
) -> tuple[Ray, float]:
    """Return the ray from a place, in voxels, to a spot of a module, and its length² in mm².

    m : the module; x, y, z : the place in voxels from the first one's centre
    """
    faces, axes = modules.faces, modules.axes
    u, v = (spot.part_u - 0.5) * modules.width, (spot.part_v - 0.5) * modules.height
    w = spot.depth_mm
    tx = faces[m, 0] + u * axes[m, 0, 0] + v * axes[m, 1, 0] + w * axes[m, 2, 0]
    ty = faces[m, 1] + u * axes[m, 0, 1] + v * axes[m, 1, 1] + w * axes[m, 2, 1]
    tz = faces[m, 2] + u * axes[m, 0, 2] + v * axes[m, 1, 2] + w * axes[m, 2, 2]
    tx -= matter.origin[0] + x * matter.voxel_mm
    ty -= matter.origin[1] + y * matter.voxel_mm
    tz -= matter.origin[2] + z * matter.voxel_mm
    square = tx * tx + ty * ty + tz * tz
    length = math.sqrt(square)
    return Ray(x, y, z, tx / length, ty / length, tz / length), square


@bare_kernel
def _along_axes(ray: Ray, m: int, modules: _Modules) -> tuple[float, float, float]:
    """Return a ray's direction along a module's u, v and w; the last is the incidence's cosine."""
    axes = modules.axes
    du = ray.dx * axes[m, 0, 0] + ray.dy * axes[m, 0, 1] + ray.dz * axes[m, 0, 2]
    dv = ray.dx * axes[m, 1, 0] + ray.dy * axes[m, 1, 1] + ray.dz * axes[m, 1, 2]
    dw = ray.dx * axes[m, 2, 0] + ray.dy * axes[m, 2, 1] + ray.dz * axes[m, 2, 2]
    return du, dv, dw


@bare_kernel
def _serve(
    ray: Ray, energy: float, weight: float, spot: _Spot, modules: _Modules, matter: _Matter,
    energies: _Energies, found: Array, photon: int, later: int,
) -> None:  # fmt: skip
    """Add to each module the probability, per mm² of face, to count a photon scattering here.

    ray : of the incoming photon, in voxels, with ``energy`` in keV; in a module it interacts at
        ``spot``; found : see :func:`_follow_photon`
    """
    norm = weight * _at(energies, energy, 3)
    for m in range(len(modules.faces)):
        out, square = _towards(m, spot, modules, matter, ray.x, ray.y, ray.z)
        cosine = out.dx * ray.dx + out.dy * ray.dy + out.dz * ray.dz
        ratio = 1.0 / (1.0 + energy / _REST * (1.0 - cosine))
        after = energy * ratio
        du, dv, incidence = _along_axes(out, m, modules)
        if after < energies.least_keV or incidence < _EDGE_ON:
            continue
        through, _ = _path(matter, out, math.sqrt(square) / matter.voxel_mm, _FAR)
        chance = norm * ratio * ratio * (ratio + 1.0 / ratio - 1.0 + cosine * cosine)
        chance *= math.exp(-_at(energies, after, 1) * through * matter.voxel_mm) / square
        mu = _at(energies, after, 2)
        chance *= _stopped(energies.table, mu, modules.thickness, spot.depth_mm, incidence)
        chance *= efficiency_at(modules.along_u, modules.along_v, du, dv, spot.part_u, spot.part_v)
        found[photon, later, m] += chance * _at(energies, after, 0)


@bare_kernel
def _collided(
    ray: Ray, energy: float, matter: _Matter, energies: _Energies, state: State
) -> tuple[float, Ray]:
    """Force a photon of ``energy`` keV to collide; return the probability, and the photon there.

    If the probability is almost 0 it stays where it is.

    ray : in voxels; ``state`` : (2,) u8 of the random numbers
    """
    scale = _at(energies, energy, 1) * matter.voxel_mm
    whole, _ = _path(matter, ray, _FAR, _FAR)
    chance = -math.expm1(-whole * scale)
    if chance <= _NO_CHANCE:
        return chance, ray
    wanted = -math.log(1.0 - uniform(state) * chance) / scale
    _, way = _path(matter, ray, _FAR, wanted)
    return chance, moved(ray, way)


@bare_kernel
def _follow_photon(
    ray: Ray, photon: int, most: int, spot: _Spot, modules: _Modules, matter: _Matter,
    energies: _Energies, state: State, found: Array,
) -> None:  # fmt: skip
    """Follow a photon of 511 keV over up to ``most`` collisions, each of them forced.

    found : (2, 2, m) f8, added to: by photon, first or later collision, and module, the probability
        per mm² of face that it is counted there
    """
    energy, weight = _REST, 1.0
    for order in range(most):
        chance, ray = _collided(ray, energy, matter, energies, state)
        if chance <= _NO_CHANCE:
            break
        weight *= chance
        later = min(order, 1)
        _serve(ray, energy, weight, spot, modules, matter, energies, found, photon, later)
        ratio, versine = sample_compton(state, energy)
        energy /= ratio
        if energy < energies.least_keV:
            break
        ray = scattered(ray, 1.0 - versine, state)


@bare_kernel
def _sent(
    x: float, y: float, z: float, weight: float, modules: _Modules, matter: _Matter,
    energies: _Energies, state: State,
) -> tuple[int, float, Ray]:  # fmt: skip
    """Send one photon of a decay, its place in voxels, to a random module.

    Return the module (-1: seen edge-on), the weight and the photon. The weight includes the
    probability that either photon is counted there unscattered, per mm² of face, over that of the
    draw.

    x, y, z : voxels from the first one's centre; ``weight`` : of the decay; ``state`` : (2,) u8
    """
    count, table = len(modules.faces), energies.table
    m = int(uniform(state) * count)
    spot = _drawn_spot(modules, energies, state)
    ray, square = _towards(m, spot, modules, matter, x, y, z)
    du, dv, incidence = _along_axes(ray, m, modules)
    if incidence < _EDGE_ON:
        return -1, 0.0, ray
    through, _ = _path(matter, ray, math.sqrt(square) / matter.voxel_mm, _FAR)
    mu = table[table.shape[0] - 1, 2]
    weight *= count / (2.0 * math.pi * square) * math.exp(-through * matter.voxel_mm)
    weight *= _stopped(table, mu, modules.thickness, spot.depth_mm, incidence)
    weight *= efficiency_at(modules.along_u, modules.along_v, du, dv, spot.part_u, spot.part_v)
    return m, weight, ray


@bare_kernel
def _add_directed(found: Array, weight: float, a: int, once: Array, again: Array) -> None:
    """Add the pairs of a photon in module ``a`` with the other, scattered one.

    found : see :func:`_follow_photon`; ``weight`` : of the photon in ``a``
    once, again : (m, m) f8, added to: the other one scattered once, or more often
    """
    for b in range(found.shape[2]):
        once[min(a, b), max(a, b)] += weight * found[0, 0, b]
        again[min(a, b), max(a, b)] += weight * found[0, 1, b]


@bare_kernel
def _add_both(found: Array, weight: float, again: Array) -> None:
    """Add the pairs of two scattered photons, for all module pairs."""
    for b in range(found.shape[2]):
        one = found[0, 0, b] + found[0, 1, b]
        if one > 0.0:
            for c in range(found.shape[2]):
                other = found[1, 0, c] + found[1, 1, c]
                again[min(b, c), max(b, c)] += weight * one * other


@kernel
def follow_chains(
    cumulative: Array, mu: Array, origin: Array, voxel_mm: float, modules: Array, axes: Array,
    along_u: Array, along_v: Array, size: Array, table: Array, least_keV: float, per_keV: float,
    directed: bool, chains: int, most: int, seed: int, once: Array, again: Array,
) -> None:  # fmt: skip
    """Add scattered pairs to ``once`` (one photon, one collision) and ``again`` (more), (m, m) f8.

    Each chain is one decay. ``directed``: one photon flies to a module unscattered and the other
    scatters. Else both scatter, each at least once.

    Parameters
    ----------
    cumulative : (voxels,) f8, cumulative activity over its total; mu : (x, y, z) f4, 1/mm, in the
        same voxels: cubes of ``voxel_mm``, the first at ``origin``
    modules : (m, 3) f8, the middles of their faces; axes : (m, 3, 3) f8
    size : (3,) f8, width, height and thickness of a module
    table : (n, 4) f8, by energy from ``least_keV`` on, ``per_keV`` rows a keV: w(E)/w(511),
        µ(E)/µ(511) of the object, µ(E) of the crystal, 2 / ∫ dσ/dΩ in units of r_e²
    most : largest number of collisions of a photon
    """
    state = np.empty(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    matter = _Matter(mu, np.array(mu.shape, dtype=np.float64), origin, voxel_mm)
    every = _Modules(modules, axes, size[0], size[1], size[2], along_u, along_v)
    energies = _Energies(table, least_keV, per_keV)
    found = np.zeros((2, 2, len(modules)))
    for chain in range(chains):
        voxel = np.searchsorted(cumulative, (chain + uniform(state)) / chains)
        x, y, z = _drawn_decay(min(voxel, len(cumulative) - 1), mu, state)
        spot = _drawn_spot(every, energies, state)
        a, weight = 0, 1.0 / chains
        if directed:
            a, weight, ray = _sent(x, y, z, weight, every, matter, energies, state)
            if a < 0:
                continue
        else:
            ray = _drawn_ray(x, y, z, state)
        found[:] = 0.0
        for photon in range(1 if directed else 2):
            sign = 2.0 * photon - 1.0
            one = Ray(x, y, z, sign * ray.dx, sign * ray.dy, sign * ray.dz)
            _follow_photon(one, photon, most, spot, every, matter, energies, state, found)
        if directed:
            _add_directed(found, weight, a, once, again)
        else:
            _add_both(found, weight, again)
