"""Gives memory that a process has freed back to the system.

The C library keeps freed memory for later use, scattered between blocks in use, so that a process
that takes runs for weeks seems to grow: the acquisition by half a MiB a run, with no more objects.
What refers to itself in a circle is freed only once Python looks for it, and a run is large.
"""

from __future__ import annotations

import ctypes
import gc
import time

LEAST_S = 10.0
OFTEN = (2000, 10, 10)
"""New objects, and rounds, after which Python looks for circular garbage, as it does by default."""

_last_s = float("-inf")


def keep_what_is_loaded() -> None:
    """Call before serving: take what a process has loaded for lasting, and look for garbage often.

    The modules' objects are then passed over, so that looking takes a millisecond and not fifty.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*OFTEN)


def give_back_free_memory() -> bool:
    """Free what is in circles and give it back, at most once per ``LEAST_S``: a few milliseconds.

    Returns whether anything was done; without glibc nothing is.
    """
    global _last_s
    now_s = time.monotonic()
    if now_s - _last_s < LEAST_S:
        return False
    _last_s = now_s
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    return bool(trim(0))
