"""Whether the computer's clock is synchronised: times of injection are read from it."""

from __future__ import annotations

import ctypes
import struct

_TIMEX_BYTES = 208
_STATUS_AT = 40
_STA_UNSYNC = 0x40
"""linux/timex.h: ``struct timex`` of 64-bit machines, and its status bit."""


def clock_is_synchronised() -> bool | None:
    """Return whether the kernel's clock follows a reference (NTP, PTP); None if it cannot be told.

    Source: adjtimex(2); a time service clears STA_UNSYNC, and the kernel sets it again as the
    possible error grows.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    (status,) = struct.unpack_from("<i", buffer.raw, _STATUS_AT)
    return not status & _STA_UNSYNC
