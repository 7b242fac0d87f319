"""Stopping a run in three steps, each bounded: drain the links, sort the rest, await the image."""

from __future__ import annotations

from daq.service.run import Run

SILENCE_S = 1.0
DRAIN_MOST_S = 600.0
"""Data that still flow are waited for: a slow disk may need minutes for what is on its way."""

REPORTS_S = 10.0
"""For the sources' reports once every module's LAST frame is in: a link process asks each of its
modules for one, and 48 of them on two busy cores take more than a second. Books without a report do
not close; a source that never makes one holds each run up for so long, and the run says so."""

IMAGER_S = 10.0
"""For the imager's final report, or a sign of progress."""

IMAGER_MOST_S = 420.0
"""More than the imager gives itself (recon/imager/pet_run.py): a scatter of a nuclide with prompt γ
takes a minute on two cores, and several where they have other work."""

HURRIED_DRAIN_S, HURRIED_SORT_S, HURRIED_IMAGER_S = 0.8, 0.5, 0.5


class Closing:
    """Decides when each of the steps of stopping is over. Times are monotonic seconds.

    sources : how many reports are waited for
    drained, sorted : whether the first and the second step are over
    """

    def __init__(self, now: float, *, sources: int, imager: bool) -> None:
        self.drained = self.sorted = False
        self.sources = sources
        self._imager = imager
        self._began = now
        self._drain_s, self._imager_s = DRAIN_MOST_S, IMAGER_S
        self._silence_s, self._reports_s = SILENCE_S, REPORTS_S
        self._imager_most_s = IMAGER_MOST_S
        self._drained_at = self._sorted_at = 0.0
        self._progress: tuple[float, ...] = (0.0, 0, 0)
        self._progress_at = 0.0
        self._hurried = False

    def hurry(self) -> None:
        """Shorten all waits: the process must exit."""
        self._hurried = True
        self._drain_s = min(self._drain_s, HURRIED_DRAIN_S)
        self._silence_s = self._reports_s = min(self._silence_s, HURRIED_DRAIN_S / 2)
        self._imager_s = self._imager_most_s = HURRIED_IMAGER_S

    def drain_is_over(self, run: Run, now: float, *, last_data_s: float) -> bool:
        """Whether every LAST frame and report has come, or silence or the bound ends the wait.

        What a full disk does not take is waited for, which is bounded elsewhere.
        """
        if run.unwritten is not None and not self._hurried:
            return False
        complete = run.all_ended and len(run.reports) >= self.sources
        patience_s = self._reports_s if run.all_ended else self._silence_s
        silent = now - max(last_data_s, self._began) > patience_s
        expired = now - self._began > self._drain_s
        if (silent or expired) and not run.all_ended:
            run.taint("incomplete: the modules' last frames never came")
        return complete or silent or expired

    def drained_at(self, now: float) -> None:
        """Record that draining is over."""
        self.drained, self._drained_at = True, now

    def sorting_is_over(self, run: Run, now: float) -> bool:
        """Whether all is sorted, or a process that must exit has no time for the rest."""
        return not run.backlog or (self._hurried and now - self._drained_at > HURRIED_SORT_S)

    def sorted_at(self, now: float) -> None:
        """Record that all is sorted."""
        self.sorted, self._sorted_at, self._progress_at = True, now, now

    def imager_is_done(self, run: Run, now: float) -> bool:
        """Whether the imager has finished the image, is absent, or has used up its time, which is
        longer, within a bound, while it reports progress.
        """
        if (told := run.imager) is not None:
            if told.final:
                return True
            progress = (told.finishing, told.images, told.prompts_seen)
            if progress != self._progress:
                self._progress, self._progress_at = progress, now
        stuck = now - self._progress_at > self._imager_s
        return stuck or not self._imager or now - self._sorted_at > self._imager_most_s
