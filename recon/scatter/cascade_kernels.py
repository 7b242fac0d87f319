"""Kernel of :mod:`recon.scatter.cascades`: two photons of one decay that are not back to back."""

from __future__ import annotations

import numpy as np

from hw.arrays import Array
from hw.jit import bare_kernel, kernel
from hw.physics.random_numbers import seed_stream, uniform
from recon.scatter.photon_kernels import (
    Energies,
    Matter,
    Modules,
    drawn_decay,
    drawn_ray,
    drawn_spot,
    follow_photon,
    serve_unscattered,
)


@bare_kernel
def _add_pairs(found: Array, far_mm: Array, weight: float, bin_mm: float, out: Array) -> None:
    """Add the pairs of two photons in two modules each.

    found, far_mm : see :func:`recon.scatter.photon_kernels.serve_unscattered`
    out : see :func:`follow_cascades`
    """
    modules, middle = found.shape[2], out.shape[2] // 2
    for b in range(modules):
        one = weight * (found[0, 0, b] + found[0, 1, b])
        if one <= 0.0:
            continue
        for c in range(modules):
            if c == b:
                continue
            low, high, ahead = b, c, 0.5 * (far_mm[0, b] - far_mm[1, c])
            if c < b:
                low, high, ahead = c, b, -ahead
            place = middle
            if middle > 0:
                place = min(max(int(np.round(ahead / bin_mm)) + middle, 0), out.shape[2] - 1)
            out[low, high, place] += one * (found[1, 0, c] + found[1, 1, c])


@kernel
def follow_cascades(
    cumulative: Array, mu: Array, origin: Array, voxel_mm: float, modules: Array, axes: Array,
    along_u: Array, along_v: Array, size: Array, table: Array, least_keV: float, per_keV: float,
    pair_share: Array, pair_keV: Array, bin_mm: float, chains: int, most: int, seed: int,
    out: Array,
) -> None:  # fmt: skip
    """Add to ``out`` the pairs of a decay's two photons that are counted, per mm⁴ of face.

    Each chain is one pair: drawn by its share, from one place, in two independent directions.

    Parameters
    ----------
    cumulative ... per_keV : as in :func:`recon.scatter.multiple_kernels.follow_chains`, with the
        table up to the pairs' greatest energy
    pair_share : (pairs,) f8, cumulative shares of the pairs, the last one 1
    pair_keV : (pairs, 2) f8, the energies of the photons of each
    out : (m, m, offsets) f8, added to: per chain, for modules a < b, in bins of ``bin_mm`` over
        half of a's path less b's, 0 in the middle
    most : largest number of collisions of a photon
    """
    state = np.empty(2, np.uint64)
    matter = Matter(mu, np.array(mu.shape, dtype=np.float64), origin, voxel_mm)
    every = Modules(modules, axes, size[0], size[1], size[2], along_u, along_v)
    energies = Energies(table, least_keV, per_keV)
    found, far_mm = np.zeros((2, 2, len(modules))), np.zeros((2, len(modules)))
    for chain in range(chains):
        seed_stream(state, np.uint64(seed), np.uint64(chain))
        voxel = np.searchsorted(cumulative, (chain + uniform(state)) / chains)
        x, y, z = drawn_decay(min(voxel, len(cumulative) - 1), mu, state)
        pair = min(np.searchsorted(pair_share, uniform(state)), len(pair_share) - 1)
        found[:] = 0.0
        for photon in range(2):
            energy = pair_keV[pair, photon]
            spot = drawn_spot(every, energies, state)
            serve_unscattered(x, y, z, energy, photon, spot, every, matter, energies, found, far_mm)
            ray = drawn_ray(x, y, z, state)
            follow_photon(ray, energy, photon, most, spot, every, matter, energies, state, found)
        _add_pairs(found, far_mm, 1.0 / chains, bin_mm, out)
