"""Calibration sets: one file each, never changed once written, refused for another scanner.

A set is an ``.npz`` with the arrays of ``daq.folder.calibration_arrays``, how each value was found,
and ``about``: JSON with the format, the scanner, the date and what the set was made from. Its hash
covers all of this, so its name and hash say exactly what was applied to a run.

Version 1 held only gains and skews. Such a set is loaded with the identity for the rest, keeps its
hash, and is saved again in version 1.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from coincidence.calibration import DOI_BINS, Calibration
from daq.errors import StorageError
from daq.folder.calibration_arrays import (
    SPECS,
    STATUS_NAMES,
    CalibrationSetError,
    all_specs,
    check_bounds,
    check_names,
    check_shape,
    frozen,
)
from hw.arrays import Array
from hw.bounded_files import read_npz
from hw.scanner.description import Scanner
from hw.whole_file import make_folder, sync_folder

FILE_NAME = "calibration.npz"
FORMAT = "tomoshibi calibration set"
FORMAT_VERSION = 4
MOST_BYTES = 256 << 20
"""Of a set's arrays, in memory: some 38 bytes a crystal, 7 million crystals."""

SERIAL_SINCE = 4
"""Older sets name no serial number, and it is no part of their hash."""

NORMALISATION_SINCE = 3
"""Efficiencies of older sets were measured with a detection model without block efficiency. They
contain it, and it would be corrected twice.
"""

NORMALISATION = ("efficiency", "efficiency_status", "block_profile", "geometric")

_VERSION_1 = {"gain": "gain", "skew_ps": "skew_ps", "gain_status": "gain_status",
              "skew_status": "skew_ps_status"}  # fmt: skip
"""Names in a version 1 file, in the order in which they are hashed, and their names now."""


class Status(IntEnum):
    """How a value was obtained."""

    NOT_CALIBRATED = 0
    FITTED = 1
    MODULE = 2  # too few counts: its module's value
    SCANNER = 3  # too few counts in the module as well: the scanner's


class SourceRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run from which a set was made. ``raw_hash``: BLAKE2b-128 of its raw log's bytes."""

    quantity: str
    run: str
    raw_hash: str
    method: str


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set's description, written into its file. ``hash`` covers the rest of it and the arrays.

    serial : the instrument that it is true of; "" where the runs did not say
    """

    name: str
    scanner: str
    scanner_hash: str
    serial: str = ""
    created: str
    sources: tuple[SourceRun, ...]
    format: str = FORMAT
    version: int = FORMAT_VERSION
    hash: str = ""


class CalibrationSet(msgspec.Struct, frozen=True):
    """A set in memory; its arrays are read-only, and an empty one means the identity.

    gain, curvature, walk_ps, efficiency : (n_crystals,) f4; skew_ps : (n_crystals,) i4
    masked : (n_crystals,) u1, 0, or why its singles are left out (MASKED_DEAD …)
    doi_gain, doi_ps : (8,) f4, by depth bin
    block_profile : (crystals_per_module,) f4 or empty
    geometric : (n_modules, n_modules) f4 or empty
    dead_time_ps : (n_modules,) f4 or empty; dead_time_model : (n_modules,) u1 or empty,
        0 none, 1 non-paralysable, 2 paralysable
    crystal_map : (n_modules, 4096) u2 or empty, raw position to crystal in module, 65535: none
    statuses : by the quantity's name, u1 of Status for each crystal (for dead_time_ps and
        crystal_map: each module)
    """

    about: About
    gain: npt.NDArray[np.float32]
    skew_ps: npt.NDArray[np.int32]
    curvature: npt.NDArray[np.float32]
    walk_ps: npt.NDArray[np.float32]
    masked: npt.NDArray[np.uint8]
    efficiency: npt.NDArray[np.float32]
    doi_gain: npt.NDArray[np.float32]
    doi_ps: npt.NDArray[np.float32]
    block_profile: npt.NDArray[np.float32]
    geometric: npt.NDArray[np.float32]
    dead_time_ps: npt.NDArray[np.float32]
    dead_time_model: npt.NDArray[np.uint8]
    crystal_map: npt.NDArray[np.uint16]
    statuses: dict[str, npt.NDArray[np.uint8]]

    @property
    def identity(self) -> str:
        """Name and hash, as recorded in a run's provenance."""
        return f"{self.about.name}@{self.about.hash}"

    @property
    def has_current_normalisation(self) -> bool:
        """Whether its efficiencies belong to this program's detection model."""
        return self.about.version >= NORMALISATION_SINCE

    def calibration(self) -> Calibration:
        """Return the corrections as the event path applies them.

        Arrays passed to kernels unchanged must be writable: numba compiles anew for read-only ones.
        """
        return Calibration(
            gain=self.gain,
            skew_ps=self.skew_ps,
            curvature=self.curvature,
            walk_ps=self.walk_ps,
            masked=self.masked != 0,
            doi_gain=self.doi_gain.copy(),
            doi_ps=self.doi_ps.copy(),
            crystal_map=self.crystal_map.copy() if self.crystal_map.size else None,
        )

    def check_scanner(self, scanner: Scanner) -> None:
        """Raise CalibrationSetError unless the set was made for this scanner's crystals."""
        if self.about.scanner_hash != scanner_hash(scanner):
            raise CalibrationSetError(
                f"calibration set {self.identity} was made for scanner {self.about.scanner} "
                f"({self.about.scanner_hash}), this is {scanner.name} ({scanner_hash(scanner)}): "
                "make a set from a run of this scanner with `tomoshibi calibrate`"
            )
        arrays = arrays_of(self)
        for key, spec in all_specs().items():
            check_shape(self.identity, spec, arrays[key], scanner)


def scanner_hash(scanner: Scanner) -> str:
    """Return BLAKE2b-64 of what determines a crystal's index and place: name, ring and module.

    The preset's windows, image and comments may change without invalidating a set.
    """
    parts = msgspec.json.encode([scanner.name, scanner.ring, scanner.module], order="sorted")
    return hashlib.blake2b(parts, digest_size=8).hexdigest()


def new_set(
    name: str,
    scanner: Scanner,
    *,
    sources: tuple[SourceRun, ...],
    values: Mapping[str, npt.ArrayLike] | None = None,
    statuses: Mapping[str, npt.ArrayLike] | None = None,
    base: CalibrationSet | None = None,
    serial: str = "",
) -> CalibrationSet:
    """Return a set. What is not given is taken from ``base``, or is the identity, not calibrated.

    The normalisation of a base older than version ``NORMALISATION_SINCE`` is left out.

    Parameters
    ----------
    values : arrays by the names of ``calibration_arrays.SPECS``, such as ``{"gain": …}``
    statuses : by the same names, the Status of each crystal (or module)
    serial : of the instrument; "" where it is not known

    Raises
    ------
    CalibrationSetError
        for an unknown name, values that are not finite or out of bounds, arrays of the wrong shape,
        or a base of another scanner.
    """
    values, statuses = values or {}, statuses or {}
    check_names(name, values, SPECS)
    check_names(name, statuses, dict.fromkeys(STATUS_NAMES))
    given = {**values, **{f"{key}_status": found for key, found in statuses.items()}}
    if base is not None:
        base.check_scanner(scanner)
    kept = arrays_of(base) if base is not None else {}
    if base is not None and not base.has_current_normalisation:
        kept = {key: array for key, array in kept.items() if key not in NORMALISATION}
    arrays = {}
    for key, spec in all_specs().items():
        found = np.asarray(given[key]) if key in given else kept.get(key, spec.nothing(scanner))
        check_shape(name, spec, found, scanner)
        check_bounds(name, spec, found)
        arrays[key] = frozen(spec, found)
    about = About(
        name=name,
        scanner=scanner.name,
        scanner_hash=scanner_hash(scanner),
        serial=serial,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        sources=sources,
    )
    return _as_set(msgspec.structs.replace(about, hash=_content_hash(about, arrays)), arrays)


def arrays_of(calibration: CalibrationSet) -> dict[str, Array]:
    """Return the set's arrays by their names in a file."""
    arrays: dict[str, Array] = {key: getattr(calibration, key) for key in SPECS}
    return arrays | {f"{key}_status": found for key, found in calibration.statuses.items()}


def save_set(calibration: CalibrationSet, path: Path) -> Path:
    """Write a set to a new, read-only file, which is on the disk then.

    Raises CalibrationSetError if it exists, StorageError if the disk refuses.
    """
    text = msgspec.json.encode(calibration.about)
    arrays: dict[str, Any] = arrays_of(calibration)
    if calibration.about.version == 1:
        arrays = {old: arrays[key] for old, key in _VERSION_1.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.frombuffer(text, np.uint8), **arrays)
    try:
        make_folder(path.parent)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(number, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(number)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise CalibrationSetError(
            f"{path} exists already and a calibration set is never overwritten: choose another "
            "--output"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    return path


def load_set(path: Path) -> CalibrationSet:
    """Return the set in a file; raises CalibrationSetError if it is not one, or was changed."""
    try:
        file = read_npz(path, most_bytes=MOST_BYTES)
        about = msgspec.json.decode(file["about"].tobytes(), type=About)
        if about.format != FORMAT or not 1 <= about.version <= FORMAT_VERSION:
            raise CalibrationSetError(
                f"{path} is a {about.format}, version {about.version}; this program reads "
                f"{FORMAT}, versions 1 to {FORMAT_VERSION}"
            )
        arrays = _read_arrays(file, about.version)
    except CalibrationSetError:
        raise
    except Exception as error:  # a file whose arrays are not those of a set
        raise CalibrationSetError(f"{path} is not a calibration set: {error}") from error
    if _content_hash(about, arrays) != about.hash:
        raise CalibrationSetError(
            f"{path}: its content does not match its own hash {about.hash}: it was "
            "changed or damaged after it was made; use the original, or calibrate again"
        )
    for key, spec in all_specs().items():
        check_bounds(str(path), spec, arrays[key])
    return _as_set(about, arrays)


def load_set_for(path: Path, scanner: Scanner) -> CalibrationSet:
    """Return the set in a file, checked against the scanner."""
    found = load_set(path)
    found.check_scanner(scanner)
    return found


def _read_arrays(file: Mapping[str, Array], version: int) -> dict[str, Array]:
    """Return all arrays of a file; what is not in version 1 becomes the identity."""
    specs = all_specs()
    if version != 1:
        return {key: frozen(spec, file[key]) for key, spec in specs.items()}
    known = {key: frozen(specs[key], file[old]) for old, key in _VERSION_1.items()}
    extents = {"crystal": len(known["gain"]), "depth": DOI_BINS}
    for key, spec in specs.items():
        if key not in known:
            shape = [extents.get(axis, 0) for axis in spec.axes]
            known[key] = frozen(spec, np.full(shape, spec.identity))
    return {key: known[key] for key in specs}


def _as_set(about: About, arrays: dict[str, Array]) -> CalibrationSet:
    statuses = {key: arrays[f"{key}_status"] for key in STATUS_NAMES}
    return CalibrationSet(about, **{key: arrays[key] for key in SPECS}, statuses=statuses)


def _content_hash(about: About, arrays: dict[str, Array]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    words = msgspec.to_builtins(msgspec.structs.replace(about, hash=""))
    if about.version < SERIAL_SINCE:
        del words["serial"]
    digest.update(msgspec.json.encode(words, order="sorted"))
    if about.version == 1:
        for key in _VERSION_1.values():
            digest.update(np.ascontiguousarray(arrays[key]).tobytes())
        return digest.hexdigest()
    for key, spec in all_specs().items():
        digest.update(f"{key} {spec.dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


__all__ = [
    "FILE_NAME",
    "About",
    "CalibrationSet",
    "CalibrationSetError",
    "SourceRun",
    "Status",
    "arrays_of",
    "load_set",
    "load_set_for",
    "new_set",
    "save_set",
    "scanner_hash",
]
