"""How fast this host is just now, for tests of promises such as "gone within three seconds".

A promise in seconds is one of a machine that has time for us. Where other work shares two cores, a
process that keeps it takes as many times longer as that work leaves it less, and a test that
compares with the bare number fails by chance. So what took too long is compared again with twice
what the start of one of our processes, timed at that very moment, says of the host. It is timed in
that case only: tests that pass by the number itself pay nothing. What never ends is still found, by
the bound of the wait that it is in.
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
    """Whether something took less than ``most_s``, or no more than this host's pace explains."""
    return took_s < most_s or took_s < most_s * MARGIN * slowness()
