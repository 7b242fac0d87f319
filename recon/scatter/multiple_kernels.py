"""Kernels of :mod:`recon.scatter.multiple`: pairs of annihilation photons that scattered."""

from __future__ import annotations

import math

import numpy as np

from hw.arrays import Array
from hw.jit import bare_kernel, kernel
from hw.physics.block_efficiency import efficiency_at
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.photon_kernels import Ray
from hw.physics.random_numbers import State, seed_stream, uniform
from recon.scatter.photon_kernels import (
    EDGE_ON,
    FAR,
    Energies,
    Matter,
    Modules,
    along_axes,
    drawn_decay,
    drawn_ray,
    drawn_spot,
    follow_photon,
    path,
    stopped,
    towards,
)


@bare_kernel
def _sent(
    x: float, y: float, z: float, weight: float, modules: Modules, matter: Matter,
    energies: Energies, state: State,
) -> tuple[int, float, Ray]:  # fmt: skip
    """Send one photon of a decay, its place in voxels, to a random module.

    Return the module (-1: seen edge-on), the weight and the photon. The weight includes the
    probability that either photon is counted there unscattered, per mm² of face, over that of the
    draw.

    x, y, z : voxels from the first one's centre; ``weight`` : of the decay; ``state`` : (2,) u8
    """
    count, table = len(modules.faces), energies.table
    m = int(uniform(state) * count)
    spot = drawn_spot(modules, energies, state)
    ray, square = towards(m, spot, modules, matter, x, y, z)
    du, dv, incidence = along_axes(ray, m, modules)
    if incidence < EDGE_ON:
        return -1, 0.0, ray
    through, _ = path(matter, ray, math.sqrt(square) / matter.voxel_mm, FAR)
    mu = table[table.shape[0] - 1, 2]
    weight *= count / (2.0 * math.pi * square) * math.exp(-through * matter.voxel_mm)
    weight *= stopped(table, mu, modules.thickness, spot.depth_mm, incidence)
    weight *= efficiency_at(modules.along_u, modules.along_v, du, dv, spot.part_u, spot.part_v)
    return m, weight, ray


@bare_kernel
def _add_directed(found: Array, weight: float, a: int, once: Array, again: Array) -> None:
    """Add the pairs of a photon in module ``a`` with the other, scattered one.

    found : see :func:`follow_photon`; ``weight`` : of the photon in ``a``
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
    matter = Matter(mu, np.array(mu.shape, dtype=np.float64), origin, voxel_mm)
    every = Modules(modules, axes, size[0], size[1], size[2], along_u, along_v)
    energies = Energies(table, least_keV, per_keV)
    found = np.zeros((2, 2, len(modules)))
    for chain in range(chains):
        seed_stream(state, np.uint64(seed), np.uint64(chain))
        voxel = np.searchsorted(cumulative, (chain + uniform(state)) / chains)
        x, y, z = drawn_decay(min(voxel, len(cumulative) - 1), mu, state)
        spot = drawn_spot(every, energies, state)
        a, weight = 0, 1.0 / chains
        if directed:
            a, weight, ray = _sent(x, y, z, weight, every, matter, energies, state)
            if a < 0:
                continue
        else:
            ray = drawn_ray(x, y, z, state)
        found[:] = 0.0
        for photon in range(1 if directed else 2):
            sign = 2.0 * photon - 1.0
            one = Ray(x, y, z, sign * ray.dx, sign * ray.dy, sign * ray.dz)
            follow_photon(
                one, ELECTRON_REST_KEV, photon, most, spot, every, matter, energies, state, found
            )
        if directed:
            _add_directed(found, weight, a, once, again)
        else:
            _add_both(found, weight, again)
