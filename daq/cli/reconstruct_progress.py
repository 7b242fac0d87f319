"""Progress of a reconstruction: what is being done, how much, and about how long it will take."""

from __future__ import annotations

import time

from daq.cli.progress import ProgressLine

LEAST_SHARE = 0.03
"""Below it the time left is anybody's guess."""


class EtaLine:
    """Called with words and the share done; shows both and the time left."""

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
