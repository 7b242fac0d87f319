"""Files and folders that are there whole or not at all: after Ctrl-C, a full disk, an error.

Everything is written under a name that begins with ``.part-PID-`` beside its place and renamed when
it is complete and on the disk. What a killed process left is removed by the next that writes there:
the writer holds a lock on its part, which the system takes back when the process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hw.errors import FileWriteError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of ``path`` when all went well.

    Raises
    ------
    FileWriteError
        where the disk refuses it; nothing is left then, and what was at ``path`` stays.
    """
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    with _reported(path), _gone_unless_done(part):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with part.open("wb") as file:
            _lock(file.fileno())
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
    with _reported(folder), _gone_unless_done(part), contextlib.ExitStack() as held:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _sweep(folder.parent)
        held.callback(os.close, number := os.open(part, os.O_RDONLY))
        _lock(number)
        yield part
        _replace(folder, part)


def _replace(folder: Path, part: Path) -> None:
    """Put a folder in the place of another; of one killed in between, the next goes on."""
    for left in folder.parent.glob(".old-*-*"):
        if left.name.split("-", 2)[2] == folder.name:
            shutil.rmtree(left, ignore_errors=True)
    old = folder.with_name(f".old-{os.getpid()}-{folder.name}")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the parts of processes that are no more."""
    for part in folder.glob(".part-*-*"):
        pid = part.name.split("-")[1]
        if pid.isdecimal() and not _is_alive(int(pid)) and not _is_locked(part):
            _remove(part)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _is_locked(part: Path) -> bool:
    """Whether a process holds it, be it one of another container that has a number of its own."""
    try:
        number = os.open(part, os.O_RDONLY)
    except OSError:
        return True
    try:
        return not _lock(number)
    finally:
        os.close(number)


def _lock(number: int) -> bool:
    """Lock an open file; return whether that was possible (some file systems have no locks)."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _check_replaceable(folder: Path, suffixes: frozenset[str]) -> None:
    if not folder.is_dir():
        raise FileWriteError(f"{folder} is a file: give the name of a folder")
    foreign = [path.name for path in folder.iterdir() if path.suffix not in suffixes]
    if foreign:
        raise FileWriteError(
            f"{folder} holds {foreign[0]}, which is none of the files ({', '.join(suffixes)}) that "
            "are written there: give a new folder, or empty it"
        )


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileWriteError(
            f"cannot write {path}: {error.strerror or error}; nothing was left half-written. "
            "Free disk space or give another --output"
        ) from error


@contextlib.contextmanager
def _gone_unless_done(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _remove(part)
        raise
