"""Phantoms from files: shapes in a ``.toml``, or arrays in a ``.npz`` (docs/emulator/phantoms.md).

Misspelt or impossible entries are refused, naming the key, the value and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from emulator.object.painting import MAX_VOXELS, Canvas, Kind, Shape
from emulator.object.phantom import Phantom, PhantomError, Triple
from emulator.physics.materials import MaterialError, material_name
from hw.bounded_files import FileRefused, read_npz, read_toml

MOST = 1e12
"""No length in mm, activity or density of a phantom is larger."""

SUFFIXES = (".toml", ".npz")
MOST_BYTES = 20 * MAX_VOXELS
"""Of an npz in memory: activity and µ as f8, material and region."""

_TOP = {"name", "grid", "shape"}
_GRID = {"voxel_mm", "extent_mm", "centre_mm"}
_COMMON = {
    "kind", "centre_mm", "turn_deg", "material", "density_g_per_cm3", "activity", "region",
}  # fmt: skip
_SIZES = {
    "sphere": {"radius_mm"},
    "ellipsoid": {"radii_mm"},
    "cylinder": {"radius_mm", "radii_mm", "length_mm"},
    "box": {"size_mm"},
}
_NEEDED_ARRAYS = {"activity", "mu_per_mm", "voxel_mm"}
_ARRAYS = {*_NEEDED_ARRAYS, "origin_mm", "material", "materials", "region", "region_names"}


def load_phantom(path: str | Path) -> Phantom:
    """Return the phantom of a ``.toml`` or ``.npz`` file, not yet checked against a scanner.

    Raises
    ------
    PhantomError
        for a missing or unreadable file, an unknown key or material, or an impossible value.
    """
    path = Path(path)
    if not path.is_file():
        raise PhantomError(f"phantom file {path} does not exist; give a .toml or .npz that does")
    return _load_arrays(path) if path.suffix == ".npz" else _load_shapes(path)


def read_shapes(path: str | Path) -> list[Shape]:
    """Return the shapes of a ``.toml`` file in order; raises PhantomError like ``load_phantom``."""
    return _shapes(f"phantom file {path}", _content(Path(path)))


def _load_shapes(path: Path) -> Phantom:
    content, where = _content(path), f"phantom file {path}"
    grid = _table(where, "grid", content["grid"])
    _known(f"{where}, [grid]", grid, _GRID, {"voxel_mm", "extent_mm"})
    canvas = Canvas(
        str(content.get("name", path.stem)),
        voxel_mm=_lengths(f"{where}, [grid]", grid, "voxel_mm", spread=True),
        extent_mm=_lengths(f"{where}, [grid]", grid, "extent_mm"),
        centre_mm=_place(f"{where}, [grid]", grid),
    )
    for shape in _shapes(where, content):
        canvas.paint(shape)
    return canvas.phantom()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_toml(path)
    except FileRefused as error:
        raise PhantomError(f"phantom file {path}: {error}") from None
    _known(f"phantom file {path}", content, _TOP, {"grid", "shape"})
    return content


def _shapes(where: str, content: Mapping[str, Any]) -> list[Shape]:
    shapes = content["shape"]
    if not isinstance(shapes, list):
        raise PhantomError(f"{where}: shapes are tables [[shape]], with double brackets")
    return [
        _shape(f"{where}, shape {number}", _table(where, "shape", table))
        for number, table in enumerate(shapes, 1)
    ]


def _shape(where: str, table: Mapping[str, Any]) -> Shape:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _SIZES:
        raise PhantomError(f"{where}: kind is {kind!r}, not one of {', '.join(_SIZES)}")
    _known(where, table, _COMMON | _SIZES[kind])
    material = table.get("material")
    if material is not None:
        try:
            material_name(str(material))
        except MaterialError as error:
            raise PhantomError(f"{where}: {error}") from None
    if "density_g_per_cm3" in table and material is None:
        raise PhantomError(f"{where}: density_g_per_cm3 without a material; state both")
    return Shape(
        kind=cast(Kind, kind),
        half_mm=_half(where, kind, table),
        centre_mm=_place(where, table),
        turn_deg=_number(where, table, "turn_deg") if "turn_deg" in table else 0.0,
        material=material,
        density_g_per_cm3=_amount(where, table, "density_g_per_cm3"),
        activity=_amount(where, table, "activity"),
        region=table.get("region"),
    )


def _half(where: str, kind: str, table: Mapping[str, Any]) -> Triple:
    if kind == "sphere":
        return (_length(where, table, "radius_mm"),) * 3
    if kind == "ellipsoid":
        return _lengths(where, table, "radii_mm")
    if kind == "box":
        a, b, c = _lengths(where, table, "size_mm")
        return a / 2, b / 2, c / 2
    half_length = _length(where, table, "length_mm") / 2
    if "radii_mm" in table:
        given = table["radii_mm"]
        radii = [*given, 1.0] if isinstance(given, list) else given
        a, b, _ = _lengths(where, {"radii_mm": radii}, "radii_mm")
        return a, b, half_length
    return (*(_length(where, table, "radius_mm"),) * 2, half_length)


def _known(where: str, table: Iterable[str], known: set[str], needed: Iterable[str] = ()) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise PhantomError(f"{where}: unknown key {key!r}; {hint}")
    for key in needed:
        if key not in table:
            raise PhantomError(f"{where}: {key!r} is missing")


def _table(where: str, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise PhantomError(f"{where}: {key} must be a table, not {value!r}")
    return value


def _number(where: str, table: Mapping[str, Any], key: str) -> float:
    if key not in table:
        raise PhantomError(f"{where}: {key!r} is missing")
    value = table[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= MOST:
        raise PhantomError(f"{where}: {key} is {value!r}, not a number within ±{MOST:g}")
    return float(value)


def _length(where: str, table: Mapping[str, Any], key: str) -> float:
    value = _number(where, table, key)
    if value <= 0:
        raise PhantomError(f"{where}: {key} is {value:g}; it must be above 0")
    return value


def _amount(where: str, table: Mapping[str, Any], key: str) -> float | None:
    if key not in table:
        return None
    value = _number(where, table, key)
    if value < 0:
        raise PhantomError(f"{where}: {key} is {value:g}; it cannot be negative")
    return value


def _triple(where: str, table: Mapping[str, Any], key: str) -> Triple:
    values = table.get(key)
    if not isinstance(values, list) or len(values) != 3:
        raise PhantomError(f"{where}: {key} is {values!r}, not [x, y, z]")
    x, y, z = (_number(where, {key: value}, key) for value in values)
    return x, y, z


def _place(where: str, table: Mapping[str, Any]) -> Triple:
    return _triple(where, table, "centre_mm") if "centre_mm" in table else (0.0, 0.0, 0.0)


def _lengths(where: str, table: Mapping[str, Any], key: str, *, spread: bool = False) -> Triple:
    if spread and not isinstance(table.get(key), list):
        return (_length(where, table, key),) * 3
    triple = _triple(where, table, key)
    for value in triple:
        _length(where, {key: value}, key)
    return triple


def _load_arrays(path: Path) -> Phantom:
    where = f"phantom file {path}"
    try:
        arrays = read_npz(path, most_bytes=MOST_BYTES)
    except FileRefused as error:
        raise PhantomError(f"{where}: not an .npz of plain arrays: {error}") from None
    _known(where, arrays, _ARRAYS, sorted(_NEEDED_ARRAYS))
    try:
        return _of_arrays(where, path.stem, arrays)
    except (TypeError, ValueError, IndexError) as error:  # of another type or shape
        raise PhantomError(f"{where}: {error}") from None


def _of_arrays(where: str, name: str, arrays: Mapping[str, Any]) -> Phantom:
    activity = np.ascontiguousarray(arrays["activity"], np.float32)
    if activity.ndim != 3:
        raise PhantomError(f"{where}: activity has {activity.ndim} axes, not (x, y, z)")
    voxel = np.broadcast_to(np.asarray(arrays["voxel_mm"], np.float64), 3)
    origin = arrays.get("origin_mm", -(np.array(activity.shape) - 1) / 2 * voxel)
    return Phantom(
        name=name,
        activity=activity,
        mu_per_mm=np.ascontiguousarray(arrays["mu_per_mm"], np.float32),
        voxel_mm=cast(Triple, tuple(voxel.tolist())),
        origin_mm=cast(Triple, tuple(np.asarray(origin, np.float64).tolist())),
        material=_labels(where, arrays, "material", "materials"),
        materials=tuple(map(str, arrays.get("materials", ["water"]))),
        region=_labels(where, arrays, "region", "region_names"),
        region_names=tuple(map(str, arrays.get("region_names", ["all"]))),
    )


def _labels(where: str, arrays: Mapping[str, Any], key: str, names: str) -> Any:
    if key not in arrays:
        return None
    labels = np.asarray(arrays[key])
    most = len(arrays[names]) if names in arrays else 1
    if labels.size and (labels.min() < 0 or labels.max() >= most):
        raise PhantomError(f"{where}: {key} has {labels.max()}; {names} has {most} names, from 0")
    return np.ascontiguousarray(labels, np.uint8)
