"""Freed memory goes back to the system: resident memory falls, and not at every call."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import psutil
from hw.free_memory import give_back_free_memory
resident = psutil.Process().memory_info
pieces = [bytes(60_000) for _ in range(4000)]  # below what the C library maps by itself
kept = pieces[::100]
del pieces
before = resident().rss
print(give_back_free_memory(), give_back_free_memory(), before - resident().rss)
"""


def test_what_lies_between_pieces_in_use_goes_back_at_most_once_in_a_while() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60
    )
    first, second, fell = done.stdout.split()
    assert (first, second) == ("True", "False")
    assert int(fell) > 100e6
