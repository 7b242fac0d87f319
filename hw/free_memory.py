"""Gives memory that a process has freed back to the system.

The C library keeps freed memory for later use, scattered between blocks in use, so that a process
that takes runs for weeks seems to grow: the acquisition by half a MiB a run, with no more objects.
"""

from __future__ import annotations

import ctypes
import time

LEAST_S = 10.0
_last_s = float("-inf")


def give_back_free_memory() -> bool:
    """Give freed memory back, at most once per ``LEAST_S``; takes about a millisecond.

    Returns whether anything was done; without glibc nothing is.
    """
    global _last_s
    now_s = time.monotonic()
    if now_s - _last_s < LEAST_S:
        return False
    _last_s = now_s
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    return bool(trim(0))
