"""Whole-image operations of the live imager, many times a second: each one pass over memory.

Images are C-order float32 ``[x, y, z]``. Smoothing is separable with symmetric weights; voxels
beyond the edge count as 0. All inner loops run along z, the contiguous axis, and vectorise.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import F4
from hw.jit import kernel


@kernel
def move_statistic(
    statistic: F4, image: F4, ratio: F4, smooth: F4, keep: float, gain: float, share: float
) -> None:
    """S ← keep · S + gain · (Ŝ + share · (smooth Ŝ − Ŝ)) in place, with Ŝ = image · ratio.

    Parameters
    ----------
    statistic : (voxels,) f4, S; changed in place
    image : (voxels,) f4, the present image, emissions/s
    ratio : (voxels,) f4, Σ weight · response / expected over the events
    smooth : (voxels,) f4, the smoothed Ŝ
    keep, gain, share : pure numbers
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
    """image ← (active + frozen) · inverse · scale; return its sum.

    Parameters
    ----------
    active, frozen : (voxels,) f4, the two parts of the statistic
    inverse : (voxels,) f4, 1 / sensitivity, 0 where there can be no activity
    scale : 1 / exposure
    image : (voxels,) f4, filled; results that are not finite become 0
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
    """Fill ``out`` with image · scale where there can be activity, 0 elsewhere. All flat."""
    factor = np.float32(scale)
    for i in range(len(image)):
        out[i] = image[i] * factor if inverse[i] > 0 else np.float32(0.0)
