"""What leaves the back of a collimator after scatter in its septa, or as their K X-ray.

A photon is tracked through holes and septa. At each collision, what would emerge is scored: a
direction towards the back is drawn from a density that suits the depth, for Compton scatter (Klein
and Nishina's times the scattering function) and for a K X-ray, and for coherent scatter from its
own density (the form factor). Whatever then meets no septum on its way out becomes a record, with a
matching weight. Thus every order of scatter is included, and nothing is spent on the many photons
that are absorbed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.photon_flight import bound_share
from emulator.physics.atomic_scatter import (
    KEV_ANGSTROM,
    ScatterTables,
    scatter_bound,
    scatter_coherent,
    transfer_bin,
)
from emulator.physics.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    PHOTON_SIZE,
    Photon,
    State,
    X,
    Y,
    Z,
    aim_isotropic,
)
from emulator.spect.aiming import klein_nishina_per_sr
from emulator.spect.camera_head import between
from emulator.spect.collimator import CollimatorTables, cell_centre, septa_share
from hw.jit import bare_kernel, kernel
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.random_numbers import exponential, seed_stream, uniform

IN_U, IN_V, IN_W, AWAY_U, AWAY_V, OUT_U, OUT_V, OUT_W, OUT_KEV, IS_K = range(10)
RECORD_SIZE = 10
"""A record: direction of the photon that came in, how far from there it comes out (mm), direction
and energy of what comes out, and 1 where that is or was a K X-ray. Axes are the camera's."""

COMPTON, K_RAY, COHERENT = range(3)
Vector = npt.NDArray[np.float64]

_MOST_DENSE = 3.0  # per sr: coherent scatter's peak is narrow
_FAVOUR_K = 0.5  # energy windows are seldom about K X-rays: what scatters is told more finely
_FREE_PATHS = 3.0  # with the holes between
_MOST_SLOPE2 = 3000.0  # of tan²: 89°
_TALL = 1.7320508075688772  # a hexagonal lattice repeats after so many pitches along v


class SeptaMatter(NamedTuple):
    """The material of the septa, as the kernels see it.

    mu_per_mm, photo_fraction, coherent_per_mm : (e,) f8, at i keV
    compton, mean_bound : (e,) f8, integral of Klein and Nishina's cross-section, and its mean
        scattering function
    coherent_norm : (e,) f8, integral over all directions of the form factor's part of coherent
        scatter, F²(x)·(1 + cos²θ)/2
    k_lines : (5,) f8, X-rays per absorption, edge, Kα, Kβ in keV, share of Kβ
    """

    mu_per_mm: npt.NDArray[np.float64]
    photo_fraction: npt.NDArray[np.float64]
    coherent_per_mm: npt.NDArray[np.float64]
    compton: npt.NDArray[np.float64]
    mean_bound: npt.NDArray[np.float64]
    coherent_norm: npt.NDArray[np.float64]
    k_lines: npt.NDArray[np.float64]
    scatter: ScatterTables


@bare_kernel
def is_septum(u: float, v: float, tables: CollimatorTables) -> bool:
    """Return whether a place is outside all holes."""
    cu, cv = cell_centre(u, v, tables)
    u, v, hole = u - cu, v - cv, tables.half_hole_mm
    if tables.sides == 2:
        return abs(u) > hole or abs(v) > hole
    along, across = 0.5 * u, 0.8660254037844386 * v
    return abs(u) > hole or abs(across + along) > hole or abs(across - along) > hole


@bare_kernel
def enter(
    state: State, photon: Photon, edge: Vector, chance: Vector, tables: CollimatorTables
) -> tuple[int, float]:
    """Start a photon at a random place on the face; return its bin and the sr it stands for.

    photon : set, but for its energy, at depth 0; mm in the collimator's axes
    edge : (bins + 1,) f8, cosines to the holes, descending; ``chance`` (bins,) f8, of each bin, sum
        1
    """
    chosen = uniform(state)
    bin_, before = 0, 0.0
    while bin_ < len(chance) - 1 and before + chance[bin_] <= chosen:
        before += chance[bin_]
        bin_ += 1
    cosine = edge[bin_] + uniform(state) * (edge[bin_ + 1] - edge[bin_])
    azimuth, sine = 2.0 * math.pi * uniform(state), math.sqrt(max(1.0 - cosine * cosine, 0.0))
    pitch = 2.0 * tables.half_pitch_mm
    photon[X] = pitch * uniform(state)
    photon[Y] = pitch * uniform(state) * (_TALL if tables.sides == 3 else 1.0)
    photon[Z] = 0.0
    photon[DX], photon[DY], photon[DZ] = sine * math.cos(azimuth), sine * math.sin(azimuth), cosine
    return bin_, 2.0 * math.pi * (edge[bin_] - edge[bin_ + 1]) / chance[bin_]


@bare_kernel
def fly_to_septum(state: State, photon: Photon, mu: float, tables: CollimatorTables) -> bool:
    """Move to the next collision in a septum; return whether there is one before face or back."""
    while True:
        step = exponential(state) / mu
        photon[X] += photon[DX] * step
        photon[Y] += photon[DY] * step
        photon[Z] += photon[DZ] * step
        if not 0.0 <= photon[Z] <= tables.length_mm:
            return False
        if is_septum(photon[X], photon[Y], tables):
            return True


@bare_kernel
def opening(photon: Photon, mu: float, tables: CollimatorTables) -> float:
    """Return the square of the slope that limits directions from a place to the back.

    The slope is a hole's width plus a free path, over the remaining depth.
    """
    left = max(tables.length_mm - photon[Z], 1e-6)
    reach = (2.0 * tables.half_hole_mm + _FREE_PATHS / mu) / left
    return min(reach * reach, 1.0)


@bare_kernel
def aim_out(state: State, t2: float, way: Photon) -> None:
    """Draw a direction towards the back into ``way``, with the density of ``out_per_sr``."""
    chosen = uniform(state) * _MOST_SLOPE2 / (_MOST_SLOPE2 + t2)
    s = t2 * chosen / (1.0 - chosen)
    cosine = 1.0 / math.sqrt(1.0 + s)
    sine, azimuth = math.sqrt(s) * cosine, 2.0 * math.pi * uniform(state)
    way[DX], way[DY], way[DZ] = sine * math.cos(azimuth), sine * math.sin(azimuth), cosine


@bare_kernel
def out_per_sr(cosine: float, t2: float) -> float:
    """Return the density per sr of directions drawn towards the back.

    s = tan² has the density t²/(t² + s)², t² being the ``opening``, up to 89°.
    """
    if cosine <= 0.0:
        return 0.0
    s = 1.0 / (cosine * cosine) - 1.0
    if s > _MOST_SLOPE2:
        return 0.0
    density = t2 / ((t2 + s) * (t2 + s)) * (1.0 + s) * math.sqrt(1.0 + s) / math.pi
    return density * (_MOST_SLOPE2 + t2) / _MOST_SLOPE2


@bare_kernel
def comes_out(
    state: State, photon: Photon, way: Photon, tables: CollimatorTables, matter: SeptaMatter
) -> bool:
    """Return whether a photon leaves through the back without another collision.

    photon : where it is, mm; ``way`` : direction and energy (keV), receives the place on the back
    """
    left = tables.length_mm - photon[Z]
    du, dv = way[DX] / way[DZ] * left, way[DY] / way[DZ] * left
    whole = between(matter.mu_per_mm, way[ENERGY]) + between(matter.coherent_per_mm, way[ENERGY])
    most = exponential(state) * way[DZ] / (whole * max(left, 1e-9))
    way[X], way[Y] = photon[X] + du, photon[Y] + dv
    return septa_share(photon[X], photon[Y], du, dv, most, tables) <= most


@bare_kernel
def leaving_per_sr(energy: float, cosine: float, kind: int, matter: SeptaMatter) -> float:
    """Return the density per sr of photons leaving a collision, by kind and cosine of the angle."""
    if kind == K_RAY:
        return 0.25 / math.pi
    if kind == COMPTON:
        density = klein_nishina_per_sr(energy, cosine, between(matter.compton, energy))
        density *= bound_share(energy, cosine, 0, matter.scatter)
        return density / between(matter.mean_bound, energy)
    transfer2, area = matter.scatter.transfer2, matter.scatter.form_area
    at2 = 0.5 * (1.0 - cosine) * energy * energy / (KEV_ANGSTROM * KEV_ANGSTROM)
    i = transfer_bin(transfer2, at2)
    slope = (area[0, i + 1] - area[0, i]) / (transfer2[i + 1] - transfer2[i])
    return slope * 0.5 * (1.0 + cosine * cosine) / between(matter.coherent_norm, energy)


@bare_kernel
def leave_by(
    state: State, photon: Photon, kind: int, t2: float, matter: SeptaMatter, way: Photon
) -> float:
    """Draw the photon that leaves a collision towards the back; return its importance weight.

    The weight is its true density over that of the draw. ``way`` receives direction and energy.
    Coherent scatter is so narrow that half of it is drawn from its own density; the weight is 0 if
    that does not lead to the back.

    ``photon`` : the one that collides, in keV. ``kind`` : COMPTON, K_RAY or COHERENT. ``t2`` : the
    ``opening``, of tan².
    """
    energy = photon[ENERGY]
    if kind == COHERENT and uniform(state) < 0.5:
        for i in range(PHOTON_SIZE):
            way[i] = photon[i]
        scatter_coherent(state, way, matter.scatter, 0)
    else:
        aim_out(state, t2, way)
    per_sr = out_per_sr(way[DZ], t2)
    cosine = photon[DX] * way[DX] + photon[DY] * way[DY] + photon[DZ] * way[DZ]
    cosine = max(min(cosine, 1.0), -1.0)
    way[ENERGY] = energy
    if kind == K_RAY:
        way[ENERGY] = draw_k(state, matter.k_lines)
    elif kind == COMPTON:
        way[ENERGY] = energy / (1.0 + energy / ELECTRON_REST_KEV * (1.0 - cosine))
    density = leaving_per_sr(energy, cosine, kind, matter)
    if kind == COHERENT:
        per_sr = 0.5 * (per_sr + density)
    return density / per_sr if way[DZ] > 0.0 else 0.0


@bare_kernel
def hope(photon: Photon, kind: int, t2: float, matter: SeptaMatter) -> float:
    """Estimate how much emerges from a collision; a wrong guess only costs time."""
    straight = leaving_per_sr(photon[ENERGY], photon[DZ], kind, matter)
    favour = _FAVOUR_K if kind == K_RAY else 1.0
    return favour * math.pi * t2 * math.sqrt(math.sqrt(t2)) * min(straight, _MOST_DENSE)


@bare_kernel
def draw_k(state: State, k_lines: Vector) -> float:
    """Draw the energy of a K X-ray."""
    return k_lines[3] if uniform(state) < k_lines[4] else k_lines[2]


@bare_kernel
def go_on(state: State, photon: Photon, shares: Vector, matter: SeptaMatter) -> int:
    """Make the photon collide; return the kind of collision, −1 if absorbed."""
    chosen = uniform(state)
    if chosen < shares[COMPTON]:
        scatter_bound(state, photon, matter.scatter, 0)
        return COMPTON
    chosen -= shares[COMPTON]
    if chosen < shares[COHERENT]:
        scatter_coherent(state, photon, matter.scatter, 0)
        return COHERENT
    if chosen - shares[COHERENT] < shares[K_RAY]:
        photon[ENERGY] = draw_k(state, matter.k_lines)
        aim_isotropic(state, photon)
        return K_RAY
    return -1


@bare_kernel
def share_out(energy: float, matter: SeptaMatter, shares: Vector) -> float:
    """Set the shares of COMPTON, K_RAY and COHERENT in collisions; return the total µ."""
    mu, coherent = between(matter.mu_per_mm, energy), between(matter.coherent_per_mm, energy)
    photo = matter.photo_fraction[int(energy + 0.5)]
    shares[COMPTON] = mu * (1.0 - photo) / (mu + coherent)
    above = energy > matter.k_lines[1]
    shares[K_RAY] = mu * photo * matter.k_lines[0] / (mu + coherent) if above else 0.0
    shares[COHERENT] = coherent / (mu + coherent)
    return mu + coherent


@kernel
def fill_records(
    tables: CollimatorTables,
    matter: SeptaMatter,
    edge: Vector,
    chance: Vector,
    energy_keV: float,
    least_keV: float,
    photons: int,
    aimed_sr: float,
    seed: int,
    weight: Vector,
    of_bin: npt.NDArray[np.int64],
    record: npt.NDArray[np.float32],
) -> tuple[int, int]:
    """Fill in records for photons of one energy that meet the collimator's face.

    Parameters
    ----------
    edge, chance : (bins + 1,) and (bins,) f8, descending cosines to the holes, and the share of
        photons that arrives within each bin
    least_keV : least energy of photons that emerge
    photons : largest number of photons to track
    aimed_sr : weight that records should have; the number of directions tried is adapted to it. 0:
        one for each kind at each collision
    weight : (n,) f8, sr times photons; of_bin : (n,) i8, of the direction;
        record : (n, RECORD_SIZE) f4

    Returns
    -------
    (records, photons tracked). The sum of weights over photons is ∫ R dΩ, R being the number of
    photons that emerge for one photon of a given direction.
    """
    state, photon, way = np.zeros(2, np.uint64), np.zeros(PHOTON_SIZE), np.zeros(PHOTON_SIZE)
    begun, shares = np.zeros(PHOTON_SIZE), np.zeros(3)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    found = 0
    for done in range(photons):
        photon[ENERGY], photon[PATH] = energy_keV, 0.0
        bin_, stands_for = enter(state, photon, edge, chance, tables)
        for i in range(PHOTON_SIZE):
            begun[i] = photon[i]
        is_k = False
        while photon[ENERGY] >= least_keV:
            whole = share_out(photon[ENERGY], matter, shares)
            if not fly_to_septum(state, photon, whole, tables):
                break
            t2 = opening(photon, whole, tables)
            for kind in range(3):
                per_try = stands_for * shares[kind]
                if per_try == 0.0:
                    continue
                tries = 1
                if aimed_sr > 0.0:
                    hoped = per_try * hope(photon, kind, t2, matter) / aimed_sr
                    tries = int(hoped + uniform(state))
                    per_try /= hoped
                for _ in range(tries):
                    scored = per_try * leave_by(state, photon, kind, t2, matter, way)
                    if scored == 0.0 or way[ENERGY] < least_keV:
                        continue
                    if not comes_out(state, photon, way, tables, matter):
                        continue
                    if found == len(weight):
                        return found, done
                    weight[found], of_bin[found] = scored, bin_
                    record[found, IN_U], record[found, IN_V] = begun[DX], begun[DY]
                    record[found, IN_W] = begun[DZ]
                    record[found, AWAY_U] = way[X] - begun[X]
                    record[found, AWAY_V] = way[Y] - begun[Y]
                    record[found, OUT_U], record[found, OUT_V] = way[DX], way[DY]
                    record[found, OUT_W], record[found, OUT_KEV] = way[DZ], way[ENERGY]
                    record[found, IS_K] = 1.0 if is_k or kind == K_RAY else 0.0
                    found += 1
            happened = go_on(state, photon, shares, matter)
            if happened < 0:
                break
            is_k = is_k or happened == K_RAY
    return found, photons
