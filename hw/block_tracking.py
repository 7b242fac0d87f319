"""Photons of 511 keV followed through blocks, from one direction: where one of them counts what.

The photons' rays cover the block evenly, with a margin for those that scatter over from a
neighbour. They start where they pass the scanner's axis, fly to the blocks and interact there for
sure, with the chance of it as their weight; from then on they are followed as they come:
photoelectric absorption or Compton scatter until absorbed or gone, through any of the blocks. The
first block of the list is the one whose counts are wanted.
"""

from __future__ import annotations

import math

import numpy as np

from hw.compton import ELECTRON_REST_KEV
from hw.jit import Array, bare_kernel, kernel
from hw.photon_kernels import compton_ratio, turned, uniform

ABSORBED_BELOW_KEV = 70
"""Such photons do not get 0.2 mm further in LYSO."""

_REST_KEV = ELECTRON_REST_KEV
_FAR = 1e30
_CLEAR_MM = 1e-6


@bare_kernel
def _crossing(
    centre: Array, axes: Array, half_u: float, half_v: float, thickness: float,
    x: float, y: float, z: float, dx: float, dy: float, dz: float,
) -> tuple[float, float]:  # fmt: skip
    """Return the distances at which a ray enters and leaves a box; beyond 0 only, none: (far, 0).

    ``axes`` (3, 3), rows u, v, w; the box begins at its ``centre`` (3,) along w
    """
    enter, leave = 0.0, _FAR
    x, y, z = x - centre[0], y - centre[1], z - centre[2]
    for k in range(3):
        place = axes[k, 0] * x + axes[k, 1] * y + axes[k, 2] * z
        slope = axes[k, 0] * dx + axes[k, 1] * dy + axes[k, 2] * dz
        low, high = -half_u, half_u
        if k == 1:
            low, high = -half_v, half_v
        elif k == 2:
            low, high = 0.0, thickness
        if abs(slope) < 1e-12:
            if place < low or place > high:
                return _FAR, 0.0
            continue
        a, b = (low - place) / slope, (high - place) / slope
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return enter, leave


@bare_kernel
def _reflected(place: float, half: float) -> float:
    """Return a blurred position brought back into the block: no light leaves it."""
    if place > half:
        place = 2.0 * half - place
    elif place < -half:
        place = -2.0 * half - place
    return min(max(place, -half), half)


@kernel
def counts_from(
    du: float,
    dv: float,
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
    """Add what the first block counts of photons from one direction: areas in mm², by place.

    Parameters
    ----------
    du, dv : the photons' direction along the first block's u and v; along w it is positive
    centres : (b, 3) f8, middles of the front faces; axes : (b, 3, 3) f8, rows u, v, w
    size : (3,) f8, width, height and thickness of every block; margin_mm : see above
    mu_per_mm, photo, counted : (512,) f8 by energy in keV: attenuation, the share of it that is
        photoelectric, the chance that a deposit is read within the energy window
    monolithic : the place is the energy-weighted mean (True) or that of the largest deposit
    blur_mm : σ of the place as read
    along_u, along_v : (n,) f8, by place in the block
    depths : (3,) f8, sums over photons that are counted, of them s·a, s·s w and s·s: slopes s of
        the ray along u and v, place a beside where the ray meets the face, depth w, as measured
    spectrum : (512,) f8, areas by the energy left in the block, keV
    """
    state = np.full(1, seed, np.uint64)
    half_u, half_v, thickness = 0.5 * size[0], 0.5 * size[1], size[2]
    dw = math.sqrt(max(1e-6, 1.0 - du * du - dv * dv))
    slant_u, slant_v = -thickness * du / dw, -thickness * dv / dw
    low_u, high_u = min(0.0, slant_u) - half_u - margin_mm, max(0.0, slant_u) + half_u + margin_mm
    low_v, high_v = min(0.0, slant_v) - half_v - margin_mm, max(0.0, slant_v) + half_v + margin_mm
    stands_for = (high_u - low_u) * (high_v - low_v) * dw / photons
    first_x = du * axes[0, 0, 0] + dv * axes[0, 1, 0] + dw * axes[0, 2, 0]
    first_y = du * axes[0, 0, 1] + dv * axes[0, 1, 1] + dw * axes[0, 2, 1]
    first_z = du * axes[0, 0, 2] + dv * axes[0, 1, 2] + dw * axes[0, 2, 2]
    blocks = len(centres)
    enters, ways = np.empty(blocks), np.empty(blocks)
    for i in range(photons):
        # the R2 sequence of M. Roberts (2018) covers the rectangle evenly
        face_u = low_u + (high_u - low_u) * ((0.5 + i * 0.7548776662466927) % 1.0)
        face_v = low_v + (high_v - low_v) * ((0.5 + i * 0.5698402909980532) % 1.0)
        dx, dy, dz = first_x, first_y, first_z
        x = centres[0, 0] + face_u * axes[0, 0, 0] + face_v * axes[0, 1, 0]
        y = centres[0, 1] + face_u * axes[0, 0, 1] + face_v * axes[0, 1, 1]
        z = centres[0, 2] + face_u * axes[0, 0, 2] + face_v * axes[0, 1, 2]
        back = (x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12)
        x, y, z = x - back * dx, y - back * dy, z - back * dz
        total = 0.0
        for b in range(blocks):
            enters[b], leave = _crossing(
                centres[b], axes[b], half_u, half_v, thickness, x, y, z, dx, dy, dz
            )
            ways[b] = max(leave - enters[b], 0.0)
            total += ways[b]
        if total <= 0.0:
            continue
        chance = -math.expm1(-mu_per_mm[511] * total)
        way = -math.log(1.0 - uniform(state) * chance) / mu_per_mm[511]
        inside = -1
        while True:
            # the blocks in the order in which they are met
            inside = -1
            for b in range(blocks):
                if ways[b] > 0.0 and (inside < 0 or enters[b] < enters[inside]):
                    inside = b
            if way <= ways[inside]:
                break
            way -= ways[inside]
            ways[inside] = 0.0
        step = enters[inside] + way
        x, y, z = x + step * dx, y + step * dy, z + step * dz
        energy, given_here, largest = _REST_KEV, 0.0, 0.0
        mean_u, mean_v, mean_w = 0.0, 0.0, 0.0
        straight = inside == 0
        while True:
            ratio, cosine = 0.0, 1.0
            if energy >= ABSORBED_BELOW_KEV and uniform(state) >= photo[int(energy)]:
                ratio, cosine = compton_ratio(energy / _REST_KEV, state)
            given = energy * (1.0 - ratio)
            if inside == 0:
                px, py, pz = x - centres[0, 0], y - centres[0, 1], z - centres[0, 2]
                u = px * axes[0, 0, 0] + py * axes[0, 0, 1] + pz * axes[0, 0, 2]
                v = px * axes[0, 1, 0] + py * axes[0, 1, 1] + pz * axes[0, 1, 2]
                w = px * axes[0, 2, 0] + py * axes[0, 2, 1] + pz * axes[0, 2, 2]
                given_here += given
                if monolithic:
                    mean_u, mean_v = mean_u + given * u, mean_v + given * v
                    mean_w += given * w
                elif given > largest:
                    largest, mean_u, mean_v, mean_w = given, u, v, w
            energy *= ratio
            if energy <= 0.0:
                break
            dx, dy, dz = turned(dx, dy, dz, cosine, 2.0 * math.pi * uniform(state))
            way = -math.log(1.0 - uniform(state)) / mu_per_mm[int(energy)]
            while inside >= 0:
                _, leave = _crossing(
                    centres[inside], axes[inside], half_u, half_v, thickness, x, y, z, dx, dy, dz
                )
                if way <= leave:
                    break
                way -= leave
                step = leave + _CLEAR_MM
                x, y, z = x + step * dx, y + step * dy, z + step * dz
                inside, nearest = -1, _FAR
                for b in range(blocks):
                    enter, leave = _crossing(
                        centres[b], axes[b], half_u, half_v, thickness, x, y, z, dx, dy, dz
                    )
                    if leave > enter and enter < nearest:
                        inside, nearest = b, enter
                if inside >= 0:
                    x, y, z = x + nearest * dx, y + nearest * dy, z + nearest * dz
            if inside < 0:
                break
            x, y, z = x + way * dx, y + way * dy, z + way * dz
        if given_here <= 0.0:
            continue
        if monolithic:
            mean_u, mean_v = mean_u / given_here, mean_v / given_here
            mean_w /= given_here
        energy_bin = min(int(given_here + 0.5), 511)
        spectrum[energy_bin] += stands_for * chance
        weight = stands_for * chance * counted[energy_bin]
        if straight:
            depths[0] += weight * ((mean_u - face_u) * du + (mean_v - face_v) * dv) / dw
            depths[1] += weight * mean_w * (du * du + dv * dv) / (dw * dw)
            depths[2] += weight * (du * du + dv * dv) / (dw * dw)
        radius = blur_mm * math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
        turn = 2.0 * math.pi * uniform(state)
        mean_u = _reflected(mean_u + radius * math.cos(turn), half_u)
        mean_v = _reflected(mean_v + radius * math.sin(turn), half_v)
        cell = int((mean_u / size[0] + 0.5) * len(along_u))
        along_u[min(max(cell, 0), len(along_u) - 1)] += weight
        cell = int((mean_v / size[1] + 0.5) * len(along_v))
        along_v[min(max(cell, 0), len(along_v) - 1)] += weight
