"""Kernels of the single-scatter simulation; :mod:`recon.scatter.simulation` has the formulae."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, F8, I8
from hw.jit import bare_kernel, kernel
from hw.physics.block_efficiency import efficiency_at

RAY_COLUMNS = 7
"""Of a ray from a detector sample to a scatter point: unit vector (3), its length mm, cosine of
incidence · block efficiency / length², ∫µ of the object, crystal thickness / cosine mm."""


@bare_kernel
def trilinear(image: F4, x: float, y: float, z: float) -> float:
    """Return the image at fractional indices, 0 outside the centres of its border voxels."""
    n_x, n_y, n_z = image.shape
    if x < 0.0 or y < 0.0 or z < 0.0 or x > n_x - 1 or y > n_y - 1 or z > n_z - 1:
        return 0.0
    i, j, k = min(int(x), n_x - 2), min(int(y), n_y - 2), min(int(z), n_z - 2)
    fx, fy, fz = x - i, y - j, z - k
    low = (image[i, j, k] * (1 - fz) + image[i, j, k + 1] * fz) * (1 - fy) + (
        image[i, j + 1, k] * (1 - fz) + image[i, j + 1, k + 1] * fz
    ) * fy
    high = (image[i + 1, j, k] * (1 - fz) + image[i + 1, j, k + 1] * fz) * (1 - fy) + (
        image[i + 1, j + 1, k] * (1 - fz) + image[i + 1, j + 1, k + 1] * fz
    ) * fy
    return low * (1 - fx) + high * fx


@bare_kernel
def slab_depth_mm(thickness_mm: float, mu_per_mm: float, cosine: float) -> float:
    """Return the mean interaction depth of photons that meet a slab at a slant."""
    through = mu_per_mm * thickness_mm / cosine
    return float(cosine / mu_per_mm - thickness_mm / math.expm1(through))


@kernel
def follow_rays(
    detector: F8,
    axes: F8,
    places: F8,
    along_u: F4,
    along_v: F4,
    thickness_mm: float,
    mu_per_mm: float,
    points: F8,
    image: F4,
    origin: F8,
    voxel: F8,
    step_mm: float,
    bin_mm: float,
    first: int,
    stop: int,
    rays: F4,
    integrals: F4,
) -> None:
    """Fill rays of detectors ``first`` to ``stop`` and the integrals of ``image`` along them.

    Parameters
    ----------
    detector : (n, 3), mm, at the mean depth for normal incidence; each ray ends at its own depth
    axes : (modules, 3, 3), rows u, v, w
    places : (samples of a module, 2), 0 to 1 along u and v
    along_u, along_v : of the block efficiency, for photons of 511 keV
    thickness_mm, mu_per_mm : of the block
    points : (points, 3), mm, where photons scatter
    image : (nx, ny, nz) f4, with its first voxel at ``origin`` (mm) and edges ``voxel`` (mm)
    step_mm : between the places at which the image is read
    bin_mm : width of a bin of distance
    rays : (detectors, points, RAY_COLUMNS); its ∫µ column is not touched
    integrals : (detectors, points, bins), by distance from the point in bins of ``bin_mm``
    """
    bins = integrals.shape[2]
    at_right_angles = slab_depth_mm(thickness_mm, mu_per_mm, 1.0)
    at = np.zeros(3)
    to = np.zeros(3)
    for d in range(first, stop):
        module, place = d // len(places), places[d % len(places)]
        for p in range(len(points)):
            square = cosine = 0.0
            for k in range(3):
                to[k] = detector[d, k] - points[p, k]
                square += to[k] * to[k]
                cosine += to[k] * axes[module, 2, k]
            cosine = max(cosine / math.sqrt(square), 0.02)
            higher = at_right_angles - slab_depth_mm(thickness_mm, mu_per_mm, cosine)
            square = cosine = 0.0
            for k in range(3):
                to[k] -= higher * axes[module, 2, k]
                square += to[k] * to[k]
            length = math.sqrt(square)
            du = dv = 0.0
            reach = length
            for k in range(3):
                to[k] /= length
                cosine += to[k] * axes[module, 2, k]
                du += to[k] * axes[module, 0, k]
                dv += to[k] * axes[module, 1, k]
                rays[d, p, k] = -to[k]
                # where the ray leaves the image's box
                edge = origin[k] if to[k] < 0 else origin[k] + (image.shape[k] - 1) * voxel[k]
                if abs(to[k]) > 1e-9:
                    reach = min(reach, (edge - points[p, k]) / to[k])
            cosine = max(cosine, 0.02)
            rays[d, p, 3] = length
            rays[d, p, 4] = (
                cosine / square * efficiency_at(along_u, along_v, du, dv, place[0], place[1])
            )
            rays[d, p, 6] = thickness_mm / cosine
            for b in range(bins):
                integrals[d, p, b] = 0.0
            steps = math.ceil(max(reach, 0.0) / step_mm)
            if steps == 0:
                continue
            width = reach / steps
            for s in range(steps):
                along = (s + 0.5) * width
                for k in range(3):
                    at[k] = (points[p, k] + along * to[k] - origin[k]) / voxel[k]
                value = trilinear(image, at[0], at[1], at[2]) * width
                integrals[d, p, min(int(along / bin_mm), bins - 1)] += value


@kernel
def pair_rates(
    samples_a: I8,
    samples_b: I8,
    rays: F4,
    activity: F4,
    weight: F8,
    by_cosine: F8,
    least_cosine: float,
    bin_mm: float,
    first: int,
    stop: int,
    rates: F8,
) -> None:
    """Add up what all scatter points send to the sample pairs ``first`` to ``stop``.

    Parameters
    ----------
    samples_a, samples_b : (pairs,) i8, the two detector samples of each pair
    rays : (detectors, points, RAY_COLUMNS), see :func:`follow_rays`
    activity : (detectors, points, bins), ∫ of the emission density along rays, by distance
    weight : (points,) ∫µ dV / 2π, mm²
    by_cosine : (cells + 1, 3) over cosθ from ``least_cosine`` to 1: dσ/dΩ/σ · w(E')/w(511),
        µ(E')/µ(511) of the object, µ(E') of the crystal (1/mm)
    bin_mm : width of a bin of distance, and of the TOF offset
    rates : (pairs, offsets) by TOF offset in bins of ``bin_mm``, positive towards b; or (pairs, 1)
    """
    cells = len(by_cosine) - 1
    offsets = rates.shape[1]
    bins = activity.shape[2]
    per_cell = cells / (1.0 - least_cosine)
    of_511 = by_cosine[cells, 2]
    for pair in range(first, stop):
        a, b = samples_a[pair], samples_b[pair]
        for p in range(len(weight)):
            cosine = -(
                rays[a, p, 0] * rays[b, p, 0]
                + rays[a, p, 1] * rays[b, p, 1]
                + rays[a, p, 2] * rays[b, p, 2]
            )
            if cosine < least_cosine:
                continue
            place = (cosine - least_cosine) * per_cell
            cell = min(int(place), cells - 1)
            part = place - cell
            chance = by_cosine[cell, 0] * (1 - part) + by_cosine[cell + 1, 0] * part
            scale = by_cosine[cell, 1] * (1 - part) + by_cosine[cell + 1, 1] * part
            stopping = by_cosine[cell, 2] * (1 - part) + by_cosine[cell + 1, 2] * part
            through_a, through_b = rays[a, p, 5], rays[b, p, 5]
            chance *= weight[p] * rays[a, p, 4] * rays[b, p, 4]
            # pairs emitted between the point and a: b's photon scattered; and the other way
            seen_a = chance * math.exp(-through_a - scale * through_b)
            seen_a *= math.expm1(-of_511 * rays[a, p, 6]) * math.expm1(-stopping * rays[b, p, 6])
            seen_b = chance * math.exp(-through_b - scale * through_a)
            seen_b *= math.expm1(-of_511 * rays[b, p, 6]) * math.expm1(-stopping * rays[a, p, 6])
            if offsets == 1:
                rates[pair, 0] += seen_a * activity[a, p, 0] + seen_b * activity[b, p, 0]
                continue
            half = 0.5 * (rays[b, p, 3] - rays[a, p, 3])
            # emitted at s from the point towards a: offset −(s + half); towards b: s − half
            middle = 0.5 * offsets - 0.5
            low_a = middle - half / bin_mm - 0.5
            low_b = middle - half / bin_mm + 0.5
            first_a = math.floor(low_a)
            part_a = low_a - first_a
            first_b = math.floor(low_b)
            part_b = low_b - first_b
            for k in range(bins):
                value = seen_a * activity[a, p, k]
                to = first_a - k
                if value > 0.0 and to >= 0 and to + 1 < offsets:
                    rates[pair, to] += value * (1 - part_a)
                    rates[pair, to + 1] += value * part_a
                value = seen_b * activity[b, p, k]
                to = first_b + k
                if value > 0.0 and to >= 0 and to + 1 < offsets:
                    rates[pair, to] += value * (1 - part_b)
                    rates[pair, to + 1] += value * part_b


@kernel
def line_rates(
    records: npt.NDArray[np.void],
    offset_mm: F4,
    crystals_per_module: int,
    n_modules: int,
    row_of: I8,
    sample: I8,
    sample_weight: F8,
    table: F4,
    bin_mm: float,
    out: F4,
) -> None:
    """Interpolate the rates of records' lines from ``table``, (rows, samples, samples, offsets).

    A record of a pair that is not allowed, or with crystals that do not exist, gets 0.

    Parameters
    ----------
    records, offset_mm, out : (n,) records, TOF offsets and rates to fill
    row_of : (modules²,) row of a module pair in ``table``, -1 if not allowed
    sample, sample_weight : (crystals of a module, 4), see
        :func:`recon.scatter.samples.crystal_weights`
    bin_mm : width of an offset bin
    """
    offsets = table.shape[3]
    for i in range(len(records)):
        a = np.int64(records[i].crystal_a)
        b = np.int64(records[i].crystal_b)
        sign = 1.0
        if a > b:
            a, b = b, a
            sign = -1.0
        module_a, module_b = a // crystals_per_module, b // crystals_per_module
        out[i] = 0.0
        if module_b >= n_modules:
            continue
        row = row_of[module_a * n_modules + module_b]
        if row < 0:
            continue
        first, part = 0, 0.0
        if offsets > 1:
            place = sign * offset_mm[i] / bin_mm + 0.5 * offsets - 0.5
            if not 0.0 <= place < offsets - 1:
                continue
            first = int(place)
            part = place - first
        in_a, in_b = a % crystals_per_module, b % crystals_per_module
        total = 0.0
        for k in range(4):
            for m in range(4):
                weight = sample_weight[in_a, k] * sample_weight[in_b, m]
                line = table[row, sample[in_a, k], sample[in_b, m]]
                if offsets > 1:
                    total += weight * (line[first] * (1 - part) + line[first + 1] * part)
                else:
                    total += weight * line[0]
        out[i] = max(total, 0.0)
