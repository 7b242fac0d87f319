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


CIRCLE = """
import psutil
from hw.free_memory import give_back_free_memory, keep_what_is_loaded

class Run:
    def __init__(self):
        self.itself, self.data = self, bytearray(b"1") * 60_000_000

keep_what_is_loaded()
resident = psutil.Process().memory_info
Run()
before = resident().rss
give_back_free_memory()
print(before - resident().rss)
"""


def test_what_refers_to_itself_goes_back_too() -> None:
    """A run's parts know each other; Python left them there for fifty million objects more."""
    done = subprocess.run(
        [sys.executable, "-c", CIRCLE], capture_output=True, text=True, timeout=60
    )
    assert int(done.stdout) > 50e6
