"""Progress of long work on stderr: one line, updated, on a terminal; sparse lines in a log.

A program that shows the lines to a person can ask for more by ``TOMOSHIBI_PROGRESS_S``.
"""

from __future__ import annotations

import math
import os
import sys
import time

SPARSE_S = 10.0
LEAST_S = 0.1


def _pace_s() -> float:
    """Return the time between lines where there is no terminal."""
    try:
        wanted = float(os.environ.get("TOMOSHIBI_PROGRESS_S", SPARSE_S))
    except ValueError:
        wanted = SPARSE_S
    return max(LEAST_S, wanted) if math.isfinite(wanted) else SPARSE_S


class ProgressLine:
    """Shows ``label: 42 %``; without a terminal at most every ten seconds, or as asked."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._terminal = sys.stderr.isatty()
        self._pace_s = LEAST_S if self._terminal else _pace_s()
        self._next_s = 0.0 if self._terminal else time.monotonic() + self._pace_s

    def __call__(self, done: float, total: float) -> None:
        """Show the percentage done."""
        percent = 100 * done / total if total else 100.0
        self.say(f"{self._label}: {percent:3.0f} %")

    def say(self, words: str) -> None:
        """Replace the last line by another, if it is time to."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + self._pace_s
        end = "" if self._terminal else "\n"
        start = "\r\x1b[K" if self._terminal else ""
        print(f"{start}{words}", end=end, file=sys.stderr, flush=True)

    def done(self, words: str = "") -> None:
        """End the line."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr)
        if words:
            print(words, file=sys.stderr, flush=True)


LEAST_SHARE = 0.03
"""Below it, the time left is a mere guess."""


class EtaLine:
    """Called with a text and the share done; shows both and the time left."""

    def __init__(self, label: str) -> None:
        self._line = ProgressLine(label)
        self._started_s = time.monotonic()

    def __call__(self, what: str, share: float) -> None:
        """Show the line."""
        words = f"{what}: {100 * share:3.0f} %"
        if share > LEAST_SHARE:
            passed_s = time.monotonic() - self._started_s
            words += f", {passed_s * (1 - share) / share:.0f} s left"
        self._line.say(words)

    def done(self) -> None:
        """End the line."""
        self._line.done()
