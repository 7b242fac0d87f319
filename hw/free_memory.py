"""Gives memory that a process has freed back to the system.

The C library keeps what is freed for later use, in pieces between what is in use; a process that
takes runs for weeks would seem to grow: acquisition by half a MiB a run, with not one object more.
"""

from __future__ import annotations

import ctypes
import time

LEAST_S = 10.0
_last_s = float("-inf")


def give_back_free_memory() -> bool:
    """Give it back, at most every ``LEAST_S``; takes about a millisecond.

    Returns whether anything was done: elsewhere than with glibc there is nothing to do.
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
