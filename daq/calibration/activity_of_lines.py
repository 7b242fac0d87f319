"""The place of a compact activity, from lines of response alone: no Δt, hence no skew, is used.

The activity is modelled as f(x, y)·h(z): across the axis an ellipse of unknown centre and axes,
along it a profile of any shape. These give the mean place of each line's annihilations, which a
skew calibration from all coincidences needs. A head fits this model roughly; lungs and limbs do
not.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import F8

PROFILE_mm = 4.0
FLAT_SHARE = 0.3
"""This share of all lines, the flattest ones, gives the axial profile: for them the scanner's
sensitivity does not depend on z.
"""

_LEAST_SENSITIVITY = 0.2
_POINTS, _REACH = 33, 3.0  # of the integral along a line, ± in σ of the ellipse
_AT_ONCE = 1 << 16
_RIDGE = 1e-6


def centre_and_spread(start_mm: F8, along_mm: F8) -> tuple[F8, F8]:
    """Return centre (3,) and covariance (3, 3) in mm of the activity, from lines without times.

    Each line passes its decay at a place x; across the line, P·x is known exactly, P = 1 − u·uᵀ.
    So the centre is the point nearest to all lines, Σ P·(p − c) = 0, and the covariance C solves
    Σ P·(p − c)(p − c)ᵀ·P = Σ P·C·P: both by least squares.
    """
    u = along_mm / np.linalg.norm(along_mm, axis=1)[:, None]
    mean_p = np.eye(3) - u.T @ u / len(u)
    across = start_mm - u * (u * start_mm).sum(axis=1)[:, None]
    centre = np.linalg.solve(mean_p + _RIDGE * np.eye(3), across.mean(axis=0))
    q = across - (centre - u * (u @ centre)[:, None])
    measured = q.T @ q / len(q)
    # P·C·P is linear in C's 9 elements, by the mean of P ⊗ P
    flat = (u[:, :, None] * u[:, None, :]).reshape(len(u), 9)
    two = (flat.T @ flat / len(u)).reshape(3, 3, 3, 3)  # mean of u_i u_j u_k u_l
    eye, one = np.eye(3), flat.mean(axis=0).reshape(3, 3)
    operator = (
        np.einsum("ik,jl->ijkl", eye, eye)
        - np.einsum("ik,jl->ijkl", one, eye)
        - np.einsum("ik,jl->ijkl", eye, one)
        + two
    ).reshape(9, 9)
    spread = np.linalg.lstsq(operator, measured.ravel(), rcond=1e-9)[0].reshape(3, 3)
    values, vectors = np.linalg.eigh((spread + spread.T) / 2)
    values = np.clip(values, max(1e-3 * float(values.max()), 1e-6), None)
    return centre, vectors @ np.diag(values) @ vectors.T


def axial_profile(start_mm: F8, along_mm: F8, centre_mm: F8, *, axial_mm: float) -> tuple[F8, F8]:
    """Return z (k,) in mm and the activity there, (k,), in any unit.

    Nearly flat lines are counted where they pass the centre's axis. A line that rises by d is
    possible only where |z| ≤ (axial_mm − d)/2; the counts are divided by the share of possible
    lines.
    """
    flat = np.abs(along_mm[:, 2]) <= np.quantile(np.abs(along_mm[:, 2]), FLAT_SHARE)
    climb = np.abs(along_mm[flat, 2])
    z_mm = _z_at_axis(start_mm[flat], along_mm[flat], centre_mm)
    bins = max(int(np.ceil(axial_mm / PROFILE_mm)), 1)
    edges = np.linspace(-axial_mm / 2, axial_mm / 2, bins + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    half = np.sort((axial_mm - climb) / 2)
    share = 1 - np.searchsorted(half, np.abs(middle)) / len(half)
    counts = np.histogram(z_mm, bins=edges)[0]
    return middle, counts / np.maximum(share, _LEAST_SENSITIVITY)


def mean_places(start_mm: F8, along_mm: F8, *, axial_mm: float) -> F8:
    """Return where on each line its annihilations are on average, (n,), as a share of the line.

    The mean of s under exp(−½·d(s)²)·h(z(s)), d the distance from the centre in σ of the ellipse
    across the axis, by sums over ±3 σ.
    """
    centre, spread = centre_and_spread(start_mm, along_mm)
    z_mm, profile = axial_profile(start_mm, along_mm, centre, axial_mm=axial_mm)
    profile = np.maximum(profile, 1e-3 * profile.max())  # a line beyond the activity: its foot
    metric = np.linalg.inv(spread[:2, :2])
    found = np.empty(len(start_mm))
    t = np.linspace(-_REACH, _REACH, _POINTS)
    weight = np.exp(-0.5 * t * t)
    for k in range(0, len(found), _AT_ONCE):
        start, along = start_mm[k : k + _AT_ONCE], along_mm[k : k + _AT_ONCE]
        weighted = along[:, :2] @ metric
        curve = (weighted * along[:, :2]).sum(axis=1)
        foot = (weighted * (centre[:2] - start[:, :2])).sum(axis=1) / curve
        s = foot[:, None] + t / np.sqrt(curve)[:, None]
        there = weight * np.interp(start[:, 2:] + s * along[:, 2:], z_mm, profile)
        found[k : k + _AT_ONCE] = (there * s).sum(axis=1) / there.sum(axis=1)
    return found


def _z_at_axis(start_mm: F8, along_mm: F8, centre_mm: F8) -> F8:
    across = along_mm[:, :2]
    s = ((centre_mm[:2] - start_mm[:, :2]) * across).sum(axis=1) / (across**2).sum(axis=1)
    return np.asarray(start_mm[:, 2] + s * along_mm[:, 2])
