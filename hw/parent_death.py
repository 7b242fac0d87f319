"""A child process that ends when its parent does, however the parent ended."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel, in the child before exec, for a signal as its parent dies (prctl(2)).

    One call: no allocation, no lock, so that it may be made between fork and exec. It holds for the
    thread that started the child.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, how)
