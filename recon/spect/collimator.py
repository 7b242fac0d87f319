"""A parallel-hole collimator's response: how much passes, and the blur at a distance.

A ray of direction t = (tan θ_u, tan θ_v) passes with probability T(t) = ⟨exp(−µ ℓ)⟩, ℓ its path in
septa, averaged over the points where it may meet the face. The share of an isotropic source's
photons that pass is

    g = 1/4π ∫ T(t) cos³θ d²t,

the same at all distances, and the blur at distance b in front of the face is T itself, magnified:

    σ_c(b) = σ_t · (b + L + z),     σ_t = FWHM of ∫ T dt_v as a function of t_u, over 2.355

with L the holes' length and z the distance from their back to the mean depth of interaction: a
Gaussian with the FWHM of the line spread function. Penetration widens it as H. O. Anger's effective
length does (L − 2/µ; J. Nucl. Med. 5 (1964) 515); here it follows from the integral, over
directions up to twice the holes' own reach. FWHM(b)² = R_int² + (2.355 σ_c)² (S. C. Moore, K.
Kouris, I. Cullum, Eur. J. Nucl. Med. 19 (1992) 138).

Square holes registered to the pixels blur by a trapezium instead, as a pixel sees through its own
hole only: the convolution of boxes a(b + l)/l and a·b/l wide, with a the hole width and l its
effective length.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import F8, Array
from hw.jit import kernel
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Collimator, Scanner
from hw.scanner.geometry import mean_interaction_depth_mm
from recon.spect.matter import mu_per_mm

ALUMINIUM_PER_MM = ((60.0, 100.0, 140.5, 208.0, 400.0), (0.0749, 0.0460, 0.0384, 0.0331, 0.0250))
"""NIST XCOM with coherent scatter; 0.3 mm of cover are 1 %, so linear in between will do."""

_REACH = 2.0
_DIRECTIONS, _AZIMUTHS, _PLACES, _STEPS = 32, 3, 987, 96


@dataclass(frozen=True)
class CollimatorResponse:
    """A collimator at one energy.

    efficiency : share of an isotropic source's photons that reach the crystal, through the cover
    sigma_per_mm : σ_t, growth of the blur with distance
    behind_mm : from the face to where photons interact, L + z
    length_mm : the holes' effective length
    intrinsic_sigma_mm : of the crystal
    hole_mm : width of square holes registered to pixels (trapezium blur); 0 for others
    """

    efficiency: float
    sigma_per_mm: float
    behind_mm: float
    length_mm: float
    intrinsic_sigma_mm: float
    hole_mm: float = 0.0

    def sigma_mm(self, distance_mm: npt.ArrayLike) -> F8:
        """Return σ of the total blur at distances in front of the face, (n,) mm."""
        before = np.maximum(np.asarray(distance_mm, np.float64), 0.0)
        if self.hole_mm:
            wide, narrow = self.boxes_mm(before)
            return np.asarray(np.sqrt((wide**2 + narrow**2) / 12.0))
        return np.hypot(self.sigma_per_mm * (before + self.behind_mm), self.intrinsic_sigma_mm)

    def fwhm_mm(self, distance_mm: npt.ArrayLike) -> F8:
        """Return the FWHM of a Gaussian with this σ, (n,) mm."""
        return FWHM_PER_SIGMA * self.sigma_mm(distance_mm)

    def boxes_mm(self, distance_mm: npt.ArrayLike) -> tuple[F8, F8]:
        """Return the widths of the two boxes of registered square holes."""
        before = np.maximum(np.asarray(distance_mm, np.float64), 0.0)
        scale = self.hole_mm / self.length_mm
        return scale * (before + self.length_mm), scale * before


@functools.lru_cache(maxsize=64)
def collimator_response(scanner: Scanner, energy_keV: float) -> CollimatorResponse:
    """Return the response of a scanner's collimators for photons of an energy."""
    collimator, module = scanner.collimator, scanner.module
    assert collimator is not None  # what makes a scanner one for SPECT
    mu = sum(mu_per_mm(collimator.material, energy_keV))
    passed, sigma_t = _transmission(collimator, mu)
    cover = float(np.interp(energy_keV, *ALUMINIUM_PER_MM))
    depth_mm = mean_interaction_depth_mm(module.thickness_mm, material=module.material)
    pitch = collimator.hole_mm + collimator.septum_mm
    registered = collimator.hole == "square" and math.isclose(pitch, module.pitch_u_mm)
    return CollimatorResponse(
        efficiency=passed * math.exp(-cover * collimator.cover_mm),
        sigma_per_mm=sigma_t,
        behind_mm=collimator.length_mm + collimator.gap_mm + depth_mm,
        length_mm=max(collimator.length_mm - 2.0 / mu, 0.2 * collimator.length_mm),
        intrinsic_sigma_mm=scanner.response.position_fwhm_mm / FWHM_PER_SIGMA,
        hole_mm=collimator.hole_mm if registered else 0.0,
    )


@functools.lru_cache(maxsize=64)
def _transmission(collimator: Collimator, mu: float) -> tuple[float, float]:
    """Return g and σ_t, evaluating the integrals in the module docstring as sums."""
    widest = collimator.hole_mm * (2 / math.sqrt(3) if collimator.hole == "hexagonal" else 1.42)
    most = _REACH * widest / collimator.length_mm
    tangent = (np.arange(_DIRECTIONS) + 0.5) * most / _DIRECTIONS
    turn = math.pi / (6 if collimator.hole == "hexagonal" else 4)
    azimuth = (np.arange(_AZIMUTHS) + 0.5) * turn / _AZIMUTHS
    across = tangent[:, None, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    square = collimator.hole == "square"
    share = septa_shares(
        across.reshape(-1, 2) * collimator.length_mm, _places(collimator), _STEPS, square,
        collimator.hole_mm / 2, collimator.hole_mm + collimator.septum_mm,
    ).reshape(_DIRECTIONS, _AZIMUTHS, -1)  # fmt: skip
    path = collimator.length_mm * np.sqrt(1 + tangent**2)
    passed = np.exp(-mu * path[:, None, None] * share).mean(axis=(1, 2))
    ring = 2 * math.pi * tangent * (most / _DIRECTIONS)
    efficiency = float((passed * ring * (1 + tangent**2) ** -1.5).sum() / (4 * math.pi))
    return efficiency, _line_spread_fwhm(tangent, passed) / FWHM_PER_SIGMA


def _line_spread_fwhm(tangent: F8, passed: F8) -> float:
    """Return the full width at half maximum of the transmission, integrated along one axis."""
    along = np.linspace(0.0, float(tangent[-1]), 400)
    across = np.linspace(-float(tangent[-1]), float(tangent[-1]), 801)
    distance = np.hypot(along[:, None], across[None, :])
    spread = np.interp(distance, tangent, passed, right=0.0).sum(axis=1)
    return 2.0 * float(np.interp(-0.5 * spread[0], -spread, along))


def _places(collimator: Collimator) -> F8:
    """Return places spread evenly over one cell of the lattice, (n, 2) mm.

    A Fibonacci lattice: a square one would align with the septa and miscount them.
    """
    pitch, k = collimator.hole_mm + collimator.septum_mm, np.arange(_PLACES)
    a, b = (k + 0.5) / _PLACES, (k * 0.6180339887498949) % 1.0
    if collimator.hole == "square":
        return np.c_[a, b] * pitch
    return np.c_[a + 0.5 * b, math.sqrt(3) / 2 * b] * pitch


@kernel
def septa_shares(
    across_mm: Array, entry_mm: Array, steps: int, square: bool, half_mm: float, pitch_mm: float
) -> Array:
    """Return the share of each ray that lies in septa, (directions, places) f8.

    Parameters
    ----------
    across_mm : (directions, 2) f8, from a ray's entry at the face to its exit at the back
    entry_mm : (places, 2) f8, where rays enter; a hole's centre is the origin
    steps : points on a ray that are tried
    square : whether holes are square; else hexagonal
    half_mm : half a hole's width, between opposite sides
    pitch_mm : from hole to hole
    """
    share = np.zeros((across_mm.shape[0], entry_mm.shape[0]))
    row_mm = pitch_mm * math.sqrt(3.0) / 2.0
    for i in range(across_mm.shape[0]):
        for k in range(entry_mm.shape[0]):
            hits = 0
            start = (k * 0.7548776662466927) % 1.0  # rays do not step in phase
            for j in range(steps):
                along = (j + start) / steps
                u = entry_mm[k, 0] + along * across_mm[i, 0]
                v = entry_mm[k, 1] + along * across_mm[i, 1]
                if square:
                    u -= pitch_mm * np.round(u / pitch_mm)
                    v -= pitch_mm * np.round(v / pitch_mm)
                    hits += abs(u) > half_mm or abs(v) > half_mm
                    continue
                below = math.floor(v / row_mm)
                inside = False
                for row in range(below, below + 2):
                    du = u - 0.5 * pitch_mm * row
                    du = abs(du - pitch_mm * np.round(du / pitch_mm))
                    slant = 0.5 * (du + math.sqrt(3.0) * abs(v - row * row_mm))
                    inside = inside or (du < half_mm and slant < half_mm)
                hits += not inside
            share[i, k] = hits / steps
    return share
