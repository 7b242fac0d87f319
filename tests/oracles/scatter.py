"""Single scatter between two modules by Monte Carlo: an oracle that shares no integral with SSS.

Photon pairs start where the activity is; the first photon is sent to a point of one face, the
second flies the other way, scatters at a random point on its path and is sent to a point of the
other face. Each history carries the probability of its forced steps. The object is a box of uniform
µ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ELECTRON_KEV = 510.99895


class Singles(NamedTuple):
    """Histories: rates per second, TOF offsets (mm, towards +b) and energies (keV)."""

    rate: np.ndarray
    offset_mm: np.ndarray
    energy_keV: np.ndarray


def single_scatter(
    *,
    half_mm: np.ndarray,
    mu_per_mm: float,
    source_mm: np.ndarray,
    activity_Bq: float,
    face_half_mm: float,
    inradius_mm: float,
    depth_mm: float,
    histories: int,
    rng: np.random.Generator,
) -> Singles:
    """Return histories of scatter between the faces at +x (a) and −x (b).

    Detection efficiencies are up to the caller: rates are of photons that cross both depths.
    source_mm : (2, 3) corners of the uniformly emitting box
    """
    parts = []
    for sign in (1.0, -1.0):  # which face the unscattered photon goes to
        start = rng.uniform(source_mm[0], source_mm[1], (histories, 3))
        near, far = (_face(rng, histories, s * (inradius_mm + depth_mm), face_half_mm)
                     for s in (sign, -sign))  # fmt: skip
        to_near = near - start
        d_near = np.linalg.norm(to_near, axis=1)
        u = to_near / d_near[:, None]
        face = (2 * face_half_mm) ** 2
        # two photons, either of which may be the one that goes there
        weight = activity_Bq * 2 * face * np.abs(u[:, 0]) / (4 * np.pi * d_near**2)
        weight = weight * np.exp(-mu_per_mm * _way_out(start, u, half_mm))
        free = _way_out(start, -u, half_mm)
        stopped = -np.expm1(-mu_per_mm * free)
        path = -np.log1p(-rng.random(histories) * stopped) / mu_per_mm
        place = start - u * path[:, None]
        to_far = far - place
        d_far = np.linalg.norm(to_far, axis=1)
        v = to_far / d_far[:, None]
        cosine = -(u * v).sum(axis=1)
        ratio = 1.0 / (2.0 - cosine)
        density = ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)
        # ∫ of that density over the sphere, by quadrature
        nodes = np.linspace(-1, 1, 20001)
        r = 1 / (2 - nodes)
        whole = 2 * np.pi * np.trapezoid(r**2 * (r + 1 / r - 1 + nodes**2), nodes)
        weight = weight * stopped * density / whole * face * np.abs(v[:, 0]) / d_far**2
        energy = ELECTRON_KEV * ratio
        scale = _total(energy) / _total(np.array([ELECTRON_KEV]))
        weight = weight * np.exp(-mu_per_mm * scale * _way_out(place, v, half_mm))
        # time of flight: t_b − t_a > 0 puts the source nearer to a, an offset towards b is negative
        later = (path + d_far) - d_near
        parts.append((weight / histories, -sign * later / 2, energy, np.abs(u[:, 0]),
                      np.abs(v[:, 0])))  # fmt: skip
    weight, offset, energy, cos_plain, cos_scattered = (
        np.concatenate([part[k] for part in parts]) for k in range(5)
    )
    return Singles(weight, offset, np.stack([energy, cos_plain, cos_scattered], axis=1))


def _face(rng: np.random.Generator, count: int, x_mm: float, half_mm: float) -> np.ndarray:
    points = rng.uniform(-half_mm, half_mm, (count, 3))
    points[:, 0] = x_mm
    return points


def _way_out(start: np.ndarray, direction: np.ndarray, half_mm: np.ndarray) -> np.ndarray:
    """Return the distance to the box's surface from a point inside it."""
    wall = np.where(direction > 0, half_mm, -half_mm)
    with np.errstate(divide="ignore"):
        return ((wall - start) / direction).min(axis=1, where=direction != 0, initial=np.inf)


def _total(energy_keV: np.ndarray) -> np.ndarray:
    """Return the Klein–Nishina total cross-section by quadrature over angles, any unit."""
    cosine, table = np.linspace(-1, 1, 1001), np.linspace(170.0, 512.0, 200)
    ratio = 1 / (1 + table[:, None] / ELECTRON_KEV * (1 - cosine))
    whole = np.trapezoid(ratio**2 * (ratio + 1 / ratio - 1 + cosine**2), cosine, axis=1)
    return np.interp(energy_keV, table, whole)
