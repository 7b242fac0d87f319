"""Files and folders written whole or not at all, despite Ctrl-C, a full disk or an error.

Everything is written beside its final place under a name that begins with ``.part-PID-`` and
renamed when it is complete and on disk; then the folder is brought to the disk, too, for a power
cut forgets names that were not. What a killed process left behind is removed by the next one that
writes there: a writer holds a lock on its part, which the system releases when the process ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hw.errors import FileWriteError

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Modes of what only its owner may read, whatever the umask."""

_NO_SUCH_CALL = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk; raises OSError.

    A file system that has no such call keeps names as safe as it does.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    finally:
        os.close(number)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, where they are missing; they are on the disk then.

    Raises OSError.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=mode, exist_ok=True)
        sync_folder(one.parent)


@contextlib.contextmanager
def whole_file(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces ``path`` if all goes well; it is on the disk then.

    mode : of the file, less what the umask takes away

    Raises
    ------
    FileWriteError if it cannot be written; nothing is left behind, and what was at ``path`` stays.
    """
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    with _reported(path), _gone_unless_done(part):
        make_folder(path.parent)
        _sweep(path.parent)
        part.unlink(missing_ok=True)
        opener = functools.partial(os.open, mode=mode)
        # "x": never through a link that somebody has put there
        with open(part, "xb", opener=opener) as file:
            _lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)


def whole_link(path: Path, target: Path) -> None:
    """Make a symbolic link that replaces ``path``, whatever is there; it is on the disk then.

    At any moment ``path`` leads to the old target or to the new one. Only one process at a time
    may do so: a link cannot be locked, so its part has a fixed name, and replaces one that a killed
    process left. Raises OSError.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def whole_folder(folder: Path, *, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yield an empty folder that replaces ``folder`` if all goes well.

    An existing folder is replaced only if it holds nothing but files that end like ``suffixes``:
    other people's data is never deleted.
    """
    if folder.exists():
        _check_replaceable(folder, suffixes)
    part = folder.with_name(f".part-{os.getpid()}-{folder.name}")
    with _reported(folder), _gone_unless_done(part), contextlib.ExitStack() as held:
        shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        _sweep(folder.parent)
        held.callback(os.close, number := os.open(part, os.O_RDONLY))
        _lock(number)
        yield part
        _replace(folder, part)


def _replace(folder: Path, part: Path) -> None:
    """Replace one folder by another; if killed in between, the next writer completes it."""
    for left in folder.parent.glob(".old-*-*"):
        if left.name.split("-", 2)[2] == folder.name:
            shutil.rmtree(left, ignore_errors=True)
    old = folder.with_name(f".old-{os.getpid()}-{folder.name}")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the parts left by processes that have ended."""
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
    """Whether any process holds it, even in a container with process ids of its own."""
    try:
        number = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        return not _lock(number)
    finally:
        os.close(number)


def _lock(number: int) -> bool:
    """Lock an open file; return whether that worked (some file systems have no locks)."""
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
