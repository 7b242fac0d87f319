"""Rays and directions, for kernels that track photons."""

from __future__ import annotations

import math
from typing import NamedTuple

from hw.jit import bare_kernel
from hw.physics.random_numbers import State, in_disc


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
def turned(
    dx: float, dy: float, dz: float, cos_theta: float, cos_phi: float, sin_phi: float
) -> tuple[float, float, float]:
    """Return a unit direction turned by a polar angle, with azimuth φ about itself.

    dx, dy, dz : the unit direction; cos_theta : of the polar angle; cos_phi, sin_phi : of the
        azimuth
    """
    sin_theta = math.sqrt(max(0.0, 1.0 - cos_theta * cos_theta))
    across = dx * dx + dy * dy
    if across < 1e-12:
        return sin_theta * cos_phi, sin_theta * sin_phi, math.copysign(cos_theta, dz * cos_theta)
    scale = sin_theta / math.sqrt(across)
    return (
        dx * cos_theta + scale * (dx * dz * cos_phi - dy * sin_phi),
        dy * cos_theta + scale * (dy * dz * cos_phi + dx * sin_phi),
        dz * cos_theta - scale * across * cos_phi,
    )


@bare_kernel
def turned_anyhow(
    dx: float, dy: float, dz: float, cos_theta: float, state: State
) -> tuple[float, float, float]:
    """Return a unit direction turned by a polar angle, with random azimuth.

    Like ``turned`` with azimuth (x, y)/√(x² + y²) of a point in the disc, but with one square root.

    Arguments as for ``turned``; ``state`` : (2,) u8 of the random numbers.
    """
    x, y, square = in_disc(state)
    sine2 = max(0.0, 1.0 - cos_theta * cos_theta)
    across = dx * dx + dy * dy
    if across < 1e-12:
        scale = math.sqrt(sine2 / square)
        return scale * x, scale * y, math.copysign(cos_theta, dz * cos_theta)
    scale = math.sqrt(sine2 / (square * across))
    return (
        dx * cos_theta + scale * (dx * dz * x - dy * y),
        dy * cos_theta + scale * (dy * dz * x + dx * y),
        dz * cos_theta - scale * across * x,
    )


@bare_kernel
def isotropic(state: State) -> tuple[float, float, float]:
    """Return a direction uniform on the sphere (Marsaglia, Ann. Math. Stat. 43 (1972) 645)."""
    x, y, square = in_disc(state)
    scale = 2.0 * math.sqrt(1.0 - square)
    return x * scale, y * scale, 1.0 - 2.0 * square


@bare_kernel
def moved(ray: Ray, way: float) -> Ray:
    """Return the photon moved on by ``way``, in the unit of its place."""
    return Ray(
        ray.x + way * ray.dx, ray.y + way * ray.dy, ray.z + way * ray.dz, ray.dx, ray.dy, ray.dz
    )


@bare_kernel
def scattered(ray: Ray, cos_theta: float, state: State) -> Ray:
    """Return the photon turned by a polar angle, with random azimuth."""
    dx, dy, dz = turned_anyhow(ray.dx, ray.dy, ray.dz, cos_theta, state)
    return Ray(ray.x, ray.y, ray.z, dx, dy, dz)
