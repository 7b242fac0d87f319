"""Progress of long work on stderr: one line, updated, on a terminal; sparse lines in a log."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """Shows ``label: 42 %``; without a terminal it prints at most every ten seconds."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._terminal = sys.stderr.isatty()
        self._next_s = 0.0 if self._terminal else time.monotonic() + 10.0

    def __call__(self, done: float, total: float) -> None:
        """Show the percentage done."""
        percent = 100 * done / total if total else 100.0
        self.say(f"{self._label}: {percent:3.0f} %")

    def say(self, words: str) -> None:
        """Replace the last line by another, if it is time to."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + (0.1 if self._terminal else 10.0)
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
