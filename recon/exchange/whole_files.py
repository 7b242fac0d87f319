"""Files and folders that are there whole or not at all: after Ctrl-C, a full disk, an error.

Everything is written under a name that begins with ``.part-`` beside its place and renamed when
it is complete and on the disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from recon.exchange.errors import ExchangeError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of ``path`` when all went well.

    Raises
    ------
    ExchangeError
        where the disk refuses it; nothing is left then, and what was at ``path`` stays.
    """
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    with _told(path), _gone_unless_done(part):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


@contextlib.contextmanager
def whole_folder(folder: Path, *, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` when all went well.

    A folder that is there already is replaced only where it holds nothing but files that end like
    ``suffixes``: somebody else's data is never deleted.
    """
    if folder.exists():
        _check_replaceable(folder, suffixes)
    part = folder.with_name(f".part-{os.getpid()}-{folder.name}")
    with _told(folder), _gone_unless_done(part):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        old = folder.with_name(f".old-{os.getpid()}-{folder.name}")
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(folder: Path, suffixes: frozenset[str]) -> None:
    if not folder.is_dir():
        raise ExchangeError(f"{folder} is a file: give the name of a folder")
    foreign = [path.name for path in folder.iterdir() if path.suffix not in suffixes]
    if foreign:
        raise ExchangeError(
            f"{folder} holds {foreign[0]}, which is none of the files ({', '.join(suffixes)}) that "
            "are written there: give a new folder, or empty it"
        )


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExchangeError(
            f"cannot write {path}: {error.strerror or error}; nothing was left half-written. "
            "Free disk space or give another --output"
        ) from error


@contextlib.contextmanager
def _gone_unless_done(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
        raise
