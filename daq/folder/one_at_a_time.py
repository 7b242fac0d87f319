"""A lock on a run's folder: only one process at a time rewrites, copies or deletes a run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daq.errors import RunError


@contextmanager
def alone(folder: Path, *, busy: str) -> Iterator[None]:
    """Hold a folder's lock, without waiting. The system releases it when the process ends.

    busy : what to say where another process holds it

    Raises
    ------
    RunError
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RunError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        raise RunError(busy) from None
    except OSError:
        pass  # no locks there, as on some network disks
    try:
        yield
    finally:
        os.close(place)
