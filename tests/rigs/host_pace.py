"""How fast this host is right now, for tests of promises such as "gone within three seconds".

A promise in seconds assumes an idle machine. If other work shares the two cores, a process that
keeps its promise takes correspondingly longer, and a test against the bare number fails by chance.
So a time that is too long is compared again with the number scaled by twice the host's slowness,
found by timing the start of one of our processes at that very moment. Only then is it timed: tests
that pass by the bare number pay nothing. What never ends is still caught, by the bound of its wait.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

START = (sys.executable, "-c", "import daq.cli.launch.live_chain")

QUIET_START_S = 0.5
"""What START takes on two quiet cores of the machines that this is developed on."""

MARGIN = 2.0


def slowness() -> float:
    """How many times slower than a quiet machine this host is now; at least 1."""
    began = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):  # slow enough
        subprocess.run(START, check=True, timeout=30)
    return max(1.0, (time.monotonic() - began) / QUIET_START_S)


def in_time(took_s: float, most_s: float) -> bool:
    """Whether something took less than ``most_s``, or no longer than this host's pace explains."""
    return took_s < most_s or took_s < most_s * MARGIN * slowness()
