"""Files that somebody names and we read: plain ones of bounded size, and nothing else.

A named pipe would be waited for without end, a device or a huge sparse file read for hours. So a
file is opened without waiting and without following a link, and looked at once it is open, when
nobody can exchange it any more.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from daq.errors import RunError

MOST_MU_MAP_BYTES = 256 * 2**20
MOST_CALIBRATION_BYTES = 64 * 2**20
MOST_ACTIVITY_BYTES = 2**20
_STEP = 2**20


def open_given(path: Path, *, most_bytes: int) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    RunError
        if it is no plain file, larger than ``most_bytes``, a link, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RunError(f"{path} cannot be read: {reason}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
        os.close(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RunError(f"{path} is no plain file: name one")
        raise RunError(
            f"{path} has {found.st_size / 2**20:.0f} MiB, at most {most_bytes / 2**20:.0f} are "
            "taken: is it the right file?"
        )
    return os.fdopen(descriptor, "rb")


def check_given(path: Path, *, most_bytes: int) -> None:
    """Raise RunError for what :func:`open_given` refuses."""
    open_given(path, most_bytes=most_bytes).close()


def copy_given(path: Path, copy: Path, *, most_bytes: int) -> None:
    """Copy a file, at most ``most_bytes`` of it should it grow meanwhile.

    Raises
    ------
    RunError
        as :func:`open_given`; a link is followed.
    OSError
        if the copy cannot be written.
    """
    with open_given(path.resolve(), most_bytes=most_bytes) as source, copy.open("wb") as target:
        left = most_bytes
        while left > 0 and (part := source.read(min(_STEP, left))):
            target.write(part)
            left -= len(part)
