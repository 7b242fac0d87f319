"""Orders lines so that neighbours in the list pass through the same voxels.

A line's key holds its transaxial direction, then its distance from the axis, then its height there:
lines of one key pass through the same tube of voxels, which stays in the L1 cache. Directions are
told apart by the slope against the larger of x and y, which needs no arc tangent. A line with an
end that is not finite gets an arbitrary key.

Batches are sorted by counting, in two steps: lines are copied to one of 256 groups by the upper
half of the key, which streams through memory, then each group, small enough for the L1 cache, is
ordered by the lower half. Sorting only indices is half the work, but then every line is fetched
from a random place, which costs 2 to 5 times as much as sorting.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, U2, U4
from hw.jit import bare_kernel
from recon.core.events import Lors

SLOPES, DISTANCES, HEIGHTS = 8, 128, 32
"""Levels of each part of the key (slopes of each of x and y): 16 bits in all."""

HALF = 256
"""Levels of each half of the key."""

FEWEST_SORTED = 2048
"""Smaller batches are not sorted."""


class Order(NamedTuple):
    """A sorted batch: scratch of one thread.

    line : (most, 7) start, end and TOF offset of the lines, in groups
    place : where in ``line`` the batch's i-th line went
    in_order : the places in order
    key, lower : key of the i-th line; lower half of the key at each place
    begin, within : where each group, and within a group each key, begins; HALF + 1 long
    """

    line: F4
    place: U4
    in_order: U4
    key: U2
    lower: U2
    begin: U4
    within: U4


def new_order(most: int) -> Order:
    """Return a scratch for up to ``most`` lines at once."""
    return Order(
        line=np.zeros((most, 7), np.float32),
        place=np.zeros(most, np.uint32),
        in_order=np.zeros(most, np.uint32),
        key=np.zeros(most, np.uint16),
        lower=np.zeros(most, np.uint16),
        begin=np.zeros(HALF + 1, np.uint32),
        within=np.zeros(HALF + 1, np.uint32),
    )


@bare_kernel
def _level(value: np.float32, levels: int) -> np.uint32:
    """Return value · levels, clipped to 0..levels - 1; NaN counts as 0."""
    scaled = value * np.float32(levels)
    scaled = scaled if scaled > np.float32(0.0) else np.float32(0.0)
    return np.uint32(min(scaled, np.float32(levels - 1)))


@bare_kernel
def _find_keys(
    start: F4,
    end: F4,
    radius_mm: float,
    height_mm: float,
    first: int,
    step: int,
    count: int,
    key: U2,
) -> None:
    """Fill ``key[:count]`` of the lines first, first + step, …: a loop without branches.

    start, end : (n, 3), mm; ``radius_mm``, ``height_mm`` : as for ``put_in_order``
    """
    per_radius = np.float32(0.5 / radius_mm)
    per_height = np.float32(0.5 / height_mm)
    half = np.float32(0.5)
    for i in range(count):
        line = first + i * step
        x, y, z = start[line, 0], start[line, 1], start[line, 2]
        dx, dy, dz = end[line, 0] - x, end[line, 1] - y, end[line, 2] - z
        steep = abs(dy) > abs(dx)
        main = y if steep else x
        side = x if steep else y
        inverse = np.float32(1.0) / (dy if steep else dx)
        slope = (dx if steep else dy) * inverse
        distance = side - main * slope
        height = z - main * dz * inverse
        number = _level(half * slope + half, SLOPES) + np.uint32(SLOPES if steep else 0)
        number = number * np.uint32(DISTANCES) + _level(distance * per_radius + half, DISTANCES)
        number = number * np.uint32(HEIGHTS) + _level(height * per_height + half, HEIGHTS)
        key[i] = np.uint16(number)


@bare_kernel
def _begin_groups(key: U2, shift: int, low: int, high: int, begin: U4) -> None:
    """Set ``begin`` to where each half key's lines begin among ``key[low:high]``, from ``low``.

    shift : 8 for the upper half of the keys, 0 for the lower; ``begin`` : (HALF + 1,)
    """
    for k in range(HALF + 1):
        begin[k] = np.uint32(0)
    for i in range(low, high):
        upper_or_lower = (np.uint32(key[i]) >> np.uint32(shift)) & np.uint32(HALF - 1)
        begin[upper_or_lower + np.uint32(1)] += np.uint32(1)
    begin[0] = np.uint32(low)
    for k in range(HALF):
        begin[k + 1] += begin[k]


@bare_kernel
def _copy_lines(
    start: F4, end: F4, offset: F4, first: int, step: int, count: int, order: Order
) -> None:
    """Copy each line to its place.

    start, end : (n, 3), mm; ``offset`` : (n,), mm, or of another length without time of flight
    first, step, count : the lines first, first + step, …; ``order`` : has places and keys, receives
        lines
    """
    line, place, _, key, lower, _, _ = order
    with_tof = len(offset) == len(start)
    for i in range(count):
        event = first + i * step
        at = np.uint64(place[i])
        for k in range(3):
            line[at, k] = start[event, k]
            line[at, 3 + k] = end[event, k]
        line[at, 6] = offset[event] if with_tof else np.float32(0.0)
        lower[at] = key[i]


@bare_kernel
def put_in_order(
    start: F4,
    end: F4,
    offset: F4,
    radius_mm: float,
    height_mm: float,
    first: int,
    step: int,
    count: int,
    order: Order,
) -> None:
    """Fill ``order`` with the ``count`` lines first, first + step, …

    Parameters
    ----------
    start, end : (n, 3) f4, mm
    offset : (n,) f4, mm, or of another length without time of flight
    radius_mm, height_mm : half the range that keys cover, across and along the axis, mm
    first, step, count : which of the lines are taken
    order : filled; see :class:`Order`
    """
    _, place, in_order, key, lower, begin, within = order
    if count < FEWEST_SORTED:
        for i in range(count):
            place[i] = np.uint32(i)
            in_order[i] = np.uint32(i)
        _copy_lines(start, end, offset, first, step, count, order)
        return
    _find_keys(start, end, radius_mm, height_mm, first, step, count, key)
    _begin_groups(key, 8, 0, count, begin)
    for i in range(count):
        upper = np.uint32(key[i]) >> np.uint32(8)
        place[i] = begin[upper]
        begin[upper] += np.uint32(1)
    _copy_lines(start, end, offset, first, step, count, order)
    for group in range(HALF):
        low = np.int64(begin[group - 1]) if group else np.int64(0)
        high = np.int64(begin[group])
        _begin_groups(lower, 0, low, high, within)
        for at in range(low, high):
            half = np.uint32(lower[at]) & np.uint32(HALF - 1)
            in_order[within[half]] = np.uint32(at)
            within[half] += np.uint32(1)


def order_for_cache(lors: Lors) -> npt.NDArray[np.intp]:
    """Return the order (n,) of the lines by direction, distance from the axis and height."""
    n = len(lors)
    order = new_order(n)
    ends = np.abs(lors.start[np.isfinite(lors.start).all(axis=1)])
    extent = ends.max(axis=0, initial=1.0) if len(ends) else np.ones(3, np.float32)
    radius_mm, height_mm = float(max(extent[0], extent[1])), float(extent[2])
    put_in_order(lors.start, lors.end, lors.offset_mm, radius_mm, height_mm, 0, 1, n, order)
    number = np.empty(n, np.intp)
    number[order.place] = np.arange(n)
    return number[order.in_order]
