"""Joseph's projector as numba kernels: forward, back, and one fused EM pass.

A ray is stepped plane by plane along its dominant axis with bilinear interpolation in the plane
(P. M. Joseph, IEEE Trans. Med. Imaging 1 (1982) 192). ``_trace`` writes the ray down once (voxel
index and weights of each plane); forward and back then read the same list, so they are adjoint by
construction and the EM pass sets each ray up once for both.

What makes it fast: the list is computed in a loop without branches that LLVM vectorises; the
dominant axis is only a choice of strides, made once per ray; indices are unsigned, so no
wrap-around test; the image's zero border replaces bounds checks; planes outside the image, the
LOR's ends or the TOF kernel's support are never visited; sums are split in four. Compiled as
:mod:`hw.jit` says (``bare_kernel``).

Shapes: ``image`` flat padded float32 (see :mod:`recon.grid`); ``start``, ``end`` (n, 3) float32
mm; ``offset`` (n,) float32 mm, positive towards ``end``, unused without TOF. Events
``first, first + step, …, < stop`` are handled. A ray that misses the image contributes nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.jit import bare_kernel
from recon.grid import Lattice
from recon.tof import TofTable

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U4 = npt.NDArray[np.uint32]

EDGE = 1e-6
"""Rays stop this fraction of a voxel short of the border, so that rounding never leaves it."""

LEAST_EXPECTED = 1e-25
"""Expectations below this are treated as zero: dividing by them could overflow float32."""


class Scratch(NamedTuple):
    """One ray written down, plane by plane; one per thread, ``max(shape) + 8`` long."""

    voxel: U4
    near: F4
    far: F4
    side: F4
    product: F4


def new_scratch(lattice: Lattice) -> Scratch:
    """Return a scratch for one thread on this grid."""
    n = int(lattice.size.max()) + 8
    return Scratch(np.zeros(n, np.uint32), *(np.zeros(n, np.float32) for _ in range(4)))


@bare_kernel
def _clip(position: float, slope: float, size: int, low: float, high: float) -> tuple[float, float]:
    """Narrow [low, high] to the planes where position + slope · plane stays in (-1, size)."""
    if abs(slope) > 1e-12:
        one = (EDGE - 1.0 - position) / slope
        two = (size - EDGE - position) / slope
        return max(low, min(one, two)), min(high, max(one, two))
    if position <= EDGE - 1.0 or position >= size - EDGE:
        return 1.0, 0.0
    return low, high


@bare_kernel
def _trace(
    start: F4,
    end: F4,
    offset: F4,
    event: int,
    size: I8,
    voxel: F8,
    stride: I8,
    support_mm: float,
    cells_per_mm: float,
    tof_weight: F4,
    index: U4,
    near: F4,
    far: F4,
    side: F4,
) -> tuple[int, int, int]:
    """Write the ray of ``event`` down; return (planes, stride across, stride beside).

    Plane p lies at ``index[p]`` with weight ``near[p]`` (mm), its neighbour across at ``far[p]``;
    ``side[p]`` is the share of each that goes to the neighbour beside.
    """
    s0 = start[event, 0] / voxel[0] + 0.5 * (size[0] - 1)
    s1 = start[event, 1] / voxel[1] + 0.5 * (size[1] - 1)
    s2 = start[event, 2] / voxel[2] + 0.5 * (size[2] - 1)
    d0 = end[event, 0] / voxel[0] + 0.5 * (size[0] - 1) - s0
    d1 = end[event, 1] / voxel[1] + 0.5 * (size[1] - 1) - s1
    d2 = end[event, 2] / voxel[2] + 0.5 * (size[2] - 1) - s2
    m0 = abs(d0) * voxel[0]
    m1 = abs(d1) * voxel[1]
    m2 = abs(d2) * voxel[2]
    length = math.sqrt(m0 * m0 + m1 * m1 + m2 * m2)
    if m0 >= m1 and m0 >= m2:
        c, dc, a, da, b, db = s0, d0, s1, d1, s2, d2
        nc, na, nb = size[0], size[1], size[2]
        kc, ka, kb = stride[0], stride[1], stride[2]
    elif m1 >= m2:
        c, dc, a, da, b, db = s1, d1, s0, d0, s2, d2
        nc, na, nb = size[1], size[0], size[2]
        kc, ka, kb = stride[1], stride[0], stride[2]
    else:
        c, dc, a, da, b, db = s2, d2, s0, d0, s1, d1
        nc, na, nb = size[2], size[0], size[1]
        kc, ka, kb = stride[2], stride[0], stride[1]
    if not (length > 1e-6 and length < 1e9):  # also refuses NaN and infinite ends
        return 0, ka, kb

    slope_a = da / dc
    slope_b = db / dc
    a -= c * slope_a
    b -= c * slope_b
    low = max(0.0, min(c, c + dc))
    high = min(nc - 1.0, max(c, c + dc))
    low, high = _clip(a, slope_a, na, low, high)
    low, high = _clip(b, slope_b, nb, low, high)
    middle = 0.0
    if support_mm > 0.0:
        middle = c + dc * (0.5 + offset[event] / length)
        reach = support_mm * abs(dc) / length
        low = max(low, middle - reach)
        high = min(high, middle + reach)
    if not low <= high:
        return 0, ka, kb
    first = math.ceil(low)
    planes = math.floor(high) - first + 1
    if planes <= 0:
        return 0, ka, kb

    a += 1.0 + first * slope_a
    b += 1.0 + first * slope_b
    base = np.int32((first + 1) * kc)
    kc4, ka4, kb4 = np.int32(kc), np.int32(ka), np.int32(kb)
    per_plane_mm = length / abs(dc)
    chord = np.float32(per_plane_mm)
    for p in range(planes):
        fa = a + p * slope_a
        fb = b + p * slope_b
        ja = np.int32(fa)
        jb = np.int32(fb)
        index[p] = np.uint32(base + np.int32(p) * kc4 + ja * ka4 + jb * kb4)
        fraction = np.float32(fa - ja) * chord
        far[p] = fraction
        near[p] = chord - fraction
        side[p] = np.float32(fb - jb)
    if support_mm > 0.0:
        cells_per_plane = per_plane_mm * cells_per_mm
        from_middle = first - middle
        for p in range(planes):
            cell = np.uint32(abs(p + from_middle) * cells_per_plane)
            near[p] *= tof_weight[cell]
            far[p] *= tof_weight[cell]
    return planes, ka, kb


@bare_kernel
def _gather(
    image: F4,
    planes: int,
    across: int,
    beside: int,
    index: U4,
    near: F4,
    far: F4,
    side: F4,
    product: F4,
) -> np.float32:
    """Return the line integral of ``image`` over the ray that was written down."""
    ka = np.uint64(across)
    kb = np.uint64(beside)
    one = np.float32(1.0)
    for p in range(planes):
        q = np.uint64(index[p])
        v = side[p]
        u = one - v
        product[p] = near[p] * (u * image[q] + v * image[q + kb]) + far[p] * (
            u * image[q + ka] + v * image[q + ka + kb]
        )
    for p in range(planes, planes + 4):
        product[p] = np.float32(0.0)
    s0 = np.float32(0.0)
    s1 = np.float32(0.0)
    s2 = np.float32(0.0)
    s3 = np.float32(0.0)
    for p in range(0, planes, 4):
        s0 += product[p]
        s1 += product[p + 1]
        s2 += product[p + 2]
        s3 += product[p + 3]
    return (s0 + s1) + (s2 + s3)


@bare_kernel
def _scatter(
    image: F4,
    value: np.float32,
    planes: int,
    across: int,
    beside: int,
    index: U4,
    near: F4,
    far: F4,
    side: F4,
) -> None:
    """Add ``value`` times the ray that was written down to ``image``."""
    ka = np.uint64(across)
    kb = np.uint64(beside)
    for p in range(planes):
        q = np.uint64(index[p])
        v = side[p]
        n = near[p] * value
        f = far[p] * value
        nv = n * v
        fv = f * v
        image[q] += n - nv
        image[q + kb] += nv
        image[q + ka] += f - fv
        image[q + ka + kb] += fv


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
    stop: int,
    step: int,
    out: F4,
) -> None:
    """``out[event]`` = line integral (mm × image unit), × TOF kernel where there is one."""
    size, voxel, stride = lattice
    support, cells, tof_weight = tof
    index, near, far, side, product = scratch
    for event in range(first, stop, step):
        planes, across, beside = _trace(
            start, end, offset, event, size, voxel, stride, support, cells, tof_weight,
            index, near, far, side,
        )  # fmt: skip
        out[event] = _gather(image, planes, across, beside, index, near, far, side, product)


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
    stop: int,
    step: int,
    value: F4,
) -> None:
    """Add ``value[event]`` times each ray to ``image``: the adjoint of ``forward_events``."""
    size, voxel, stride = lattice
    support, cells, tof_weight = tof
    index, near, far, side, _ = scratch
    for event in range(first, stop, step):
        planes, across, beside = _trace(
            start, end, offset, event, size, voxel, stride, support, cells, tof_weight,
            index, near, far, side,
        )  # fmt: skip
        _scatter(image, value[event], planes, across, beside, index, near, far, side)


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
    stop: int,
    step: int,
    weight: F4,
    pair: U4,
    factor: F4,
    addend: F4,
    pair_background: F4,
    totals: F8,
) -> None:
    """Add ``weight / (forward + background)`` times each ray to ``out``: the E-step's heart.

    ``background`` of an event is ``factor[event] * pair_background[pair[event]]``, plus
    ``addend[event]`` unless ``addend`` is empty. ``totals``
    (float64, 4) gains: sum of weights of events used, of events that no voxel explains,
    Σ weight · ln(expected), Σ weight · forward / expected (the events' share that is not
    background).
    """
    size, voxel, stride = lattice
    support, cells, tof_weight = tof
    index, near, far, side, product = scratch
    used = 0.0
    unexplained = 0.0
    log_sum = 0.0
    signal = 0.0
    for event in range(first, stop, step):
        planes, across, beside = _trace(
            start, end, offset, event, size, voxel, stride, support, cells, tof_weight,
            index, near, far, side,
        )  # fmt: skip
        projected = _gather(image, planes, across, beside, index, near, far, side, product)
        w = weight[event]
        expected = projected + factor[event] * pair_background[pair[event]]
        if len(addend):
            expected += addend[event]
        if not (projected > LEAST_EXPECTED and expected < 1e30):
            unexplained += w
            continue
        used += w
        log_sum += w * math.log(expected)
        signal += w * (projected / expected)
        ratio = np.float32(w / expected)
        _scatter(out, ratio, planes, across, beside, index, near, far, side)
    totals[0] += used
    totals[1] += unexplained
    totals[2] += log_sum
    totals[3] += signal
