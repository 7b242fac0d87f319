"""The three inner loops of the projector in explicit vectors, as numba intrinsics.

numba does not join neighbouring loads and stores into vectors, and LLVM turns plain loops over an
image into gathers, which are slow on every CPU. As LLVM vectors, reading a plane's four voxels
takes two loads of two neighbours and one multiplication: forward projection takes half the time
(docs/reconstruction/projector.md). LLVM splits the vectors to the machine's width.

A ray is recorded as ``index`` (uint32, first of the four voxels of each plane) and ``weight``
(float32, 4 a plane: this voxel, beside, across, across and beside), in chunks of ``CHUNK`` planes.
The voxel beside is the next in memory (``*_near``) or ``beside`` away (``*_far``, for rays mainly
along z). Planes beyond the ray's last have weight 0 at index 0, the border.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # numba's own
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

CHUNK = 16
"""Planes recorded at a time; ``index`` must hold a multiple of it."""

UNROLL = 4
"""Planes summed at once, each into a sum of its own."""

FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
TWO, FOUR = ir.VectorType(FLOAT, 2), ir.VectorType(FLOAT, 4)
FLOATS, INTS = ir.VectorType(FLOAT, CHUNK), ir.VectorType(INT, CHUNK)

Value = Any
Builder = Any


def _number(value: int, kind: Value = LONG) -> Value:
    return ir.Constant(kind, value)


def _every(builder: Builder, scalar: Value, lanes: int) -> Value:
    """Return a vector with ``scalar`` in every lane."""
    none = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(none, scalar, _number(0, INT))
    return _mixed(builder, first, none, [0] * lanes)


def _mixed(builder: Builder, one: Value, two: Value, lanes: list[int]) -> Value:
    """Return the chosen lanes of ``one`` and (indices beyond its length) of ``two``."""
    return builder.shuffle_vector(one, two, ir.Constant(ir.VectorType(INT, len(lanes)), lanes))


def _load(builder: Builder, place: Value, kind: Value) -> Value:
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=4)


def _store(builder: Builder, value: Value, place: Value) -> None:
    builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=4)


def _call(builder: Builder, name: str, *values: Value) -> Value:
    """Call an LLVM intrinsic of float vectors."""
    kind = values[0].type
    shape = ir.FunctionType(kind, [value.type for value in values])
    full_name = f"{name}.v{kind.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, shape, full_name), values)


def _data(
    context: Any, builder: Builder, signature: Any, arguments: Any, count: int
) -> list[Value]:
    """Return the data pointers of the first ``count`` arguments, which are arrays."""
    return [
        context.make_array(signature.args[k])(context, builder, arguments[k]).data
        for k in range(count)
    ]


def _planes(builder: Builder, planes: Value) -> Any:
    """Loop over ``planes`` in steps of ``UNROLL``."""
    return cgutils.for_range_slice(builder, _number(0), planes, _number(UNROLL), intp=LONG)


def _places(builder: Builder, image: Value, index: Value, plane: Value, steps: Value) -> Any:
    """Return the addresses of a plane's voxels: two, each with its neighbour, or four."""
    at = builder.gep(image, [builder.zext(builder.load(builder.gep(index, [plane])), LONG)])
    across, beside = steps
    if beside is None:
        return at, builder.gep(at, [across])
    row = builder.gep(at, [across])
    return at, builder.gep(at, [beside]), row, builder.gep(row, [beside])


def _four_of(builder: Builder, places: Any) -> Value:
    """Return a plane's four voxels as a vector."""
    if len(places) == 2:
        near, far = (_load(builder, place, TWO) for place in places)
        return _mixed(builder, near, far, [0, 1, 2, 3])
    four = ir.Constant(FOUR, ir.Undefined)
    for lane, place in enumerate(places):
        four = builder.insert_element(four, builder.load(place), _number(lane, INT))
    return four


def _add_four(builder: Builder, places: Any, four: Value) -> None:
    """Add a vector to a plane's four voxels."""
    if len(places) == 2:
        for place, lanes in zip(places, ([0, 1], [2, 3]), strict=True):
            part = _mixed(builder, four, four, lanes)
            _store(builder, builder.fadd(_load(builder, place, TWO), part), place)
        return
    for lane, place in enumerate(places):
        part = builder.extract_element(four, _number(lane, INT))
        builder.store(builder.fadd(builder.load(place), part), place)


def _sum_code(beside_given: bool) -> Callable[..., Value]:
    def code(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        image, index, weight = _data(context, builder, signature, arguments, 3)
        planes, across = arguments[3:5]
        steps = across, arguments[5] if beside_given else None
        zero = ir.Constant(FOUR, [0.0] * 4)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(UNROLL)]
        with _planes(builder, planes) as (first, _):
            for k in range(UNROLL):
                plane = builder.add(first, _number(k))
                four = _four_of(builder, _places(builder, image, index, plane, steps))
                by = _load(builder, builder.gep(weight, [builder.shl(plane, _number(2))]), FOUR)
                summed = _call(builder, "llvm.fmuladd", four, by, builder.load(sums[k]))
                builder.store(summed, sums[k])
        one, two, three, last = (builder.load(place) for place in sums)
        total = builder.fadd(builder.fadd(one, two), builder.fadd(three, last))
        a, b, c, d = (builder.extract_element(total, _number(k, INT)) for k in range(4))
        return builder.fadd(builder.fadd(a, b), builder.fadd(c, d))

    return code


def _add_code(beside_given: bool) -> Callable[..., Value]:
    def code(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        image, index, weight = _data(context, builder, signature, arguments, 3)
        value = _every(builder, arguments[3], 4)
        planes, across = arguments[4:6]
        steps = across, arguments[6] if beside_given else None
        with _planes(builder, planes) as (first, _):
            for k in range(UNROLL):
                plane = builder.add(first, _number(k))
                by = _load(builder, builder.gep(weight, [builder.shl(plane, _number(2))]), FOUR)
                places = _places(builder, image, index, plane, steps)
                _add_four(builder, places, builder.fmul(by, value))
        return context.get_dummy_value()

    return code


@intrinsic
def sum_near(typing: Any, image: Any, index: Any, weight: Any, planes: Any, across: Any) -> Any:
    """Return Σ weight · image over the recorded ray.

    Parameters
    ----------
    image : (voxels,) f4, padded and flat
    index : (planes,) u4, first of the four voxels of each plane
    weight : (4 · planes,) f4, mm
    planes : number of planes that the ray meets
    across : voxels from the first to the one across
    """
    long = types.int64
    return types.float32(image, index, weight, long, long), _sum_code(False)


@intrinsic
def sum_far(
    typing: Any, image: Any, index: Any, weight: Any, planes: Any, across: Any, beside: Any
) -> Any:
    """Return Σ weight · image over the recorded ray, the voxel beside being ``beside`` away.

    Parameters
    ----------
    image, index, weight, planes, across : as in :func:`sum_near`
    beside : voxels from the first to the one beside
    """
    long = types.int64
    return types.float32(image, index, weight, long, long, long), _sum_code(True)


@intrinsic
def add_near(
    typing: Any, image: Any, index: Any, weight: Any, value: Any, planes: Any, across: Any
) -> Any:
    """Add value · weight to the image along the recorded ray.

    Parameters
    ----------
    image : (voxels,) f4, padded and flat; added to
    value : factor of the whole ray, f4
    index, weight, planes, across : as in :func:`sum_near`
    """
    numbers = types.float32, types.int64, types.int64
    return types.void(image, index, weight, *numbers), _add_code(False)


@intrinsic
def add_far(
    typing: Any,
    image: Any,
    index: Any,
    weight: Any,
    value: Any,
    planes: Any,
    across: Any,
    beside: Any,
) -> Any:
    """Add value · weight to the image along the recorded ray, the voxel beside being ``beside``
    away.

    Parameters
    ----------
    image, index, weight, value, planes, across : as in :func:`add_near`
    beside : voxels from the first to the one beside
    """
    numbers = types.float32, types.int64, types.int64, types.int64
    return types.void(image, index, weight, *numbers), _add_code(True)


def _write_code(with_tof: bool) -> Callable[..., Value]:
    def code(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        arrays = _data(context, builder, signature, arguments, 3 if with_tof else 2)
        first, *scalars = arguments[len(arrays) :]
        spread = [_every(builder, scalar, CHUNK) for scalar in scalars]
        at_a, at_b, slope_a, slope_b, chord, base, step, across, beside, left, limit = spread[:11]
        plane = ir.Constant(INTS, list(range(CHUNK)))
        plane_f = ir.Constant(FLOATS, [float(k) for k in range(CHUNK)])
        a = _call(builder, "llvm.fmuladd", plane_f, slope_a, at_a)
        b = _call(builder, "llvm.fmuladd", plane_f, slope_b, at_b)
        floor_a, floor_b = _call(builder, "llvm.floor", a), _call(builder, "llvm.floor", b)
        rows = builder.mul(builder.fptosi(floor_a, INTS), across)
        cells = builder.mul(builder.fptosi(floor_b, INTS), beside)
        voxel = builder.add(builder.add(base, builder.mul(plane, step)), builder.add(rows, cells))
        on_ray = builder.icmp_signed("<", plane, left)
        voxel = builder.select(on_ray, voxel, ir.Constant(INTS, [0] * CHUNK))
        voxel = builder.select(builder.icmp_unsigned("<", voxel, limit), voxel, limit)
        _store(builder, voxel, builder.gep(arrays[0], [first]))
        if with_tof:
            cell_at, cell_step, last_cell = spread[11:]
            cell = _call(builder, "llvm.fmuladd", plane_f, cell_step, cell_at)
            cell = _call(builder, "llvm.minnum", _call(builder, "llvm.fabs", cell), last_cell)
            chord = builder.fmul(chord, _looked_up(builder, arrays[2], cell))
        chord = builder.select(on_ray, chord, ir.Constant(FLOATS, [0.0] * CHUNK))
        far = builder.fmul(builder.fsub(a, floor_a), chord)
        near = builder.fsub(chord, far)
        share_b = builder.fsub(b, floor_b)
        near_beside, far_beside = builder.fmul(near, share_b), builder.fmul(far, share_b)
        near_here, far_here = builder.fsub(near, near_beside), builder.fsub(far, far_beside)
        four = (near_here, near_beside, far_here, far_beside)
        _store_in_turn(builder, four, builder.gep(arrays[1], [builder.shl(first, _number(2))]))
        return context.get_dummy_value()

    return code


def _looked_up(builder: Builder, table: Value, place: Value) -> Value:
    """Return the table's entries at (truncated) positions: one by one, faster than a gather."""
    cells = builder.fptosi(place, INTS)
    found = ir.Constant(FLOATS, ir.Undefined)
    for lane in range(CHUNK):
        cell = builder.zext(builder.extract_element(cells, _number(lane, INT)), LONG)
        entry = builder.load(builder.gep(table, [cell]))
        found = builder.insert_element(found, entry, _number(lane, INT))
    return found


def _store_in_turn(builder: Builder, four: tuple[Value, ...], place: Value) -> None:
    """Store the first lanes of four vectors, then their second lanes, and so on."""
    half = CHUNK // 2
    for k in range(2):
        pairs = [lane for i in range(k * half, (k + 1) * half) for lane in (i, i + CHUNK)]
        near = _mixed(builder, four[0], four[1], pairs)
        far = _mixed(builder, four[2], four[3], pairs)
        for m in range(2):
            starts = range(m * half, (m + 1) * half, 2)
            quads = [lane for i in starts for lane in (i, i + 1, i + CHUNK, i + CHUNK + 1)]
            part = builder.gep(place, [_number((2 * k + m) * CHUNK)])
            _store(builder, _mixed(builder, near, far, quads), part)


_ONE, _WHOLE = types.float32, types.int32
_PLACE = [types.int64, _ONE, _ONE, _ONE, _ONE, _ONE, *([_WHOLE] * 6)]


@intrinsic
def write_chunk(
    typing: Any,
    index: Any,
    weight: Any,
    first: Any,
    at_a: Any,
    at_b: Any,
    slope_a: Any,
    slope_b: Any,
    chord: Any,
    base: Any,
    step: Any,
    across: Any,
    beside: Any,
    left: Any,
    limit: Any,
) -> Any:
    """Record ``CHUNK`` planes of a ray.

    Plane p of them meets the point (at_a + p · slope_a, at_b + p · slope_b) across and beside,
    counted in voxels from the cell ``base + p · step``.

    Parameters
    ----------
    index : (planes,) u4, filled with the first of the four voxels of each plane
    weight : (4 · planes,) f4, mm, filled with the weights of the four
    first : place of the first plane in ``index``
    at_a, at_b : f4, place across and beside at the first plane, in voxels
    slope_a, slope_b : f4, change of these from plane to plane
    chord : f4, length of the ray from plane to plane, mm
    base : index of the voxel from which places of the first plane are counted
    step : voxels from plane to plane
    across, beside : voxels to the next one across and beside
    left : how many of the planes belong to the ray; the others get weight 0 at index 0
    limit : greatest index that is written
    """
    return types.void(index, weight, *_PLACE), _write_code(False)


@intrinsic
def write_chunk_tof(
    typing: Any,
    index: Any,
    weight: Any,
    table: Any,
    first: Any,
    at_a: Any,
    at_b: Any,
    slope_a: Any,
    slope_b: Any,
    chord: Any,
    base: Any,
    step: Any,
    across: Any,
    beside: Any,
    left: Any,
    limit: Any,
    cell_at: Any,
    cell_step: Any,
    last_cell: Any,
) -> Any:
    """Do what :func:`write_chunk` does, times the TOF kernel at each plane.

    Parameters
    ----------
    table : (cells,) f4, the kernel over the distance from the time bin's centre
    cell_at : f4, place of the first plane in the table; may be negative, the kernel is symmetric
    cell_step : f4, change of it from plane to plane
    last_cell : f4, greatest place that is looked up
    index, weight, first, at_a, at_b, slope_a, slope_b, chord, base, step, across, beside, left,
        limit : as in :func:`write_chunk`
    """
    numbers = [*_PLACE, _ONE, _ONE, _ONE]
    return types.void(index, weight, table, *numbers), _write_code(True)
