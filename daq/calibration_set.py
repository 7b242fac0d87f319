"""Calibration sets: one file each, never changed once written, refused for another scanner.

A set is an ``.npz`` with a gain and a skew for each crystal, how each was found, and ``about``: a
JSON text with the format, the scanner, the date and what the set was made from. Its hash covers
all of this, so a name with its hash says exactly what was applied to a run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import zipfile
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from coincidence.calibration import Calibration
from daq.errors import RunError, StorageError
from hw.scanner import Scanner

FILE_NAME = "calibration.npz"
SUFFIX = ".npz"
FORMAT = "tomoshibi calibration set"
FORMAT_VERSION = 1

GAIN_BOUNDS = (0.2, 5.0)
MAX_SKEW_PS = 100_000
"""100 ns: far beyond any cable. A larger skew would hold the whole stream back for nothing."""

_ARRAYS = {"gain": "<f4", "skew_ps": "<i4", "gain_status": "u1", "skew_status": "u1"}


class CalibrationSetError(RunError):
    """A calibration set that cannot be read, written or applied."""


class Status(IntEnum):
    """How a crystal's value was found."""

    NOT_CALIBRATED = 0
    FITTED = 1
    MODULE = 2  # too few counts: its module's value
    SCANNER = 3  # too few counts in the module as well: the scanner's


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that a set was made from. ``raw_hash``: BLAKE2b-128 of its raw log's bytes."""

    quantity: str
    run: str
    raw_hash: str
    method: str


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a set is; written into its file. ``hash``: of all else here and of the arrays."""

    name: str
    scanner: str
    scanner_hash: str
    created: str
    sources: tuple[Source, ...]
    format: str = FORMAT
    version: int = FORMAT_VERSION
    hash: str = ""


class CalibrationSet(msgspec.Struct, frozen=True):
    """A set in memory; its arrays are read-only.

    gain : (n_crystals,) f4; skew_ps : (n_crystals,) i4; statuses : (n_crystals,) u1 of Status
    """

    about: About
    gain: npt.NDArray[np.float32]
    skew_ps: npt.NDArray[np.int32]
    gain_status: npt.NDArray[np.uint8]
    skew_status: npt.NDArray[np.uint8]

    @property
    def identity(self) -> str:
        """Name and hash: what a run's provenance says."""
        return f"{self.about.name}@{self.about.hash}"

    def calibration(self) -> Calibration:
        """Return the corrections as the event path applies them."""
        return Calibration(self.gain, self.skew_ps)

    def check_scanner(self, scanner: Scanner) -> None:
        """Raise CalibrationSetError unless the set was made for this scanner's crystals."""
        if self.about.scanner_hash != scanner_hash(scanner):
            raise CalibrationSetError(
                f"calibration set {self.identity} was made for scanner {self.about.scanner} "
                f"({self.about.scanner_hash}), this is {scanner.name} ({scanner_hash(scanner)}): "
                "make a set from a run of this scanner with `tomoshibi calibrate`"
            )
        self.calibration().check_fits(scanner.n_crystals)


def scanner_hash(scanner: Scanner) -> str:
    """Return BLAKE2b-64 of what makes a crystal's index and place: name, ring and module.

    Windows, image and comments of the preset may change without making a set void.
    """
    parts = msgspec.json.encode([scanner.name, scanner.ring, scanner.module], order="sorted")
    return hashlib.blake2b(parts, digest_size=8).hexdigest()


def new_set(
    name: str,
    scanner: Scanner,
    *,
    sources: tuple[Source, ...],
    gain: npt.NDArray[Any] | None = None,
    skew_ps: npt.NDArray[Any] | None = None,
    gain_status: npt.NDArray[Any] | None = None,
    skew_status: npt.NDArray[Any] | None = None,
    base: CalibrationSet | None = None,
) -> CalibrationSet:
    """Return a set; what is not given is ``base``'s, or else the identity, not calibrated.

    Raises
    ------
    CalibrationSetError
        for values that are not finite or out of bounds, arrays of another length, another
        scanner's base.
    """
    n = scanner.n_crystals
    found = {"gain": gain, "skew_ps": skew_ps, "gain_status": gain_status,
             "skew_status": skew_status}  # fmt: skip
    if base is not None:
        base.check_scanner(scanner)
    arrays = {}
    for key, values in found.items():
        if values is None:
            values = getattr(base, key) if base else np.full(n, key == "gain")
        _check_values(name, key, values, n)
        arrays[key] = _frozen(np.rint(values) if key == "skew_ps" else values, _ARRAYS[key])
    about = About(
        name=name,
        scanner=scanner.name,
        scanner_hash=scanner_hash(scanner),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        sources=sources,
    )
    about = msgspec.structs.replace(about, hash=_content_hash(about, arrays))
    return CalibrationSet(about, **arrays)


def save_set(calibration: CalibrationSet, path: Path) -> Path:
    """Write a set to a new, read-only file; raises CalibrationSetError where there is one."""
    text = msgspec.json.encode(calibration.about)
    buffer = io.BytesIO()
    arrays = {key: getattr(calibration, key) for key in _ARRAYS}
    np.savez_compressed(buffer, about=np.frombuffer(text, np.uint8), **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(number, "wb") as file:
            file.write(buffer.getbuffer())
    except FileExistsError as error:
        raise CalibrationSetError(
            f"{path} exists already and a calibration set is never written over: choose another "
            "--output"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    return path


def load_set(path: Path) -> CalibrationSet:
    """Return the set in a file; raises CalibrationSetError where it is none, or was changed."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            about = msgspec.json.decode(file["about"].tobytes(), type=About)
            arrays = {key: _frozen(file[key], dtype) for key, dtype in _ARRAYS.items()}
    except OSError as error:
        raise CalibrationSetError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CalibrationSetError(f"{path} is no calibration set: {error}") from error
    if (about.format, about.version) != (FORMAT, FORMAT_VERSION):
        raise CalibrationSetError(
            f"{path} is a {about.format}, version {about.version}; this program reads "
            f"{FORMAT}, version {FORMAT_VERSION}"
        )
    if _content_hash(about, arrays) != about.hash:
        raise CalibrationSetError(
            f"{path}: its content does not have the hash {about.hash} that it names: it was "
            "changed or damaged after it was made; use the original, or calibrate again"
        )
    for key, values in arrays.items():
        _check_values(str(path), key, values, len(arrays["gain"]))
    return CalibrationSet(about, **arrays)


def load_set_for(path: Path, scanner: Scanner) -> CalibrationSet:
    """Return the set in a file, checked against the scanner."""
    found = load_set(path)
    found.check_scanner(scanner)
    return found


def _frozen(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    copy = np.array(values, dtype=dtype)
    copy.flags.writeable = False
    return copy


def _check_values(where: str, key: str, values: npt.NDArray[Any], n_crystals: int) -> None:
    if values.shape != (n_crystals,):
        raise CalibrationSetError(
            f"calibration set {where}: {key} has shape {values.shape}, the scanner has "
            f"{n_crystals} crystals"
        )
    least, most = {
        "gain": GAIN_BOUNDS,
        "skew_ps": (-MAX_SKEW_PS, MAX_SKEW_PS),
    }.get(key, (0, max(Status)))
    bad = np.flatnonzero(~((values >= least) & (values <= most)))  # NaN is neither
    if len(bad):
        raise CalibrationSetError(
            f"calibration set {where}: {key} of crystal {bad[0]} is {values[bad[0]]}, it must be "
            f"between {least} and {most} ({len(bad)} crystals are wrong): calibrate again"
        )


def _content_hash(about: About, arrays: dict[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(msgspec.json.encode(msgspec.structs.replace(about, hash=""), order="sorted"))
    for key, dtype in _ARRAYS.items():
        digest.update(np.ascontiguousarray(arrays[key], dtype=dtype).tobytes())
    return digest.hexdigest()
