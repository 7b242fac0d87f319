"""The steps of closing a run, each bounded in time: drain the links, then wait for the image.

An imager that tells of progress with the final image is waited for longer, within a bound.
"""

from __future__ import annotations

from daq.service.run import Run

DRAIN_S = 15.0
SILENCE_S = 1.0
IMAGER_S = 10.0
"""For the imager's final report, or news of progress."""

IMAGER_MOST_S = 120.0
HURRIED_IMAGER_S = 0.5


class Closing:
    """Tells the service when each step of closing is over. Times are monotonic seconds."""

    def __init__(self, now: float, *, sources: int, imager: bool) -> None:
        self.drained = False
        self._sources = sources
        self._imager = imager
        self._began = now
        self._drain_s, self._imager_s, self._silence_s = DRAIN_S, IMAGER_S, SILENCE_S
        self._imager_most_s = IMAGER_MOST_S
        self._drained_at = 0.0
        self._finishing, self._progress_at = 0.0, 0.0

    def hurry(self, drain_s: float) -> None:
        """Shorten all waits: the process must leave."""
        self._drain_s = min(self._drain_s, drain_s)
        self._silence_s = min(self._silence_s, drain_s / 2)
        self._imager_s = self._imager_most_s = HURRIED_IMAGER_S

    def drain_is_over(self, run: Run, now: float, *, last_data_s: float) -> bool:
        """Whether all has come: every LAST frame and report; or silence; or the bound."""
        complete = run.pipeline.decoder.all_ended and len(run.reports) >= self._sources
        silent = now - max(last_data_s, self._began) > self._silence_s
        expired = now - self._began > self._drain_s
        if (silent or expired) and not complete and not run.pipeline.decoder.all_ended:
            run.taint("incomplete: the modules' last frames never came")
        return complete or silent or expired

    def drained_at(self, now: float) -> None:
        """Note that draining is over."""
        self.drained, self._drained_at, self._progress_at = True, now, now

    def imager_is_done(self, run: Run, now: float) -> bool:
        """Whether the imager has finished the picture, is absent, or has had its time."""
        if run.imager is not None:
            if run.imager.final:
                return True
            if run.imager.finishing > self._finishing:
                self._finishing, self._progress_at = run.imager.finishing, now
        stuck = now - self._progress_at > self._imager_s
        return stuck or not self._imager or now - self._drained_at > self._imager_most_s
