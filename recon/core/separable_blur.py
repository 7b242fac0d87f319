"""A symmetric blur along each axis of an image in turn; outside, the image is 0."""

from __future__ import annotations

import numpy as np

from hw.arrays import F4
from hw.jit import kernel
from recon.core.grid import Image


def blurred(image: Image, along_x: F4, along_y: F4, along_z: F4) -> Image:
    """Return an image (x, y, z) blurred along its axes; weights from the centre outwards."""
    source = np.ascontiguousarray(image, dtype=np.float32)
    n_x, n_y, n_z = source.shape
    smooth = np.empty_like(source)
    nothing = np.zeros(n_y * n_z, dtype=np.float32)
    smooth_x(source.reshape(n_x, -1), along_x, nothing, smooth.reshape(n_x, -1))
    tall = np.zeros((n_y + 2 * (len(along_y) - 1)) * n_z, dtype=np.float32)
    wide = np.zeros(n_y * (n_z + 2 * (len(along_z) - 1)), dtype=np.float32)
    smooth_yz(smooth, along_y, along_z, tall, wide, np.zeros_like(wide))
    return smooth


@kernel
def _weighed(out: F4, row: F4, weight: float, n: int) -> None:
    """Set ``out`` to weight · row, both (n,) f4."""
    for i in range(n):
        out[i] = weight * row[i]


@kernel
def _both_added(out: F4, before: F4, after: F4, weight: float, n: int) -> None:
    """Add weight · (before + after) to ``out``, all (n,) f4."""
    for i in range(n):
        out[i] += weight * (before[i] + after[i])


@kernel
def smooth_x(planes: F4, weights: F4, nothing: F4, out: F4) -> None:
    """Fill ``out`` with ``planes`` (x, y·z) smoothed along x; weights from the centre outwards.

    nothing : a plane of zeros
    """
    n_x, n = planes.shape
    for x in range(n_x):
        _weighed(out[x], planes[x], weights[0], n)
        for k in range(1, len(weights)):
            before = planes[x - k] if x >= k else nothing
            after = planes[x + k] if x + k < n_x else nothing
            _both_added(out[x], before, after, weights[k], n)


@kernel
def smooth_yz(image: F4, weights_y: F4, weights_z: F4, tall: F4, wide: F4, rows: F4) -> None:
    """Smooth ``image`` along y, then z, in place.

    Parameters
    ----------
    image : (nx, ny, nz) f4
    weights_y, weights_z : (reach + 1,) f4, from the centre outwards
    tall, wide, rows : scratch of zeros: a plane with the reach of the weights before and after it
        along y, flat; a plane with that reach beside each row, flat; and one more of these
    """
    n_x, n_y, n_z = image.shape
    reach_y, reach_z = len(weights_y) - 1, len(weights_z) - 1
    pitch = n_z + 2 * reach_z
    first, n = reach_y * n_z, n_y * n_z
    size = n_y * pitch
    for x in range(n_x):
        plane = image[x].reshape(n)
        _weighed(tall[first:], plane, np.float32(1.0), n)
        _weighed(plane, tall[first:], weights_y[0], n)
        for k in range(1, reach_y + 1):
            step = k * n_z
            _both_added(plane, tall[first - step :], tall[first + step :], weights_y[k], n)
        for y in range(n_y):
            _weighed(wide[reach_z + y * pitch :], plane[y * n_z :], np.float32(1.0), n_z)
        inner = size - 2 * reach_z
        _weighed(rows[reach_z:], wide[reach_z:], weights_z[0], inner)
        for k in range(1, reach_z + 1):
            before, after = wide[reach_z - k :], wide[reach_z + k :]
            _both_added(rows[reach_z:], before, after, weights_z[k], inner)
        for y in range(n_y):
            _weighed(plane[y * n_z :], rows[reach_z + y * pitch :], np.float32(1.0), n_z)
