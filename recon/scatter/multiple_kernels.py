"""Kernels of :mod:`recon.scatter.multiple`: photons followed from collision to collision."""

from __future__ import annotations

import math

import numpy as np

from hw.block_efficiency import efficiency_at
from hw.compton import ELECTRON_REST_KEV
from hw.jit import Array, bare_kernel, kernel
from hw.photon_kernels import compton_ratio, turned, uniform
from recon.scatter.kernels import trilinear

_REST = ELECTRON_REST_KEV
_FAR = 1e30
UNSEEN_PATH = 12.0
"""∫µ beyond which a photon counts as lost."""


@bare_kernel
def _reach(shape: Array, x: float, y: float, z: float, dx: float, dy: float, dz: float) -> float:
    """Return how far a ray runs in the box of an image; all in voxels of it."""
    far = _FAR
    for k in range(3):
        place, slope = (x, dx) if k == 0 else ((y, dy) if k == 1 else (z, dz))
        if abs(slope) > 1e-12:
            edge = 0.0 if slope < 0.0 else shape[k] - 1.0
            far = min(far, (edge - place) / slope)
    return max(far, 0.0)


@bare_kernel
def _path(
    mu: Array, shape: Array, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    far: float, wanted: float,
) -> tuple[float, float]:  # fmt: skip
    """Return ∫µ ds along a ray up to ``far`` or until ``wanted`` is reached, and how far that is.

    Places and lengths are in voxels, which are cubes; so is ∫µ, in 1/mm · voxels.
    """
    far = min(far, _reach(shape, x, y, z, dx, dy, dz))
    steps = math.ceil(far)
    if steps == 0:
        return 0.0, 0.0
    width, total = far / steps, 0.0
    for i in range(steps):
        s = (i + 0.5) * width
        here = trilinear(mu, x + s * dx, y + s * dy, z + s * dz) * width
        if total + here >= wanted:
            return wanted, (i + (wanted - total) / here) * width
        total += here
    return total, far


@bare_kernel
def _at(table: Array, row: float, column: int) -> float:
    """Return a column of the table over energy between its rows."""
    i = min(max(int(row), 0), table.shape[0] - 2)
    part = min(max(row - i, 0.0), 1.0)
    return float(table[i, column] * (1.0 - part) + table[i + 1, column] * part)


@bare_kernel
def _drawn_depth(table: Array, thickness_mm: float, state: Array) -> float:
    """Return a depth at which a photon of 511 keV interacts that comes at right angles."""
    mu = table[table.shape[0] - 1, 2]
    return float(-math.log1p(uniform(state) * math.expm1(-mu * thickness_mm)) / mu)


@bare_kernel
def _stopped(
    table: Array, mu: float, thickness_mm: float, depth_mm: float, incidence: float
) -> float:
    """Return cosθ · density of interactions at a depth, over that of which the depth is drawn."""
    of_511 = table[table.shape[0] - 1, 2]
    drawn = of_511 * math.exp(-of_511 * depth_mm) / -math.expm1(-of_511 * thickness_mm)
    return float(mu * math.exp(-mu * depth_mm / incidence) / drawn)


@bare_kernel
def _served(
    mu: Array, shape: Array, origin: Array, voxel_mm: float, modules: Array, axes: Array,
    along_u: Array, along_v: Array, size: Array, place_u: float, place_v: float, depth_mm: float,
    table: Array, least_keV: float, per_keV: float, x: float, y: float, z: float, dx: float,
    dy: float, dz: float, energy: float, weight: float, out: Array,
) -> None:  # fmt: skip
    """Add the chance, per mm² of face, that a photon which scatters here is counted to each module.

    (x, y, z) in voxels from the image's first; in a module the photon interacts at ``place_u``,
    ``place_v``, 0 to 1, and ``depth_mm``, drawn as of 511 keV at right angles
    """
    u, v = (place_u - 0.5) * size[0], (place_v - 0.5) * size[1]
    norm = weight * _at(table, (energy - least_keV) * per_keV, 3)
    for m in range(len(modules)):
        tx = modules[m, 0] + u * axes[m, 0, 0] + v * axes[m, 1, 0] + depth_mm * axes[m, 2, 0]
        ty = modules[m, 1] + u * axes[m, 0, 1] + v * axes[m, 1, 1] + depth_mm * axes[m, 2, 1]
        tz = modules[m, 2] + u * axes[m, 0, 2] + v * axes[m, 1, 2] + depth_mm * axes[m, 2, 2]
        tx -= origin[0] + x * voxel_mm
        ty -= origin[1] + y * voxel_mm
        tz -= origin[2] + z * voxel_mm
        square = tx * tx + ty * ty + tz * tz
        length = math.sqrt(square)
        tx, ty, tz = tx / length, ty / length, tz / length
        cosine = tx * dx + ty * dy + tz * dz
        ratio = 1.0 / (1.0 + energy / _REST * (1.0 - cosine))
        after = energy * ratio
        incidence = tx * axes[m, 2, 0] + ty * axes[m, 2, 1] + tz * axes[m, 2, 2]
        if after < least_keV or incidence < 0.02:
            continue
        row = (after - least_keV) * per_keV
        du = tx * axes[m, 0, 0] + ty * axes[m, 0, 1] + tz * axes[m, 0, 2]
        dv = tx * axes[m, 1, 0] + ty * axes[m, 1, 1] + tz * axes[m, 1, 2]
        through, _ = _path(mu, shape, x, y, z, tx, ty, tz, length / voxel_mm, _FAR)
        chance = norm * ratio * ratio * (ratio + 1.0 / ratio - 1.0 + cosine * cosine)
        chance *= math.exp(-_at(table, row, 1) * through * voxel_mm) / square
        chance *= _stopped(table, _at(table, row, 2), size[2], depth_mm, incidence)
        chance *= efficiency_at(along_u, along_v, du, dv, place_u, place_v)
        out[m] += chance * _at(table, row, 0)


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
    cumulative : (voxels,) f8, sums of the activity over its total; mu : (x, y, z) f4, 1/mm, of the
        same voxels, cubes of ``voxel_mm``, the first at ``origin``
    modules : (m, 3) f8, the middles of their faces; axes : (m, 3, 3) f8
    size : (3,) f8, width, height and thickness of a module
    table : (n, 4) f8, by energy from ``least_keV`` on, ``per_keV`` rows a keV: w(E)/w(511),
        µ(E)/µ(511) of the object, µ(E) of the crystal, 2 / ∫ dσ/dΩ in units of r_e²
    most : collisions of a photon
    """
    state = np.full(1, seed, np.uint64)
    count = len(modules)
    shape = np.array(mu.shape, dtype=np.float64)
    first, seen = np.zeros((2, count)), np.zeros((2, count))
    ny, nz = mu.shape[1], mu.shape[2]
    for chain in range(chains):
        place = np.searchsorted(cumulative, (chain + uniform(state)) / chains)
        place = min(place, len(cumulative) - 1)
        ex = place // (ny * nz) + uniform(state) - 0.5
        ey = place // nz % ny + uniform(state) - 0.5
        ez = place % nz + uniform(state) - 0.5
        weight, a = 1.0 / chains, 0
        place_u, place_v = uniform(state), uniform(state)
        depth_mm = _drawn_depth(table, size[2], state)
        if directed:
            a = int(uniform(state) * count)
            at_u, at_v = uniform(state), uniform(state)
            u, v = (at_u - 0.5) * size[0], (at_v - 0.5) * size[1]
            w = _drawn_depth(table, size[2], state)
            dx = modules[a, 0] + u * axes[a, 0, 0] + v * axes[a, 1, 0] + w * axes[a, 2, 0]
            dy = modules[a, 1] + u * axes[a, 0, 1] + v * axes[a, 1, 1] + w * axes[a, 2, 1]
            dz = modules[a, 2] + u * axes[a, 0, 2] + v * axes[a, 1, 2] + w * axes[a, 2, 2]
            dx -= origin[0] + ex * voxel_mm
            dy -= origin[1] + ey * voxel_mm
            dz -= origin[2] + ez * voxel_mm
            square = dx * dx + dy * dy + dz * dz
            length = math.sqrt(square)
            dx, dy, dz = dx / length, dy / length, dz / length
            incidence = dx * axes[a, 2, 0] + dy * axes[a, 2, 1] + dz * axes[a, 2, 2]
            if incidence < 0.02:
                continue
            du = dx * axes[a, 0, 0] + dy * axes[a, 0, 1] + dz * axes[a, 0, 2]
            dv = dx * axes[a, 1, 0] + dy * axes[a, 1, 1] + dz * axes[a, 1, 2]
            through, _ = _path(mu, shape, ex, ey, ez, dx, dy, dz, length / voxel_mm, _FAR)
            last = table.shape[0] - 1
            weight *= count / (2.0 * math.pi * square) * math.exp(-through * voxel_mm)
            weight *= _stopped(table, table[last, 2], size[2], w, incidence)
            weight *= efficiency_at(along_u, along_v, du, dv, at_u, at_v)
        else:
            dz = 2.0 * uniform(state) - 1.0
            turn, sine = 2.0 * math.pi * uniform(state), math.sqrt(1.0 - dz * dz)
            dx, dy = sine * math.cos(turn), sine * math.sin(turn)
        first[:], seen[:] = 0.0, 0.0
        for photon in range(1 if directed else 2):
            px, py, pz = (-dx, -dy, -dz) if photon == 0 else (dx, dy, dz)
            x, y, z, energy, part = ex, ey, ez, _REST, 1.0
            for order in range(most):
                scale = _at(table, (energy - least_keV) * per_keV, 1) * voxel_mm
                whole, _ = _path(mu, shape, x, y, z, px, py, pz, _FAR, _FAR)
                collides = -math.expm1(-whole * scale)
                if collides <= 1e-9:
                    break
                part *= collides
                wanted = -math.log(1.0 - uniform(state) * collides) / scale
                _, way = _path(mu, shape, x, y, z, px, py, pz, _FAR, wanted)
                x, y, z = x + way * px, y + way * py, z + way * pz
                target = first[photon] if order == 0 else seen[photon]
                _served(
                    mu, shape, origin, voxel_mm, modules, axes, along_u, along_v, size, place_u,
                    place_v, depth_mm, table, least_keV, per_keV, x, y, z, px, py, pz, energy, part,
                    target,
                )  # fmt: skip
                ratio, cosine = compton_ratio(energy / _REST, state)
                energy *= ratio
                if energy < least_keV:
                    break
                px, py, pz = turned(px, py, pz, cosine, 2.0 * math.pi * uniform(state))
        for b in range(count):
            if directed:
                once[min(a, b), max(a, b)] += weight * first[0, b]
                again[min(a, b), max(a, b)] += weight * seen[0, b]
                continue
            one = first[0, b] + seen[0, b]
            if one > 0.0:
                for c in range(count):
                    other = first[1, c] + seen[1, c]
                    again[min(b, c), max(b, c)] += weight * one * other
