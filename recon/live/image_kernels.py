"""What the live imager does to whole images many times a second, each in one pass over memory.

Images are C-order float32 ``[x, y, z]``. Smoothing is separable with symmetric weights; voxels
beyond the edge count as 0. All inner loops run along z, the contiguous axis, and vectorise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.jit import kernel

F4 = npt.NDArray[np.float32]


@kernel
def _weighed(out: F4, row: F4, weight: float, n: int) -> None:
    for i in range(n):
        out[i] = weight * row[i]


@kernel
def _both_added(out: F4, before: F4, after: F4, weight: float, n: int) -> None:
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


@kernel
def move_statistic(
    statistic: F4, image: F4, ratio: F4, smooth: F4, keep: float, gain: float, share: float
) -> None:
    """S ← keep · S + gain · (Ŝ + share · (smooth Ŝ − Ŝ)) in place, with Ŝ = image · ratio.

    All images flat; ``smooth`` is the smoothed Ŝ.
    """
    kept, gained, smoothed = np.float32(keep), np.float32(gain), np.float32(share)
    for i in range(len(statistic)):
        estimate = image[i] * ratio[i]
        estimate += smoothed * (smooth[i] - estimate)
        if not (0.0 <= estimate < 1e30):
            estimate = np.float32(0.0)
        statistic[i] = kept * statistic[i] + gained * estimate


@kernel
def maximise(active: F4, frozen: F4, inverse: F4, scale: float, image: F4) -> float:
    """image ← (active + frozen) · inverse · scale; return its sum. All flat.

    inverse : 1 / sensitivity, 0 where no activity may be; what is not finite becomes 0
    """
    total = 0.0
    factor = np.float32(scale)
    for i in range(len(image)):
        value = (active[i] + frozen[i]) * inverse[i] * factor
        if not (0.0 <= value < 1e30):
            value = np.float32(0.0)
        image[i] = value
        total += value
    return total


@kernel
def lift(image: F4, inverse: F4, floor: float) -> None:
    """Raise voxels that may hold activity to at least ``floor``. All flat."""
    least = np.float32(floor)
    for i in range(len(image)):
        if inverse[i] > 0 and image[i] < least:
            image[i] = least


@kernel
def show(image: F4, inverse: F4, scale: float, out: F4) -> None:
    """Fill ``out`` with image · scale where activity may be, 0 elsewhere. All flat."""
    factor = np.float32(scale)
    for i in range(len(image)):
        out[i] = image[i] * factor if inverse[i] > 0 else np.float32(0.0)
