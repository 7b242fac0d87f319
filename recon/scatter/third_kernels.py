"""Kernel of :mod:`recon.scatter.third_photon`: a γ in the block of an annihilation photon."""

from __future__ import annotations

import math

import numpy as np

from hw.arrays import Array
from hw.jit import bare_kernel, kernel
from hw.physics.block_efficiency import efficiency_at
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.photon_kernels import Ray
from hw.physics.random_numbers import seed_stream, uniform
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
    serve_unscattered,
    stopped,
    table_at,
)

NOWHERE = -1


@bare_kernel
def _met(ray: Ray, depth_mm: float, modules: Modules, matter: Matter) -> tuple[int, float]:
    """Return the module in which a ray (in voxels) comes to a depth, or ``NOWHERE``, and how far
    it is to there in mm."""
    x = matter.origin[0] + ray.x * matter.voxel_mm
    y = matter.origin[1] + ray.y * matter.voxel_mm
    z = matter.origin[2] + ray.z * matter.voxel_mm
    faces, axes = modules.faces, modules.axes
    for m in range(len(faces)):
        _, _, incidence = along_axes(ray, m, modules)
        if incidence < EDGE_ON:
            continue
        fx, fy, fz = faces[m, 0] - x, faces[m, 1] - y, faces[m, 2] - z
        ahead = fx * axes[m, 2, 0] + fy * axes[m, 2, 1] + fz * axes[m, 2, 2] + depth_mm
        far = ahead / incidence
        fx, fy, fz = far * ray.dx - fx, far * ray.dy - fy, far * ray.dz - fz
        u = fx * axes[m, 0, 0] + fy * axes[m, 0, 1] + fz * axes[m, 0, 2]
        v = fx * axes[m, 1, 0] + fy * axes[m, 1, 1] + fz * axes[m, 1, 2]
        if far > 0.0 and abs(u) < 0.5 * modules.width and abs(v) < 0.5 * modules.height:
            return m, far
    return NOWHERE, 0.0


@bare_kernel
def _serve_met(
    ray: Ray, photon: int, depth_mm: float, every: Modules, matter: Matter, energies: Energies,
    any_deposit: Array, counted: Array,
) -> None:  # fmt: skip
    """Add the probability that a photon of 511 keV comes through to the module that it meets and
    interacts at this depth, over that with which the depth was drawn; as a mean over the face, in
    1/mm²."""
    m, far_mm = _met(ray, depth_mm, every, matter)
    if m == NOWHERE:
        return
    du, dv, incidence = along_axes(ray, m, every)
    through, _ = path(matter, ray, far_mm / matter.voxel_mm, FAR)
    through *= table_at(energies, ELECTRON_REST_KEV, 1) * matter.voxel_mm
    mu = table_at(energies, ELECTRON_REST_KEV, 2)
    here = math.exp(-through) / (every.width * every.height * incidence)
    here *= stopped(energies.table, mu, every.thickness, depth_mm, incidence)
    any_deposit[photon, 0, m] += here
    counted[photon, 0, m] += here * efficiency_at(every.along_u, every.along_v, du, dv, 0.5, 0.5)


@bare_kernel
def _add_lost(
    spoils: Array, any_deposit: Array, counted: Array, for_any: float, for_counted: float,
    weight: float, out: Array,
) -> None:  # fmt: skip
    """Add what is lost where the γ meets one annihilation photon, the other being counted."""
    modules = out.shape[0]
    for photon in range(2):
        other = 1 - photon
        for m in range(modules):
            here = for_any * (any_deposit[photon, 0, m] + any_deposit[photon, 1, m])
            here += for_counted * (counted[photon, 0, m] + counted[photon, 1, m])
            here *= weight * (spoils[0, 0, m] + spoils[0, 1, m])
            if here > 0.0:
                for n in range(modules):
                    out[m, n] += here * (counted[other, 0, n] + counted[other, 1, n])


@kernel
def follow_thirds(
    cumulative: Array, mu: Array, origin: Array, voxel_mm: float, modules: Array, axes: Array,
    along_u: Array, along_v: Array, size: Array, table: Array, least_keV: float, per_keV: float,
    lost_table: Array, lowest_keV: float, rows_per_keV: float, gamma_share: Array,
    gamma_keV: Array, spoilt: Array, directions: int, chains: int, most: int, seed: int, out: Array,
) -> None:  # fmt: skip
    """Add to ``out`` the counts lost where a γ meets one of two annihilation photons in a block.

    Each chain is one γ from one place, followed to every module, and annihilations in several
    directions there, whose photons are followed too.

    Parameters
    ----------
    cumulative ... per_keV : see :func:`recon.scatter.cascade_kernels.follow_cascades`
    lost_table, lowest_keV, rows_per_keV : the same from lower energies on, its first column
        :func:`recon.scatter.third_photon.lost_share`
    gamma_share : (lines,) f8, cumulative shares of the γ, the last one 1
    gamma_keV : (lines,) f8
    spoilt : (lines, 2) f8, :func:`recon.scatter.third_photon.spoilt` for each
    directions : annihilations of each chain
    out : (m, m) f8, added to: per chain and mm⁶ of faces, in the module where γ and annihilation
        photon meet, and the module that counts the other annihilation photon
    most : largest number of collisions of a photon
    """
    state = np.empty(2, np.uint64)
    matter = Matter(mu, np.array(mu.shape, dtype=np.float64), origin, voxel_mm)
    every = Modules(modules, axes, size[0], size[1], size[2], along_u, along_v)
    bare = Modules(modules, axes, size[0], size[1], size[2], along_u[:0], along_v[:0])
    energies, all_count = Energies(table, least_keV, per_keV), lost_table.copy()
    all_count[:, 0] = 1.0
    interacts = Energies(all_count, lowest_keV, rows_per_keV)
    loses = Energies(lost_table, lowest_keV, rows_per_keV)
    spoils, far_mm = np.zeros((1, 2, len(modules))), np.zeros((1, len(modules)))
    any_deposit, counted = np.zeros((2, 2, len(modules))), np.zeros((2, 2, len(modules)))
    for chain in range(chains):
        seed_stream(state, np.uint64(seed), np.uint64(chain))
        voxel = np.searchsorted(cumulative, (chain + uniform(state)) / chains)
        x, y, z = drawn_decay(min(voxel, len(cumulative) - 1), mu, state)
        line = min(np.searchsorted(gamma_share, uniform(state)), len(gamma_share) - 1)
        spoils[:] = 0.0
        spot = drawn_spot(every, energies, state)
        serve_unscattered(x, y, z, gamma_keV[line], 0, spot, every, matter, loses, spoils, far_mm)
        ray = drawn_ray(x, y, z, state)
        follow_photon(ray, gamma_keV[line], 0, most, spot, every, matter, loses, state, spoils)
        for _ in range(directions):
            any_deposit[:] = 0.0
            counted[:] = 0.0
            ray, rest = drawn_ray(x, y, z, state), ELECTRON_REST_KEV
            for photon in range(2):
                spot = drawn_spot(every, energies, state)
                _serve_met(
                    ray, photon, spot.depth_mm, every, matter, energies, any_deposit, counted
                )
                follow_photon(
                    ray, rest, photon, most, spot, every, matter, energies, state, counted
                )
                follow_photon(
                    ray, rest, photon, most, spot, bare, matter, interacts, state, any_deposit
                )
                ray = Ray(x, y, z, -ray.dx, -ray.dy, -ray.dz)
            _add_lost(
                spoils, any_deposit, counted, spoilt[line, 0], spoilt[line, 1],
                0.5 / (chains * directions), out,
            )  # fmt: skip
