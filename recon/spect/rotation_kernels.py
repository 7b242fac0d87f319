"""Kernels of the rotation-based SPECT projector and of its exact adjoint.

The volume is sampled in a camera's own frame: lateral samples a, planes s parallel to its face, the
image's z. ``turned`` values are bilinear in x and y. Forward and back use the same loops and
weights, so one is the transpose of the other to rounding. z is innermost in every array: inner
loops run over neighbours in memory.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hw.arrays import Array
from hw.jit import bare_kernel, kernel


class Turn(NamedTuple):
    """Position of a view's samples in the image: sample (k, i) at column ``x = x0 + i·x_a + k·x_s``
    in voxels, likewise y."""

    x0: float
    x_a: float
    x_s: float
    y0: float
    y_a: float
    y_s: float


@bare_kernel
def _corner(turn: Turn, k: int, i: int) -> tuple[int, int, float, float]:
    x = turn.x0 + i * turn.x_a + k * turn.x_s
    y = turn.y0 + i * turn.y_a + k * turn.y_s
    ix, iy = math.floor(x), math.floor(y)
    return int(ix), int(iy), x - ix, y - iy


@bare_kernel
def _gather(image: Array, turn: Turn, k: int, i: int, row: Array) -> bool:
    """Write the turned values of sample (k, i) to ``row`` (nz,); False if all are outside.

    image : (nx, ny, nz) f4; ``k``, ``i`` : plane and lateral place of the sample
    """
    ix, iy, fx, fy = _corner(turn, k, i)
    if ix < -1 or iy < -1 or ix >= image.shape[0] or iy >= image.shape[1]:
        return False
    for z in range(row.shape[0]):
        row[z] = np.float32(0.0)
    for dx in range(2):
        for dy in range(2):
            jx, jy = ix + dx, iy + dy
            if jx < 0 or jy < 0 or jx >= image.shape[0] or jy >= image.shape[1]:
                continue
            wx, wy = (fx if dx else 1.0 - fx), (fy if dy else 1.0 - fy)
            weight = np.float32(wx * wy)
            for z in range(row.shape[0]):
                row[z] += weight * image[jx, jy, z]
    return True


@bare_kernel
def _scatter(image: Array, turn: Turn, k: int, i: int, row: Array) -> None:
    """Add ``row`` to the image with the weights of ``_gather``.

    Arguments as for ``_gather``.
    """
    ix, iy, fx, fy = _corner(turn, k, i)
    for dx in range(2):
        for dy in range(2):
            jx, jy = ix + dx, iy + dy
            if jx < 0 or jy < 0 or jx >= image.shape[0] or jy >= image.shape[1]:
                continue
            wx, wy = (fx if dx else 1.0 - fx), (fy if dy else 1.0 - fy)
            weight = np.float32(wx * wy)
            for z in range(row.shape[0]):
                image[jx, jy, z] += weight * row[z]


@kernel
def survival(mu: Array, turn: Turn, step_mm: float, row: Array, path: Array, out: Array) -> None:
    """Write the share of photons that leave the object towards the camera, (planes, lateral, nz).

    A sample's own plane counts half. exp(−x) is its series up to x⁶: half a plane has x < 0.4 even
    in bone at 60 keV, where the error is 3·10⁻⁷.

    Parameters
    ----------
    mu : (nx, ny, nz) f4, 1/mm; planes nearer to the camera have larger k
    turn : position of the view's samples in the map
    step_mm : between planes
    row, path : (nz,) f4, scratch
    out : (planes, lateral, nz) f4, filled
    """
    half = np.float32(-0.5 * step_mm)
    c2, c3, c4 = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    c5, c6, one = np.float32(1 / 5), np.float32(1 / 6), np.float32(1.0)
    for i in range(out.shape[1]):
        path[:] = one
        for k in range(out.shape[0] - 1, -1, -1):
            if _gather(mu, turn, k, i, row):
                for z in range(row.shape[0]):
                    x = half * row[z]
                    e = one + x * (
                        one
                        + c2 * x * (one + c3 * x * (one + c4 * x * (one + c5 * x * (one + c6 * x))))
                    )
                    out[k, i, z] = path[z] * e
                    path[z] *= e * e
            else:
                for z in range(row.shape[0]):
                    out[k, i, z] = path[z]


@kernel
def project(
    image: Array, left: Array, turn: Turn, across: Array, a_range: Array, upward: Array,
    v_range: Array, reach: Array, turned: Array, plane: Array, flipped: Array, out: Array,
) -> None:  # fmt: skip
    """Write what a camera sees of an image, (n_v, n_u) f4.

    Parameters
    ----------
    left : (planes, lateral, nz) f4, survival, or (0, 0, 0) without attenuation
    across : (planes, n_u, lateral) f4, lateral response; ``a_range`` (planes, n_u, 2) i4, where it
        is not 0. Planes beyond its length are not in front of the camera
    upward : (planes, nz, n_v) f4, axial response; ``v_range`` (planes, nz, 2) i4
    reach : (planes, 2) i4, range of lateral samples that any pixel sees
    turned (lateral, nz), plane (n_u, nz), flipped (nz, n_u) : scratch, f4
    """
    out[:] = np.float32(0.0)
    attenuated = left.shape[0] > 0
    nz, n_u = plane.shape[1], plane.shape[0]
    for k in range(across.shape[0]):
        for i in range(reach[k, 0], reach[k, 1]):
            if not _gather(image, turn, k, i, turned[i]):
                turned[i] = np.float32(0.0)
            elif attenuated:
                for z in range(nz):
                    turned[i, z] *= left[k, i, z]
        plane[:] = np.float32(0.0)
        for j in range(n_u):
            for i in range(a_range[k, j, 0], a_range[k, j, 1]):
                weight = across[k, j, i]
                for z in range(nz):
                    plane[j, z] += weight * turned[i, z]
        _flip(plane, flipped)
        for z in range(nz):
            for v in range(v_range[k, z, 0], v_range[k, z, 1]):
                weight = upward[k, z, v]
                for j in range(n_u):
                    out[v, j] += weight * flipped[z, j]


@kernel
def project_back(
    seen: Array, left: Array, turn: Turn, across: Array, a_range: Array, upward: Array,
    v_range: Array, reach: Array, turned: Array, plane: Array, flipped: Array, image: Array,
) -> None:  # fmt: skip
    """Add the transpose of :func:`project`, applied to ``seen``, to ``image``.

    Parameters
    ----------
    seen : (n_v, n_u) f4, values of the camera's pixels
    image : (nx, ny, nz) f4, added to
    left, turn, across, a_range, upward, v_range, reach, turned, plane, flipped : as in
        :func:`project`
    """
    attenuated = left.shape[0] > 0
    nz, n_u = plane.shape[1], plane.shape[0]
    for k in range(across.shape[0]):
        flipped[:] = np.float32(0.0)
        for z in range(nz):
            for v in range(v_range[k, z, 0], v_range[k, z, 1]):
                weight = upward[k, z, v]
                for j in range(n_u):
                    flipped[z, j] += weight * seen[v, j]
        _flip(flipped, plane)
        turned[:] = np.float32(0.0)
        for j in range(n_u):
            for i in range(a_range[k, j, 0], a_range[k, j, 1]):
                weight = across[k, j, i]
                for z in range(nz):
                    turned[i, z] += weight * plane[j, z]
        for i in range(reach[k, 0], reach[k, 1]):
            if attenuated:
                for z in range(nz):
                    turned[i, z] *= left[k, i, z]
            _scatter(image, turn, k, i, turned[i])


@bare_kernel
def _flip(a: Array, b: Array) -> None:
    """Write the transpose of ``a`` to ``b``."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            b[j, i] = a[i, j]
