"""One file copied to another disk, in steps, so that what was copied before is not written again.

A copy that was broken off is compared with its source as far as it goes, and goes on from there.
What is there is read from the disk, as far as the system lets its memory of the file go.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from daq.errors import RunError, StorageError
from daq.folder.listing.manifest import entry_of
from hw.bounded_files import FileRefused, regular_file
from hw.whole_file import PRIVATE_FILE

STEP_BYTES = 1 << 20
Told = Callable[[int], None]
"""Takes the bytes of this file that are done."""


def copy_file(source: Path, target: Path, told: Told) -> dict[str, Any]:
    """Copy a file and bring it to the disk; return size and digest of what was read.

    Raises
    ------
    RunError
        if the source was changed meanwhile
    StorageError
        if it cannot be read, or the disk does not take it; what is copied stays
    """
    try:
        with regular_file(source) as file, _open(target) as copy:
            before = os.fstat(file.fileno())
            entry = _copy(file, copy, told)
            copy.flush()
            os.fsync(copy.fileno())
            after = os.fstat(file.fileno())
        os.utime(target, ns=(after.st_atime_ns, after.st_mtime_ns), follow_symlinks=False)
    except (FileRefused, OSError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"cannot copy {source} to {target}: {words}. What was copied stays there: put it right "
            "(free disk space, say), and the same command goes on"
        ) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RunError(f"{source} was changed while it was copied: archive the run again")
    return entry


def _open(target: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(target, flags, PRIVATE_FILE), "r+b")


def _copy(file: BinaryIO, copy: BinaryIO, told: Told) -> dict[str, Any]:
    digest, size, agrees = hashlib.blake2b(digest_size=32), 0, True
    while part := file.read(STEP_BYTES):
        digest.update(part)
        if agrees and copy.read(len(part)) != part:
            agrees = False
            copy.seek(size)
        if not agrees:
            copy.write(part)
        size += len(part)
        told(size)
    copy.truncate(size)
    return {"bytes": size, "digest": digest.hexdigest()}


def read_again(path: Path, told: Told = lambda size: None) -> dict[str, Any]:
    """Return size and digest of a file as its disk gives it; raises StorageError.

    The system is asked to forget what it remembers of the file. It does so where that is on the
    disk already; a disk may still answer from a memory of its own.
    """
    try:
        with regular_file(path) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except (FileRefused, OSError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return entry_of(path, told)
