"""The binary encoding of yardl models, driven by the schema in each file.

A file is ``yardl``, the format version 1 as i4, the schema as a string of JSON, then the steps of
the protocol (Microsoft yardl, "Binary encoding", v0.6). Unsigned integers and lengths are LEB128
varints, signed ones zigzag first; floats are little-endian; a string or vector begins with its
length; an array is written as its elements if its shape is fixed, as sizes and elements if its rank
is known, else as rank, sizes and elements; an optional value begins with a byte 0 or 1, a union
with its case number. A record is its fields in order.

Values: records are dicts by the schema's field names, enums and integers int, vectors lists (of
float32: arrays), arrays numpy arrays, times ns since 1970, unions ``(case, value)``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.bounded_files import json_in
from recon.exchange.errors import ExchangeError

MAGIC = b"yardl"
VERSION = 1
MOST_AXES = 32
Buffer = bytes | memoryview
Write = Callable[[bytearray, Any], None]
Read = Callable[[Buffer, int], tuple[Any, int]]

_FLOATS: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
_UNSIGNED = {"uint16", "uint32", "uint64", "size"}
_SIGNED = {"int16", "int32", "int64", "date", "time", "datetime"}


class YardlError(ExchangeError):
    """Bytes do not match their schema, or the schema is not supported."""


@dataclass(frozen=True)
class Codec:
    """How values of a type are written and read; ``floats`` if it is plain consecutive floats."""

    write: Write
    read: Read
    floats: np.dtype[Any] | None = None


class Schema:
    """The types of a schema; :meth:`codec` returns the encoding of one of them."""

    def __init__(self, text: str) -> None:
        try:
            document = json_in(text)
            self.protocol: dict[str, Any] = document["protocol"]
            self._types = {entry["name"]: entry for entry in document["types"]}
        except (ValueError, KeyError, TypeError) as error:
            raise YardlError(f"the file's schema is no yardl schema: {error!r}") from error
        self.text = text

    def definition(self, name: str) -> Any:
        """Return a type's definition, None if the schema does not have it."""
        return self._types.get(name)

    def shape(self, kind: Any) -> Any:
        """Return a type with all names replaced by what they stand for: types of equal shapes have
        equal bytes; raises YardlError."""
        try:
            return self._shape(kind, {})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise YardlError(f"the file's schema is damaged at {kind}: {error!r}") from error

    def codec(self, kind: Any) -> Codec:
        """Return the codec of a type given as in the schema; raises YardlError."""
        try:
            return self._codec(kind, {})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise YardlError(f"the file's schema is damaged at {kind}: {error!r}") from error

    def _shape(self, kind: Any, given: Mapping[str, Any]) -> Any:
        if isinstance(kind, list):
            return [self._shape(one, given) for one in kind]
        if isinstance(kind, str):
            kind = {"name": kind}
        if kind is None or "name" not in kind:
            return kind and {
                key: self._shape(value, given) if key in ("vector", "array", "items", "type")
                else value for key, value in kind.items()
            }  # fmt: skip
        name, entry = kind["name"], self._types.get(kind["name"].rpartition(".")[2])
        if name in given or name in _PLAIN or entry is None:
            return given.get(name, name)
        arguments = [self._shape(one, given) for one in kind.get("typeArguments", [])]
        inner = dict(zip(entry.get("typeParameters", []), arguments, strict=True))
        if "fields" in entry:
            return [self._shape(field["type"], inner) for field in entry["fields"]]
        return self._shape(entry.get("type", entry.get("base", "int32")), inner)

    def _codec(self, kind: Any, given: Mapping[str, Any]) -> Codec:
        """Return a type's codec; ``given``: the arguments of a generic type's parameters."""
        if isinstance(kind, str):
            return self._named(kind, [], given)
        if isinstance(kind, list):
            return self._union(kind, given)
        if "vector" in kind:
            items = self._codec(kind["vector"]["items"], given)
            length = kind["vector"].get("length")
            return _vector(items) if length is None else _fixed_vector(items, length)
        if "array" in kind:
            return _array(self._codec(kind["array"]["items"], given), kind["array"])
        if "name" in kind:
            return self._named(kind["name"], kind.get("typeArguments", []), given)
        raise YardlError(f"type {json.dumps(kind)[:80]} of the schema is not known here")

    def _named(self, name: str, arguments: list[Any], given: Mapping[str, Any]) -> Codec:
        if name in given:
            return self._codec(*given[name])
        if name in _PLAIN:
            return _PLAIN[name]
        entry = self._types.get(name.rpartition(".")[2])
        if entry is None:
            raise YardlError(f"type {name} of the schema is not known here")
        if "values" in entry:
            return _PLAIN[entry.get("base", "int32")]
        bound = [(argument, given) for argument in arguments]
        inner = dict(zip(entry.get("typeParameters", []), bound, strict=True))
        if "fields" in entry:
            fields = [(f["name"], self._codec(f["type"], inner)) for f in entry["fields"]]
            return _record(name, fields)
        return self._codec(entry["type"], inner)

    def _union(self, cases: list[Any], given: Mapping[str, Any]) -> Codec:
        kinds = [case.get("type", case) if isinstance(case, dict) else case for case in cases]
        codecs = [None if kind is None else self._codec(kind, given) for kind in kinds]
        if len(codecs) == 2 and codecs[0] is None and codecs[1] is not None:
            return _optional(codecs[1])
        return _union_of(codecs)


def write_varint(out: bytearray, value: int) -> None:
    """Append an unsigned integer as LEB128."""
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)


def read_varint(data: Buffer, at: int) -> tuple[int, int]:
    """Return the unsigned integer at a position, and the position after it."""
    value, shift = 0, 0
    while True:
        if at >= len(data) or shift > 63:
            raise YardlError(f"the file ends, or is damaged, at byte {at} within an integer")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def write_opening(schema: str) -> bytes:
    """Return the start of a file: magic, version and schema."""
    out = bytearray(MAGIC + struct.pack("<i", VERSION))
    _write_string(out, schema)
    return bytes(out)


def read_opening(data: Buffer) -> tuple[Schema, int]:
    """Return a file's schema and the position of its first step; raises YardlError."""
    if bytes(data[: len(MAGIC)]) != MAGIC or len(data) < 9:
        raise YardlError("no yardl file: it does not begin with 'yardl'")
    version = struct.unpack_from("<i", data, len(MAGIC))[0]
    if version != VERSION:
        raise YardlError(f"yardl binary format {version}: only {VERSION} is known here")
    text, at = _read_string(data, len(MAGIC) + 4)
    return Schema(text), at


# --- codecs of the kinds of types ----------------------------------------------------------------


def _take(data: Buffer, at: int, count: int) -> Buffer:
    if at + count > len(data):
        raise YardlError(f"the file ends {at + count - len(data)} bytes too early")
    return data[at : at + count]


def _write_string(out: bytearray, value: str) -> None:
    raw = value.encode()
    write_varint(out, len(raw))
    out += raw


def _read_string(data: Buffer, at: int) -> tuple[str, int]:
    length, at = read_varint(data, at)
    return bytes(_take(data, at, length)).decode("utf-8", "replace"), at + length


def _write_signed(out: bytearray, value: int) -> None:
    write_varint(out, (value << 1) if value >= 0 else (-value << 1) - 1)


def _read_signed(data: Buffer, at: int) -> tuple[int, int]:
    value, at = read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _float(kind: np.dtype[Any]) -> Codec:
    coder = struct.Struct("<f" if kind.itemsize == 4 else "<d")

    def write(out: bytearray, value: float) -> None:
        out += coder.pack(value)

    def read(data: Buffer, at: int) -> tuple[float, int]:
        return coder.unpack(_take(data, at, coder.size))[0], at + coder.size

    return Codec(write, read, kind)


def _write_byte(out: bytearray, value: int) -> None:
    out.append(int(value))


def _read_byte(data: Buffer, at: int) -> tuple[int, int]:
    return _take(data, at, 1)[0], at + 1


_PLAIN: dict[str, Codec] = {
    "string": Codec(_write_string, _read_string),
    "bool": Codec(_write_byte, _read_byte),
    "uint8": Codec(_write_byte, _read_byte),
    **{name: Codec(write_varint, read_varint) for name in _UNSIGNED},
    **{name: Codec(_write_signed, _read_signed) for name in _SIGNED},
    **{name: _float(kind) for name, kind in _FLOATS.items()},
}


def _record(name: str, fields: list[tuple[str, Codec]]) -> Codec:
    def write(out: bytearray, value: Mapping[str, Any]) -> None:
        if len(value) != len(fields):
            raise YardlError(f"{name}: {sorted(value)} given, {[f for f, _ in fields]} needed")
        for field, codec in fields:
            codec.write(out, value[field])

    def read(data: Buffer, at: int) -> tuple[dict[str, Any], int]:
        value = {}
        for field, codec in fields:
            value[field], at = codec.read(data, at)
        return value, at

    return Codec(write, read, None)


def _vector(items: Codec) -> Codec:
    def write(out: bytearray, value: Any) -> None:
        write_varint(out, len(value))
        _write_items(out, items, value)

    def read(data: Buffer, at: int) -> tuple[Any, int]:
        length, at = read_varint(data, at)
        return _read_items(data, at, items, length)

    return Codec(write, read)


def _fixed_vector(items: Codec, length: int) -> Codec:
    def write(out: bytearray, value: Any) -> None:
        if len(value) != length:
            raise YardlError(f"{len(value)} elements where the schema has {length}")
        _write_items(out, items, value)

    return Codec(write, lambda data, at: _read_items(data, at, items, length))


def _write_items(out: bytearray, items: Codec, value: Any) -> None:
    if items.floats is not None:
        out += np.ascontiguousarray(value, dtype=items.floats).tobytes()
        return
    for one in value:
        items.write(out, one)


def _read_items(data: Buffer, at: int, items: Codec, length: int) -> tuple[Any, int]:
    if items.floats is not None:
        raw = _take(data, at, length * items.floats.itemsize)
        return np.frombuffer(raw, items.floats).copy(), at + len(raw)
    if length > len(data) - at:  # every item has at least a byte
        raise YardlError(f"{length} items at byte {at}: more than the file has bytes")
    values = []
    for _ in range(length):
        one, at = items.read(data, at)
        values.append(one)
    return values, at


def _array(items: Codec, about: Mapping[str, Any]) -> Codec:
    dimensions = about.get("dimensions")
    sizes = [d.get("length") for d in dimensions] if isinstance(dimensions, list) else []
    fixed = tuple(sizes) if sizes and None not in sizes else None
    rank = dimensions if isinstance(dimensions, int) else len(sizes) if sizes else None

    def write(out: bytearray, value: Any) -> None:
        value = np.asarray(value) if items.floats is None else np.asarray(value, items.floats)
        if fixed is None:
            if rank is None:
                write_varint(out, value.ndim)
            for size in value.shape:
                write_varint(out, size)
        elif value.shape != fixed:
            raise YardlError(f"an array of shape {value.shape} where the schema has {fixed}")
        _write_items(out, items, value.reshape(-1))

    def read(data: Buffer, at: int) -> tuple[Any, int]:
        shape = fixed
        if shape is None:
            n, at = read_varint(data, at) if rank is None else (rank, at)
            if n > MOST_AXES:
                raise YardlError(f"an array of {n} axes at byte {at}: at most {MOST_AXES}, damaged")
            found = []
            for _ in range(n):
                size, at = read_varint(data, at)
                found.append(size)
            shape = tuple(found)
        count = 1
        for size in shape:
            count *= size
        values, at = _read_items(data, at, items, count)
        if items.floats is None:
            whole = np.empty(count, dtype=object)
            whole[:] = values
            values = whole
        try:
            return values.reshape(shape), at
        except ValueError as error:  # an empty one of impossible extents
            raise YardlError(f"an array of shape {shape} at byte {at}: damaged") from error

    return Codec(write, read)


def _optional(inner: Codec) -> Codec:
    def write(out: bytearray, value: Any) -> None:
        out.append(value is not None)
        if value is not None:
            inner.write(out, value)

    def read(data: Buffer, at: int) -> tuple[Any, int]:
        there, at = _read_byte(data, at)
        return inner.read(data, at) if there else (None, at)

    return Codec(write, read)


def _union_of(codecs: list[Codec | None]) -> Codec:
    def write(out: bytearray, value: tuple[int, Any]) -> None:
        case, inner = value
        out.append(case)
        codec = codecs[case]
        if codec is not None:
            codec.write(out, inner)

    def read(data: Buffer, at: int) -> tuple[Any, int]:
        case, at = _read_byte(data, at)
        if case >= len(codecs):
            raise YardlError(f"case {case} at byte {at - 1} of a union of {len(codecs)}: damaged")
        codec = codecs[case]
        if codec is None:
            return (case, None), at
        value, at = codec.read(data, at)
        return (case, value), at

    return Codec(write, read)
