"""Joseph's projector as numba kernels: forward, back, and one fused EM pass.

A ray is followed plane by plane along its dominant axis with bilinear interpolation in the plane
(P. M. Joseph, IEEE Trans. Med. Imaging 1 (1982) 192). ``_write_ray`` records the ray once (voxel
and four weights of each plane); forward and back then read the same list, so they are adjoint by
construction and the EM pass sets up each ray once for both.

Lines are taken in batches, each sorted so that neighbours meet the same voxels
(:mod:`recon.projector.event_order`), and set up ``BLOCK`` at a time in a loop without branches that
LLVM vectorises. Planes outside the image, the line's ends or the TOF kernel's support are never
visited; the image's zero border replaces bounds checks. What each step costs, and what else was
tried: docs/reconstruction/projector.md. Compiled as :mod:`hw.jit` says (``bare_kernel``).

Shapes: ``image`` flat padded float32 (:mod:`recon.core.grid`); ``start``, ``end`` (n, 3) and
``offset`` (n,) float32 mm (:mod:`recon.core.events`); numbers of each line (n,). ``count`` lines
``first, first + step, …`` are handled, with the ``scratch`` of one lane. A line that misses the
image, or whose ends are not finite, contributes nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hw.arrays import F4, F8, I4, U4
from hw.jit import bare_kernel
from recon.core.grid import Lattice
from recon.core.tof import TofTable
from recon.projector.event_order import Order, new_order, put_in_order
from recon.projector.vector_loops import (
    CHUNK,
    add_far,
    add_near,
    sum_far,
    sum_near,
    write_chunk,
    write_chunk_tof,
)

EDGE = 1e-6
"""Rays stop this fraction of a voxel short of the border."""

LEAST_EXPECTED = 1e-25
"""Expectations below this are treated as zero: dividing by them could overflow float32."""

MOST_EXPECTED = 1e30

BATCH = 1 << 18
"""Lines sorted at once: the more there are, the less often each voxel is fetched."""

BLOCK = 256
"""Lines set up at once."""


class Block(NamedTuple):
    """``BLOCK`` lines set up for projection; positions in voxels of the padded image.

    a, slope_a, b, slope_b : place across and beside at the first plane, and per plane
    chord, cell, cell_step : mm per plane; cell of the TOF table at the first plane, and per plane
    base, planes, axis : index of the first plane, their number, dominant axis 0..2
    line : (7, BLOCK), start, end and TOF offset
    """

    a: F8
    slope_a: F8
    b: F8
    slope_b: F8
    chord: F4
    cell: F4
    cell_step: F4
    base: I4
    planes: I4
    axis: I4
    line: F4


class Scratch(NamedTuple):
    """The scratch memory of one lane.

    order, block : of the lines at hand
    voxel, weight : one recorded ray
    value, other : (BATCH,) numbers of each line, at its place in ``order.line``
    """

    order: Order
    block: Block
    voxel: U4
    weight: F4
    value: F4
    other: F4


def new_scratch(lattice: Lattice) -> Scratch:
    """Return a scratch for one thread on this grid."""
    planes = int(lattice.size.max()) + 2 * CHUNK
    single, double, whole = np.float32, np.float64, np.int32
    kinds = [double] * 4 + [single] * 3 + [whole] * 3
    arrays: list[Any] = [np.zeros(BLOCK, kind) for kind in kinds]
    arrays.append(np.zeros((7, BLOCK), single))
    return Scratch(
        new_order(BATCH),
        Block(*arrays),
        voxel=np.zeros(planes, np.uint32),
        weight=np.zeros(4 * planes, np.float32),
        value=np.zeros(BATCH, np.float32),
        other=np.zeros(BATCH, np.float32),
    )


@bare_kernel
def _inside(position: float, slope: float, size: float) -> tuple[float, float]:
    """Return the range of planes for which position + slope · plane stays in (-1, size)."""
    level = abs(slope) <= 1e-12
    inverse = 1.0 / (1.0 if level else slope)
    one = (EDGE - 1.0 - position) * inverse
    two = (size - EDGE - position) * inverse
    never = (position <= EDGE - 1.0) | (position >= size - EDGE)
    low = -1e30 if level else min(one, two)
    high = (-1e30 if never else 1e30) if level else max(one, two)
    return low, high


@bare_kernel
def _set_up(
    order: Order, begin: int, count: int, lattice: Lattice, tof: TofTable, out: Block
) -> None:
    """Set up ``count`` lines from the ``begin``-th in order: a loop without branches.

    lattice, tof : the grid and the TOF kernel, ``support_mm`` 0 without; ``out`` : receives the
        lines
    """
    size, voxel, stride = lattice
    support_mm, cells_per_mm, _ = tof
    a_out, slope_a_out, b_out, slope_b_out, chord, cell, cell_step, base, planes, axis, line = out
    n0, n1, n2 = float(size[0]), float(size[1]), float(size[2])
    v0, v1, v2 = voxel[0], voxel[1], voxel[2]
    per0, per1, per2 = 1.0 / v0, 1.0 / v1, 1.0 / v2
    k0, k1, k2 = np.int32(stride[0]), np.int32(stride[1]), np.int32(stride[2])
    with_tof = support_mm > 0.0
    for r in range(count):  # apart, for LLVM does not vectorise a loop that picks its input
        at = np.uint64(order[2][begin + r])
        for k in range(7):
            line[k, r] = order[0][at, k]
    for r in range(count):
        s0 = line[0, r] * per0 + 0.5 * (n0 - 1.0)
        s1 = line[1, r] * per1 + 0.5 * (n1 - 1.0)
        s2 = line[2, r] * per2 + 0.5 * (n2 - 1.0)
        d0 = line[3, r] * per0 + 0.5 * (n0 - 1.0) - s0
        d1 = line[4, r] * per1 + 0.5 * (n1 - 1.0) - s1
        d2 = line[5, r] * per2 + 0.5 * (n2 - 1.0) - s2
        m0, m1, m2 = abs(d0) * v0, abs(d1) * v1, abs(d2) * v2
        length = math.sqrt(m0 * m0 + m1 * m1 + m2 * m2)
        along_x = (m0 >= m1) & (m0 >= m2)
        along_y = (not along_x) & (m1 >= m2)
        along_z = not (along_x | along_y)
        c = s0 if along_x else (s1 if along_y else s2)
        dc = d0 if along_x else (d1 if along_y else d2)
        nc = n0 if along_x else (n1 if along_y else n2)
        inverse = 1.0 / dc
        slope_a = (d1 if along_x else d0) * inverse
        slope_b = (d1 if along_z else d2) * inverse
        a = (s1 if along_x else s0) - c * slope_a
        b = (s1 if along_z else s2) - c * slope_b
        low_a, high_a = _inside(a, slope_a, n1 if along_x else n0)
        low_b, high_b = _inside(b, slope_b, n1 if along_z else n2)
        low = max(max(0.0, min(c, c + dc)), max(low_a, low_b))
        high = min(min(nc - 1.0, max(c, c + dc)), min(high_a, high_b))
        per_plane_mm = length * abs(inverse)
        middle = 0.0
        if with_tof:
            middle = c + dc * (0.5 + line[6, r] / length)
            reach = support_mm / per_plane_mm
            low = max(low, middle - reach)
            high = min(high, middle + reach)
        # "not" of a comparison also refuses not-a-number; infinite ends have infinite length
        usable = (length > 1e-6) & (length < 1e9) & (low <= high)
        first = math.ceil(low if usable else 0.0)
        last = math.floor(high if usable else -1.0)
        a_out[r] = a + 1.0 + first * slope_a
        b_out[r] = b + 1.0 + first * slope_b
        slope_a_out[r] = slope_a
        slope_b_out[r] = slope_b
        chord[r] = np.float32(per_plane_mm)
        cell[r] = np.float32((first - middle) * per_plane_mm * cells_per_mm)
        cell_step[r] = np.float32(per_plane_mm * cells_per_mm)
        base[r] = (np.int32(first) + np.int32(1)) * (k0 if along_x else (k1 if along_y else k2))
        planes[r] = np.int32(max(last - first + 1.0, 0.0))
        axis[r] = np.int32(0) if along_x else (np.int32(1) if along_y else np.int32(2))


@bare_kernel
def _write_ray(
    block: Block, r: int, lattice: Lattice, tof: TofTable, limit: int, index: U4, weight: F4
) -> tuple[np.int64, np.int64, np.int64]:
    """Record ray ``r`` of the block; return (planes, stride across, stride beside).

    The position at each chunk's first plane is computed in double precision, the rest of the chunk
    relative to it in single: errors stay below 2e-6 voxels on any grid.

    ``limit`` : the last voxel to be read. ``index``, ``weight`` : receive the voxel, and the four
    weights in mm, of each plane.
    """
    _, _, stride = lattice
    support_mm, _, table = tof
    all_a, all_slope_a, all_b, all_slope_b, chord, cell, cell_step, base, all_planes, axis, _ = (
        block
    )
    planes = np.int64(all_planes[r])
    step = np.int32(stride[axis[r]])
    across = np.int32(stride[1] if axis[r] == 0 else stride[0])
    beside = np.int32(stride[1] if axis[r] == 2 else stride[2])
    last_cell = np.float32(len(table) - 1)
    slope_a, slope_b = all_slope_a[r], all_slope_b[r]
    for first in range(0, planes, CHUNK):
        a = all_a[r] + first * slope_a
        b = all_b[r] + first * slope_b
        whole_a, whole_b = math.floor(a), math.floor(b)
        here = (
            base[r]
            + np.int32(first) * step
            + np.int32(whole_a) * across
            + np.int32(whole_b) * beside
        )
        if support_mm > 0.0:
            write_chunk_tof(
                index, weight, table, first, np.float32(a - whole_a), np.float32(b - whole_b),
                np.float32(slope_a), np.float32(slope_b), chord[r], here, step, across, beside,
                np.int32(planes - first), np.int32(limit),
                cell[r] + np.float32(first) * cell_step[r], cell_step[r], last_cell,
            )  # fmt: skip
        else:
            write_chunk(
                index, weight, first, np.float32(a - whole_a), np.float32(b - whole_b),
                np.float32(slope_a), np.float32(slope_b), chord[r], here, step, across, beside,
                np.int32(planes - first), np.int32(limit),
            )  # fmt: skip
    return planes, np.int64(across), np.int64(beside)


@bare_kernel
def _sum(image: F4, planes: int, across: int, beside: int, index: U4, weight: F4) -> np.float32:
    """Return Σ weight · image along a ray recorded in ``index`` and ``weight``."""
    if beside == 1:
        return sum_near(image, index, weight, planes, across)
    return sum_far(image, index, weight, planes, across, beside)


@bare_kernel
def _add(
    image: F4, value: np.float32, planes: int, across: int, beside: int, index: U4, weight: F4
) -> None:
    """Add value · weight to the image along a ray recorded in ``index`` and ``weight``."""
    if beside == 1:
        add_near(image, index, weight, value, planes, across)
    else:
        add_far(image, index, weight, value, planes, across, beside)


@bare_kernel
def _last_place(image: F4, lattice: Lattice) -> int:
    """Return the last index whose neighbours are in the image; it lies in the border."""
    return len(image) - 1 - lattice[2][0] - lattice[2][1]


@bare_kernel
def _sort(
    start: F4,
    end: F4,
    offset: F4,
    lattice: Lattice,
    first: int,
    step: int,
    count: int,
    order: Order,
) -> None:
    """Put lines in order for this grid; the other arguments as for ``put_in_order``."""
    size, voxel, _ = lattice
    radius_mm = 0.5 * max(size[0] * voxel[0], size[1] * voxel[1])
    height_mm = 0.5 * size[2] * voxel[2]
    put_in_order(start, end, offset, radius_mm, height_mm, first, step, count, order)


@bare_kernel
def forward_events(
    image: F4,
    start: F4,
    end: F4,
    offset: F4,
    lattice: Lattice,
    tof: TofTable,
    scratch: Scratch,
    first: int,
    step: int,
    count: int,
    out: F4,
) -> None:
    """Set ``out[line]`` to the line integral (mm × image unit), × TOF kernel if there is one.

    Parameters
    ----------
    image : flat padded f4
    start, end, offset : (n, 3), (n, 3) and (n,) f4, mm: the lines; no offsets without TOF
    lattice, tof : the image's grid and the TOF kernel
    scratch : of one lane
    first, step, count : which of the lines are projected
    out : (n,) f4, filled where a line is projected
    """
    order, block, index, weight, value, _ = scratch
    limit = _last_place(image, lattice)
    _sort(start, end, offset, lattice, first, step, count, order)
    for begin in range(0, count, BLOCK):
        n = min(BLOCK, count - begin)
        _set_up(order, begin, n, lattice, tof, block)
        for r in range(n):
            planes, across, beside = _write_ray(block, r, lattice, tof, limit, index, weight)
            value[order[2][begin + r]] = _sum(image, planes, across, beside, index, weight)
    for i in range(count):
        out[first + i * step] = value[order[1][i]]


@bare_kernel
def back_events(
    image: F4,
    start: F4,
    end: F4,
    offset: F4,
    lattice: Lattice,
    tof: TofTable,
    scratch: Scratch,
    first: int,
    step: int,
    count: int,
    values: F4,
) -> None:
    """Add ``values[line]`` times each ray to ``image``: adjoint of ``forward_events``.

    Parameters
    ----------
    image : flat padded f4, added to
    start, end, offset, lattice, tof, scratch, first, step, count : as in ``forward_events``
    values : (n,) f4, one for each line
    """
    order, block, index, weight, value, _ = scratch
    limit = _last_place(image, lattice)
    _sort(start, end, offset, lattice, first, step, count, order)
    for i in range(count):
        value[order[1][i]] = values[first + i * step]
    for begin in range(0, count, BLOCK):
        n = min(BLOCK, count - begin)
        _set_up(order, begin, n, lattice, tof, block)
        for r in range(n):
            planes, across, beside = _write_ray(block, r, lattice, tof, limit, index, weight)
            _add(image, value[order[2][begin + r]], planes, across, beside, index, weight)


@bare_kernel
def em_events(
    image: F4,
    out: F4,
    start: F4,
    end: F4,
    offset: F4,
    lattice: Lattice,
    tof: TofTable,
    scratch: Scratch,
    first: int,
    step: int,
    count: int,
    weights: F4,
    addend: F4,
    totals: F8,
) -> None:
    """Add weight / expected times each event's ray to ``out``.

    Expected is the forward projection plus ``addend[event]`` (if there is one). An event whose
    weight is not finite counts as one that no voxel explains.

    Parameters
    ----------
    image : flat padded f4, the present image
    out : the same shape, added to
    start, end, offset, lattice, tof, scratch, first, step, count : as in ``forward_events``
    weights : (n,) f4, of each event
    addend : (n,) f4, expected background in the unit of the projection; empty for none
    totals : (4,) f8, added to: the weight of events used, the weight of events that no voxel
        explains, Σ weight · ln(expected), and Σ weight · forward / expected (the events' share that
        is not background)
    """
    order, block, index, by, weight, background = scratch
    limit = _last_place(image, lattice)
    used = 0.0
    unexplained = 0.0
    log_sum = 0.0
    signal = 0.0
    _sort(start, end, offset, lattice, first, step, count, order)
    for i in range(count):
        event = first + i * step
        at = order[1][i]
        weight[at] = weights[event]
        background[at] = addend[event] if len(addend) else np.float32(0.0)
    for begin in range(0, count, BLOCK):
        n = min(BLOCK, count - begin)
        _set_up(order, begin, n, lattice, tof, block)
        for r in range(n):
            at = order[2][begin + r]
            planes, across, beside = _write_ray(block, r, lattice, tof, limit, index, by)
            projected = _sum(image, planes, across, beside, index, by)
            w = weight[at]
            expected = np.float64(projected) + background[at]
            explained = projected > LEAST_EXPECTED and LEAST_EXPECTED < expected < MOST_EXPECTED
            if not (explained and abs(w) < MOST_EXPECTED):
                unexplained += w if abs(w) < MOST_EXPECTED else 1.0
                continue
            used += w
            log_sum += w * math.log(expected)
            signal += w * (projected / expected)
            _add(out, np.float32(w / expected), planes, across, beside, index, by)
    totals[0] += used
    totals[1] += unexplained
    totals[2] += log_sum
    totals[3] += signal
