"""Kernels that follow photons through the object from collision to collision.

They add up what every module counts, for :mod:`recon.scatter.multiple` and
:mod:`recon.scatter.cascades`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from hw.arrays import Array
from hw.jit import bare_kernel
from hw.physics.block_efficiency import efficiency_at
from hw.physics.compton import sample_compton
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.photon_kernels import Ray, isotropic, moved, scattered
from hw.physics.random_numbers import State, uniform
from recon.scatter.single_kernels import trilinear

_REST = ELECTRON_REST_KEV
FAR = 1e30

EDGE_ON = 0.02
"""Cosine of incidence below which a module is assumed to detect nothing."""

_NO_CHANCE = 1e-9
"""Collision probability below which a photon is assumed to leave."""


class Matter(NamedTuple):
    """The object that photons cross: µ at 511 keV in cubes.

    mu : (x, y, z) f4, 1/mm; shape : (3,) f8, its shape
    origin : (3,) f8, mm, middle of its first voxel; voxel_mm : side
    """

    mu: Array
    shape: Array
    origin: Array
    voxel_mm: float


class Modules(NamedTuple):
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


class Energies(NamedTuple):
    """A table over energy, its rows ``per_keV`` from ``least_keV`` on; see follow_chains."""

    table: Array
    least_keV: float
    per_keV: float


class Spot(NamedTuple):
    """A place in a module: 0 to 1 along u and v, and mm below the face."""

    part_u: float
    part_v: float
    depth_mm: float


@bare_kernel
def _reach(shape: Array, ray: Ray) -> float:
    """Return a ray's length within an image of ``shape`` voxels; all in units of its voxels."""
    far = FAR
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
def path(matter: Matter, ray: Ray, far: float, wanted: float) -> tuple[float, float]:
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
def table_at(energies: Energies, energy: float, column: int) -> float:
    """Return a column of the table at an energy in keV, interpolated between rows."""
    table, row = energies.table, (energy - energies.least_keV) * energies.per_keV
    i = min(max(int(row), 0), table.shape[0] - 2)
    part = min(max(row - i, 0.0), 1.0)
    return float(table[i, column] * (1.0 - part) + table[i + 1, column] * part)


@bare_kernel
def drawn_depth(table: Array, thickness_mm: float, state: State) -> float:
    """Return a random interaction depth of a 511 keV photon at normal incidence."""
    mu = table[table.shape[0] - 1, 2]
    return float(-math.log1p(uniform(state) * math.expm1(-mu * thickness_mm)) / mu)


@bare_kernel
def stopped(
    table: Array, mu: float, thickness_mm: float, depth_mm: float, incidence: float
) -> float:
    """Return cosθ · density of interactions at a depth, over the density it was drawn from.

    Parameters
    ----------
    table : of ``Energies``
    mu : of the module at the photon's energy, 1/mm
    thickness_mm : of the module
    depth_mm : below its face
    incidence : cosθ to the face's normal
    """
    of_511 = table[table.shape[0] - 1, 2]
    drawn = of_511 * math.exp(-of_511 * depth_mm) / -math.expm1(-of_511 * thickness_mm)
    return float(mu * math.exp(-mu * depth_mm / incidence) / drawn)


@bare_kernel
def drawn_spot(modules: Modules, energies: Energies, state: State) -> Spot:
    """Return a random place in a module: uniform over the face, in depth as for 511 keV."""
    part_u, part_v = uniform(state), uniform(state)
    return Spot(part_u, part_v, drawn_depth(energies.table, modules.thickness, state))


@bare_kernel
def drawn_decay(place: int, mu: Array, state: State) -> tuple[float, float, float]:
    """Return a random place of decay in a voxel (flat index), in voxels from the first's centre."""
    ny, nz = mu.shape[1], mu.shape[2]
    x = place // (ny * nz) + uniform(state) - 0.5
    y = place // nz % ny + uniform(state) - 0.5
    z = place % nz + uniform(state) - 0.5
    return x, y, z


@bare_kernel
def drawn_ray(x: float, y: float, z: float, state: State) -> Ray:
    """Return a photon from there (voxels) in an isotropic random direction."""
    dx, dy, dz = isotropic(state)
    return Ray(x, y, z, dx, dy, dz)


@bare_kernel
def towards(
    m: int, spot: Spot, modules: Modules, matter: Matter, x: float, y: float, z: float
) -> tuple[Ray, float]:
    """Return the ray from a place, in voxels, to a spot of a module, and its length² in mm².

    Parameters
    ----------
    m : number of the module
    spot : place in the module
    modules, matter : the scanner's modules and the object
    x, y, z : the place, in voxels from the first one's centre
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
def along_axes(ray: Ray, m: int, modules: Modules) -> tuple[float, float, float]:
    """Return a ray's direction along a module's u, v and w; the last is the incidence's cosine."""
    axes = modules.axes
    du = ray.dx * axes[m, 0, 0] + ray.dy * axes[m, 0, 1] + ray.dz * axes[m, 0, 2]
    dv = ray.dx * axes[m, 1, 0] + ray.dy * axes[m, 1, 1] + ray.dz * axes[m, 1, 2]
    dw = ray.dx * axes[m, 2, 0] + ray.dy * axes[m, 2, 1] + ray.dz * axes[m, 2, 2]
    return du, dv, dw


@bare_kernel
def _serve(
    ray: Ray, energy: float, weight: float, spot: Spot, modules: Modules, matter: Matter,
    energies: Energies, found: Array, photon: int, later: int,
) -> None:  # fmt: skip
    """Add to each module the probability, per mm² of face, to count a photon scattering here.

    ray : of the incoming photon, in voxels, with ``energy`` in keV; in a module it interacts at
        ``spot``; found : see :func:`follow_photon`
    """
    norm = weight * table_at(energies, energy, 3)
    for m in range(len(modules.faces)):
        out, square = towards(m, spot, modules, matter, ray.x, ray.y, ray.z)
        cosine = out.dx * ray.dx + out.dy * ray.dy + out.dz * ray.dz
        ratio = 1.0 / (1.0 + energy / _REST * (1.0 - cosine))
        after = energy * ratio
        du, dv, incidence = along_axes(out, m, modules)
        if after < energies.least_keV or incidence < EDGE_ON:
            continue
        through, _ = path(matter, out, math.sqrt(square) / matter.voxel_mm, FAR)
        chance = norm * ratio * ratio * (ratio + 1.0 / ratio - 1.0 + cosine * cosine)
        chance *= math.exp(-table_at(energies, after, 1) * through * matter.voxel_mm) / square
        mu = table_at(energies, after, 2)
        chance *= stopped(energies.table, mu, modules.thickness, spot.depth_mm, incidence)
        chance *= efficiency_at(modules.along_u, modules.along_v, du, dv, spot.part_u, spot.part_v)
        found[photon, later, m] += chance * table_at(energies, after, 0)


@bare_kernel
def _collided(
    ray: Ray, energy: float, matter: Matter, energies: Energies, state: State
) -> tuple[float, Ray]:
    """Force a photon of ``energy`` keV to collide; return the probability, and the photon there.

    If the probability is almost 0 it stays where it is.

    ray : in voxels; ``state`` : (2,) u8 of the random numbers
    """
    scale = table_at(energies, energy, 1) * matter.voxel_mm
    whole, _ = path(matter, ray, FAR, FAR)
    chance = -math.expm1(-whole * scale)
    if chance <= _NO_CHANCE:
        return chance, ray
    wanted = -math.log(1.0 - uniform(state) * chance) / scale
    _, way = path(matter, ray, FAR, wanted)
    return chance, moved(ray, way)


@bare_kernel
def follow_photon(
    ray: Ray, energy: float, photon: int, most: int, spot: Spot, modules: Modules, matter: Matter,
    energies: Energies, state: State, found: Array,
) -> None:  # fmt: skip
    """Follow a photon over up to ``most`` collisions, each of them forced.

    Parameters
    ----------
    ray : from where and in which direction it starts, in voxels
    energy : keV
    photon : 0 or 1: which of the pair it is, the first index of ``found``
    most : largest number of collisions
    spot : place in every module at which the photon arrives
    modules, matter, energies : the scanner's modules, the object, and its table over energy
    state : of the random numbers
    found : (2, 2, m) f8, added to: by photon, first or later collision, and module, the probability
        per mm² of face that it is counted there
    """
    weight = 1.0
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
def serve_unscattered(
    x: float, y: float, z: float, energy: float, photon: int, spot: Spot, modules: Modules,
    matter: Matter, energies: Energies, found: Array, far_mm: Array,
) -> None:  # fmt: skip
    """Let an isotropic photon fly to every module without scatter, and write its path.

    Parameters
    ----------
    x, y, z : where it starts, in voxels from the first one's centre
    energy : keV
    photon : 0 or 1: which of the pair it is, the first index of ``found``
    spot : place in every module at which the photon arrives
    modules, matter, energies : the scanner's modules, the object, and its table over energy
    found : (2, 2, m) f8, added to: the probability, per mm² of face, that the photon is counted;
        see :func:`follow_photon`, counted as first collision
    far_mm : (2, m) f8, filled with the length of its path to each module, mm
    """
    if energy < energies.least_keV:
        return
    scale = table_at(energies, energy, 1) * matter.voxel_mm
    mu, share = table_at(energies, energy, 2), table_at(energies, energy, 0)
    for m in range(len(modules.faces)):
        out, square = towards(m, spot, modules, matter, x, y, z)
        far_mm[photon, m] = math.sqrt(square)
        du, dv, incidence = along_axes(out, m, modules)
        if incidence < EDGE_ON:
            continue
        through, _ = path(matter, out, math.sqrt(square) / matter.voxel_mm, FAR)
        chance = math.exp(-scale * through) / (4.0 * math.pi * square) * share
        chance *= stopped(energies.table, mu, modules.thickness, spot.depth_mm, incidence)
        chance *= efficiency_at(modules.along_u, modules.along_v, du, dv, spot.part_u, spot.part_v)
        found[photon, 0, m] += chance
