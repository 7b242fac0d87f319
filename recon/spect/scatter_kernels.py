"""Follows photons through an object by Monte Carlo; each Compton scatter counts for all cameras.

Delta tracking (E. Woodcock et al., ANL-7050 (1965) 557), absorption by weight, angles by
Klein–Nishina times water's incoherent scattering function S(x), x = sin(θ/2)/λ. At each scatter the
probability that the photon leaves towards each camera, unscattered from there on, is counted in
full (forced detection: F. J. Beekman, H. W. A. M. de Jong, S. van Geloven, IEEE Trans. Med. Imaging
21 (2002) 867). Coherent scatter is left out as in :mod:`recon.spect.matter`.
"""

from __future__ import annotations

import math

import numpy as np

from hw.arrays import Array
from hw.jit import bare_kernel, kernel
from hw.physics.compton import sample_compton
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.photon_kernels import isotropic, turned_anyhow
from hw.physics.random_numbers import State, seed_stream, uniform

keV_A = 12.398420
"""Energy times wavelength, keV·Å."""


@kernel
def scattered_counts(
    activity: Array, mu: Array, origin: Array, voxel: Array, towards: Array, shift: Array,
    pitch: Array, table: Array, bound: Array, span: Array, photons: int, most: int, seed: int,
    peak: Array, seen: Array,
) -> None:  # fmt: skip
    """Add the scattered photons that cameras count to ``peak`` and ``seen``, (k, n_u, n_v) f4.

    Parameters
    ----------
    activity : (voxels,) f8, cumulative image over its total
    mu : (nx, ny, nz) f4, 1/mm at the line's energy; ``origin`` and ``voxel`` (3,) f8, mm
    towards : (k, 4) f8, wx, wy, ux, uy of each camera; ``shift`` (k, 2) f8, its centre along u and
        z
    pitch : (2,) f8, of pixels along u and v
    table : (energies, 5) f8, from ``span[0]`` to the line's ``span[1]`` in equal steps: µ relative
        to the line's; scatter's share of it; 4π over the integral of the angular density; counts
        per photon towards the camera for ``peak`` and ``seen``
    bound : (n,) f8, S at x = 0, 1/16, 2/16 … per Å
    photons, most, seed : number of photons, most scatters of each, random seed
    """
    state = np.empty(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    largest = mu.max() * table[:, 0].max()
    if largest <= 0.0:
        return
    ny, nz = mu.shape[1], mu.shape[2]
    for i in range(photons):
        drawn = (i + uniform(state)) / photons
        j = _below(activity, drawn)
        x = origin[0] + (j // (ny * nz) + uniform(state) - 0.5) * voxel[0]
        y = origin[1] + (j // nz % ny + uniform(state) - 0.5) * voxel[1]
        z = origin[2] + (j % nz + uniform(state) - 0.5) * voxel[2]
        dx, dy, dz = isotropic(state)
        energy, weight, order = span[1], 1.0, 0
        while order < most:
            way = -math.log(1.0 - uniform(state)) / largest
            x, y, z = x + way * dx, y + way * dy, z + way * dz
            here = _mu_at(mu, origin, voxel, x, y, z)
            if here < 0.0:
                break
            if uniform(state) * largest >= here * _row(table, span, energy, 0):
                continue
            weight *= _row(table, span, energy, 1)
            order += 1
            _serve(mu, origin, voxel, towards, shift, pitch, table, bound, span,
                   (x, y, z), (dx, dy, dz), energy, weight / photons, peak, seen)  # fmt: skip
            ratio, cosine = _scatter(energy, bound, state)
            energy /= ratio
            if energy < span[0]:
                break
            dx, dy, dz = turned_anyhow(dx, dy, dz, cosine, state)


@bare_kernel
def _serve(
    mu: Array, origin: Array, voxel: Array, towards: Array, shift: Array, pitch: Array,
    table: Array, bound: Array, span: Array, at: tuple[float, float, float],
    way: tuple[float, float, float], energy: float, weight: float, peak: Array, seen: Array,
) -> None:  # fmt: skip
    """Add the probability that each camera counts a photon that scatters here.

    at, way : place in mm and unit direction before the scatter; ``energy`` : keV, before it
    weight : of the photon; other arguments as for ``scattered_counts``
    """
    factor = weight * _row(table, span, energy, 2)
    step = 2.0 * voxel[0]
    for k in range(towards.shape[0]):
        wx, wy = towards[k, 0], towards[k, 1]
        iu = math.floor((at[0] * towards[k, 2] + at[1] * towards[k, 3] - shift[k, 0]) / pitch[0]
                        + 0.5 * peak.shape[1])  # fmt: skip
        iv = math.floor((at[2] - shift[k, 1]) / pitch[1] + 0.5 * peak.shape[2])
        if iu < 0 or iv < 0 or iu >= peak.shape[1] or iv >= peak.shape[2]:
            continue
        cosine = way[0] * wx + way[1] * wy
        ratio = 1.0 / (1.0 + energy / ELECTRON_REST_KEV * (1.0 - cosine))
        after = energy * ratio
        if after < span[0]:
            continue
        chance = factor * density(ratio, cosine) * bound_at(bound, energy, cosine)
        x, y, path = at[0] + 0.5 * step * wx, at[1] + 0.5 * step * wy, 0.0
        while True:
            here = _mu_at(mu, origin, voxel, x, y, at[2])
            if here < 0.0:
                break
            path += here
            x, y = x + step * wx, y + step * wy
        chance *= math.exp(-path * step * _row(table, span, after, 0))
        peak[k, iu, iv] += chance * _row(table, span, after, 3)
        seen[k, iu, iv] += chance * _row(table, span, after, 4)


@bare_kernel
def density(ratio: float, cosine: float) -> float:
    """Return the Klein–Nishina dσ/dΩ in units of r_e²/2."""
    return ratio * ratio * (ratio + 1.0 / ratio - 1.0 + cosine * cosine)


@bare_kernel
def bound_at(bound: Array, energy_keV: float, cosine: float) -> float:
    """Return S for a scatter; 1 beyond the table."""
    x = 16.0 * energy_keV / keV_A * math.sqrt(max(0.0, 0.5 * (1.0 - cosine)))
    i = int(x)
    if i + 1 >= bound.shape[0]:
        return 1.0
    return float(bound[i] + (x - i) * (bound[i + 1] - bound[i]))


@bare_kernel
def _scatter(energy: float, bound: Array, state: State) -> tuple[float, float]:
    """Draw E/E' and cosθ of a scatter on electrons that are bound."""
    while True:
        ratio, versine = sample_compton(state, energy)
        if uniform(state) < bound_at(bound, energy, 1.0 - versine):
            return ratio, 1.0 - versine


@bare_kernel
def _row(table: Array, span: Array, energy: float, column: int) -> float:
    place = (energy - span[0]) / (span[1] - span[0]) * (table.shape[0] - 1)
    i = min(max(int(place), 0), table.shape[0] - 2)
    return float(table[i, column] + (place - i) * (table[i + 1, column] - table[i, column]))


@bare_kernel
def _mu_at(mu: Array, origin: Array, voxel: Array, x: float, y: float, z: float) -> float:
    """Return µ of the voxel at a position; −1 off the grid.

    mu : (nx, ny, nz) f4, 1/mm; ``origin``, ``voxel`` : (3,) f8, mm; x, y, z : mm
    """
    i = math.floor((x - origin[0]) / voxel[0] + 0.5)
    j = math.floor((y - origin[1]) / voxel[1] + 0.5)
    k = math.floor((z - origin[2]) / voxel[2] + 0.5)
    if i < 0 or j < 0 or k < 0 or i >= mu.shape[0] or j >= mu.shape[1] or k >= mu.shape[2]:
        return -1.0
    return float(mu[i, j, k])


@bare_kernel
def _below(sums: Array, value: float) -> int:
    """Return the first index whose cumulative sum is above a value, by bisection."""
    low, high = 0, sums.shape[0] - 1
    while low < high:
        middle = (low + high) >> 1
        if sums[middle] > value:
            high = middle
        else:
            low = middle + 1
    return low
