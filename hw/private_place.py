"""Files and folders that no other user of this machine may enter, replace or have planted.

What a process trusts (sockets, locks, machine code) lies in folders of its own user, mode 0700.
They are looked at *before* anything in them is opened: in a folder of somebody else, ``lock`` may
be a link to any file of ours. No link is followed, and nothing is truncated that was not looked at.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hw.errors import TomoshibiError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""The mode bits of group and others: none may be set."""


class PlaceError(TomoshibiError):
    """A file or folder that another user owns, or can change; the message says what to do."""


def private_folder(folder: Path) -> Path:
    """Return a folder that only this user may enter; makes it (0700) where it is missing.

    Raises
    ------
    PlaceError
        if it is a link, no folder, another user's, open to group or others, or if another user
        could put another in its place
    OSError
        if it cannot be made
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        folder.chmod(0o700)  # whatever the umask left of it
    check_private(folder)
    return folder


def check_private(folder: Path) -> None:
    """Raise PlaceError, naming the remedy, unless ``folder`` is as :func:`private_folder` says."""
    found = os.lstat(folder)
    if stat.S_ISLNK(found.st_mode):
        raise PlaceError(f"{folder} is a link to elsewhere: remove it, or choose another folder")
    if not stat.S_ISDIR(found.st_mode):
        raise PlaceError(f"{folder} is not a folder: remove it, or choose another")
    if found.st_uid != os.getuid():
        raise PlaceError(
            f"{folder} belongs to another user ({found.st_uid}): choose a folder of your own"
        )
    if found.st_mode & OTHERS:
        raise PlaceError(
            f"{folder} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): see that "
            f"nobody has put anything there, then `chmod 700 {folder}`"
        )
    for parent in _way_to(folder):
        _check_parent(folder, parent)


def _way_to(folder: Path) -> Iterator[Path]:
    """Yield all folders and links above a path, as named and as resolved."""
    yield from folder.absolute().parents
    yield from folder.resolve().parents


@functools.cache
def _systems_users() -> tuple[int, ...]:
    """Return the owners of system folders: root, and in a container the user outside it."""
    try:
        known = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
        unmapped = int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return (0,)
    return (0,) if known == ["0", "0", "4294967295"] else (0, unmapped)  # all users are known


def _check_parent(folder: Path, parent: Path) -> None:
    found = os.lstat(parent)
    if found.st_uid not in (*_systems_users(), os.getuid()):
        raise PlaceError(
            f"{folder} lies in {parent}, which belongs to another user ({found.st_uid}), who can "
            "put another folder in its place: choose a folder of your own"
        )
    shared = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    if shared and not stat.S_ISLNK(found.st_mode):
        raise PlaceError(
            f"{folder} lies in {parent}, where every user may put another in its place: "
            f"`chmod o-w {parent}`, or choose another folder"
        )


def open_private(path: Path) -> IO[str]:
    """Open a file for reading and appending, made 0600 where it is missing; its content stays.

    Raises
    ------
    PlaceError
        if it is a link, another user's, open to others for writing, or no plain file
    OSError
        if it cannot be opened
    """
    if path.is_symlink():  # told in words; the opener's O_NOFOLLOW makes it sure
        raise PlaceError(f"{path} is a link to elsewhere: remove it")
    return open(path, "a+", encoding="utf-8", opener=_opened_private)


def _opened_private(path: str, flags: int) -> int:
    more = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    number = os.open(path, flags | more, 0o600)
    found = os.fstat(number)
    plain = stat.S_ISREG(found.st_mode) and found.st_nlink <= 1
    if not plain or found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(number)
        raise PlaceError(
            f"{path} is no plain file of this user alone: see who made it, then remove it"
        )
    return number


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make a private folder and hold its lock, against others who do the same, until the end.

    Raises
    ------
    PlaceError, OSError
    """
    with open_private(private_folder(folder) / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def runtime_folder() -> Path:
    """Return this user's folder for what lives while programs run; it may not exist yet."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or tempfile.gettempdir()) / f"tomoshibi-{os.getuid()}"


# --- what is cached -------------------------------------------------------------------------------


def cache_root() -> Path:
    """Return the folder of everything that is cached (``TOMOSHIBI_CACHE`` names another)."""
    return Path(os.environ.get("TOMOSHIBI_CACHE", _own_cache()))


def _own_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tomoshibi"


def code_cache(name: str) -> Path:
    """Return a folder for code that is run again: pickled kernels, built firmware.

    It is ``name`` in :func:`cache_root`, if no other user can put anything there; else one of this
    user's own, which is told on stderr.
    """
    return _checked_cache(cache_root(), name)


@functools.lru_cache(maxsize=64)
def _checked_cache(root: Path, name: str) -> Path:
    refused = ""
    last = Path(tempfile.gettempdir()) / f"tomoshibi-{os.getuid()}-cache"
    for place in (root, _own_cache(), last):
        try:
            folder = _tightened(place / name)
        except PlaceError as error:
            refused = refused or str(error)
            continue
        except OSError:  # what cannot be made or read is told by whoever writes there
            folder = place / name
        if refused:
            print(f"tomoshibi: {refused}. {folder} is used instead", file=sys.stderr, flush=True)
        return folder
    raise PlaceError(f"{refused}; set TOMOSHIBI_CACHE to a folder of your own")


def _tightened(folder: Path) -> Path:
    """Make or check a folder; one of ours that others may read, not write, is closed to them."""
    with_others = stat.S_IWGRP | stat.S_IWOTH
    if folder.is_dir() and not folder.is_symlink():
        found = os.lstat(folder)
        if found.st_uid == os.getuid() and not found.st_mode & with_others:
            folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    return private_folder(folder)
