"""Reading files that may be damaged or hostile: what they cost is known before they are decoded.

The reader states a maximum size; a file that holds, or declares, more is refused before anything
is allocated. Only regular files are read: a pipe could block for ever. Every
way in which a file can be wrong is one error, :class:`FileRefused`, whose words the reader puts
into its own.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import tomllib
import zipfile
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from hw.errors import TomoshibiError

MIB = 1 << 20
MOST_TEXT_BYTES = 16 * MIB
"""A JSON, TOML or other text file that people and our programs write."""

MOST_DEPTH = 64
MOST_ENTRIES = 4096
MOST_HEADER_BYTES = 64 * 1024
MOST_DEFLATED = 1100
"""Deflate cannot do better than 1032 to one: what declares more, lies."""

SUSPICIOUS_BYTES, SUSPICIOUS_RATIO = 256 * MIB, 300
"""Data of images do not become that much smaller."""

_STORED_AS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
Arrays = dict[str, npt.NDArray[Any]]


class FileRefused(TomoshibiError, ValueError):
    """A file that is not read; the message says why, and does not name the file."""


@contextlib.contextmanager
def regular_file(path: Path, *, most_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a file that is no pipe, device, socket or folder, and not larger; raises FileRefused.

    It is opened without waiting and checked once open, when nobody can swap it.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise FileRefused(str(getattr(error, "strerror", None) or error)) from error
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise FileRefused("it is not a regular file")
    with os.fdopen(number, "rb") as file:
        size = found.st_size
        if most_bytes is not None and size > most_bytes:
            raise FileRefused(f"it has {words_of(size)}, more than {words_of(most_bytes)}")
        yield file


def read_bytes(path: Path, *, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """Return a file's content; raises FileRefused if it cannot be read or is larger."""
    with regular_file(path, most_bytes=most_bytes) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return file.read(size)  # not of most_bytes, for which Python would make room at once
        except OSError as error:
            raise FileRefused(error.strerror or str(error)) from error


def read_text(path: Path, *, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Return a file's content as UTF-8 text; raises FileRefused."""
    return _as_text(read_bytes(path, most_bytes=most_bytes))


def _as_text(content: bytes | str) -> str:
    try:
        return content if isinstance(content, str) else content.decode()
    except UnicodeDecodeError as error:
        raise FileRefused(f"it is not UTF-8 text: {error}") from error


# --- JSON and TOML --------------------------------------------------------------------------------


def read_json(path: Path, *, most_bytes: int = MOST_TEXT_BYTES) -> Any:
    """Return what a JSON file holds; raises FileRefused."""
    return json_in(read_bytes(path, most_bytes=most_bytes))


def read_object(path: Path, *, most_bytes: int = MOST_TEXT_BYTES) -> dict[str, Any]:
    """Return the object in a JSON file; raises FileRefused, too, if it holds anything else."""
    found = read_json(path, most_bytes=most_bytes)
    if not isinstance(found, dict):
        raise FileRefused("it is no JSON object")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def json_in(content: bytes | str, *, constant: Callable[[str], Any] = _no_number) -> Any:
    """Return what a JSON text holds, at most ``MOST_DEPTH`` deep.

    ``constant``: gives what NaN and the infinite numbers become, which JSON does not have.

    Raises
    ------
    FileRefused
    """
    text = _as_text(content)

    def finite(word: str) -> Any:
        number = float(word)
        return number if math.isfinite(number) else constant(word)

    try:
        found = json.loads(text, parse_constant=constant, parse_float=finite)
    except RecursionError as error:
        raise FileRefused(f"it is nested deeper than {MOST_DEPTH}") from error
    except ValueError as error:  # also a number of 5000 digits
        raise FileRefused(f"it is not JSON: {error}") from error
    return _not_deep(found)


def read_toml(path: Path, *, most_bytes: int = MOST_TEXT_BYTES) -> dict[str, Any]:
    """Return what a TOML file holds; raises FileRefused."""
    return toml_in(read_text(path, most_bytes=most_bytes))


def toml_in(text: str) -> dict[str, Any]:
    """Return what a TOML text holds, at most ``MOST_DEPTH`` deep; raises FileRefused."""
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise FileRefused(f"it is nested deeper than {MOST_DEPTH}") from error
    except ValueError as error:
        raise FileRefused(f"not valid TOML: {error}") from error
    return dict(_not_deep(found))


def _not_deep(value: Any) -> Any:
    """Return a value whose nesting is bounded, so that nothing recurses too deep in it later."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return value
    raise FileRefused(f"it is nested deeper than {MOST_DEPTH}")


def _within(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


# --- npz ------------------------------------------------------------------------------------------


def read_npz(
    path: Path,
    *,
    most_bytes: int,
    only: Container[str] | None = None,
    most_ratio: float = MOST_DEFLATED,
) -> Arrays:
    """Return the arrays of an npz file.

    The sizes that the archive and each array's header declare are added up before anything is
    decompressed, and must agree.

    Parameters
    ----------
    most_bytes : of all arrays that are read
    only : names of the arrays to read; None for all
    most_ratio : of the arrays' bytes to the file's, where they are many

    Raises
    ------
    FileRefused
        if it is no npz of plain arrays, or holds more.
    """
    with regular_file(path) as file:
        try:
            return _arrays(file, most_bytes=most_bytes, only=only, most_ratio=most_ratio)
        except FileRefused:
            raise
        except Exception as error:  # a damaged file makes numpy, zipfile and zlib raise anything
            raise FileRefused(f"it is not an npz of plain arrays: {_words(error)}") from error


def _words(error: Exception) -> str:
    """Return what an error says, without the file's bytes that zipfile would put into it."""
    return str(error).partition("header b")[0][:200].rstrip()


def npz_names(path: Path, *, most_bytes: int) -> set[str]:
    """Return the names of the arrays in an npz, whose headers are sound; nothing is decompressed.

    Raises
    ------
    FileRefused
        as :func:`read_npz`
    """
    with regular_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return set(_checked(archive, file, most_bytes=most_bytes))
        except FileRefused:
            raise
        except Exception as error:  # a damaged file makes numpy, zipfile and zlib raise anything
            raise FileRefused(f"it is not an npz of plain arrays: {_words(error)}") from error


def _checked(
    archive: zipfile.ZipFile,
    file: BinaryIO,
    *,
    most_bytes: int,
    only: Container[str] | None = None,
    most_ratio: float = MOST_DEFLATED,
) -> dict[str, zipfile.ZipInfo]:
    """Return the wanted members, whose declared sizes agree and are bounded."""
    wanted = _members(archive, os.fstat(file.fileno()).st_size)
    if only is not None:
        wanted = {name: member for name, member in wanted.items() if name in only}
    total = sum(member.file_size for member in wanted.values())
    packed = sum(member.compress_size for member in wanted.values())
    check_size(total, packed, most_bytes=most_bytes, most_ratio=most_ratio)
    for name, member in wanted.items():
        with archive.open(member) as stored:
            _check_header(name, stored, member.file_size)
    return wanted


def _arrays(
    file: BinaryIO, *, most_bytes: int, only: Container[str] | None, most_ratio: float
) -> Arrays:
    with zipfile.ZipFile(file) as archive:
        wanted = _checked(archive, file, most_bytes=most_bytes, only=only, most_ratio=most_ratio)
        found = {}
        for name, member in wanted.items():
            with archive.open(member) as stored:
                found[name] = np.lib.format.read_array(
                    stored, allow_pickle=False, max_header_size=MOST_HEADER_BYTES
                )
                if stored.read(1):
                    raise FileRefused(f"{name} is followed by other bytes")
        return found


def check_size(
    total: int,
    packed: int,
    *,
    most_bytes: int,
    most_ratio: float = SUSPICIOUS_RATIO,
) -> None:
    """Raise FileRefused for data of too many bytes, or of many from suspiciously few."""
    if total > most_bytes:
        raise FileRefused(f"its data have {words_of(total)}, at most {words_of(most_bytes)} fit")
    if total > SUSPICIOUS_BYTES and total > most_ratio * max(packed, 1):
        raise FileRefused(
            f"{words_of(packed)} of it would become {words_of(total)}, as no measured data do"
        )


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by their arrays' names; what they declare must be possible."""
    members = archive.infolist()
    if len(members) > MOST_ENTRIES:
        raise FileRefused(f"it holds {len(members)} arrays, at most {MOST_ENTRIES} are read")
    if sum(member.compress_size for member in members) > size:
        raise FileRefused("its parts overlap")
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if member.compress_type not in _STORED_AS or member.flag_bits & 1:
            raise FileRefused(f"{name} is compressed in a way that numpy does not write")
        if member.file_size > MOST_DEFLATED * max(member.compress_size, 1):
            raise FileRefused(f"{name} declares more bytes than it can hold")
        if name in found:
            raise FileRefused(f"it holds {name} twice")
        found[name] = member
    return found


def _check_header(name: str, stored: IO[bytes], size: int) -> None:
    """Raise FileRefused unless an array's own header declares what the archive does."""
    version = np.lib.format.read_magic(stored)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise FileRefused(f"{name} is in version {version[0]}.{version[1]} of numpy's format")
    shape, _, dtype = read(stored, max_header_size=MOST_HEADER_BYTES)
    if dtype.hasobject:
        raise FileRefused(f"{name} holds Python objects, which are never read")
    if any(extent < 0 for extent in shape):
        raise FileRefused(f"{name} has the shape {shape}")
    if math.prod(shape) * dtype.itemsize != size - stored.tell():
        raise FileRefused(f"{name} has not as many bytes as its shape {shape} says")


def words_of(number: int) -> str:
    """Return a number of bytes in words."""
    if number < MIB:
        return f"{number} bytes"
    return f"{number / MIB:.4g} MiB" if number < 1024 * MIB else f"{number / 2**30:.4g} GiB"
