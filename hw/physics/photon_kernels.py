"""Random numbers, rays and Compton scatter, for kernels that track photons."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hw.jit import Array, bare_kernel, kernel


class Ray(NamedTuple):
    """A photon in flight: its place, in mm or voxels of a cubic grid, and direction, |d| = 1.

    A new one is made at each step; kernels pass it on as six numbers, at no cost.
    """

    x: float
    y: float
    z: float
    dx: float
    dy: float
    dz: float


@bare_kernel
def uniform(state: Array) -> float:
    """Return the next number in [0, 1) of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def compton_ratio(alpha: float, state: Array) -> tuple[float, float]:
    """Draw E'/E and the cosine of a Compton scatter of a photon of ``alpha`` mₑc²."""
    while True:
        r1, r2, r3 = uniform(state), uniform(state), uniform(state)
        if r1 <= (1.0 + 2.0 * alpha) / (9.0 + 2.0 * alpha):
            x = 1.0 + 2.0 * alpha * r2
            if r3 <= 4.0 * (1.0 / x - 1.0 / (x * x)):
                return 1.0 / x, 1.0 - (x - 1.0) / alpha
        else:
            x = (1.0 + 2.0 * alpha) / (1.0 + 2.0 * alpha * r2)
            cosine = 1.0 - (x - 1.0) / alpha
            if r3 <= 0.5 * (cosine * cosine + 1.0 / x):
                return 1.0 / x, cosine


@bare_kernel
def turned(
    dx: float, dy: float, dz: float, cosine: float, turn: float
) -> tuple[float, float, float]:
    """Return a direction turned by a polar angle, with azimuth ``turn`` about itself."""
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    a, b = sine * math.cos(turn), sine * math.sin(turn)
    across = math.sqrt(dx * dx + dy * dy)
    if across < 1e-6:
        return a, b, cosine * dz
    return (
        dx * cosine + (dx * dz * a - dy * b) / across,
        dy * cosine + (dy * dz * a + dx * b) / across,
        dz * cosine - across * a,
    )


@bare_kernel
def moved(ray: Ray, way: float) -> Ray:
    """Return the photon moved on by ``way``, in the unit of its place."""
    return Ray(
        ray.x + way * ray.dx, ray.y + way * ray.dy, ray.z + way * ray.dz, ray.dx, ray.dy, ray.dz
    )


@bare_kernel
def scattered(ray: Ray, cosine: float, state: Array) -> Ray:
    """Return the photon turned by an angle of the given cosine, with random azimuth."""
    turn = 2.0 * math.pi * uniform(state)
    dx, dy, dz = turned(ray.dx, ray.dy, ray.dz, cosine, turn)
    return Ray(ray.x, ray.y, ray.z, dx, dy, dz)
