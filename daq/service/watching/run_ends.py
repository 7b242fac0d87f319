"""What ends a run apart from its sources and its operator: counts, or the live image's noise.

Sorting and logs know nothing of it: the run is stopped as by command, so that its replay, which is
stopped by the end of the raw log, has the same bits. Duration is the sources' matter.
"""

from __future__ import annotations

from daq.service.run import Run
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice

LOW_REPORTS = 3
"""Reports of the imager in succession, one a second, in which the noise must be low: a single one
can be so by chance."""

FALLEN = 0.75
"""Of the highest noise so far, which it must have come below. The live image begins smooth, so that
its noise rises first: of an emulated brain from 20 % after 2 s to 70 % after 15 s, then 44 % after
60 s. On the way up it says nothing of the counts.
"""


def counted(run: Run) -> int:
    """Return the counts by which a run is ended: prompts or, of single photons alone, those in
    photopeak windows.
    """
    settings = run.config.settings
    if settings.sorts_coincidences:
        return run.pipeline.counts.prompts
    peaks = {window.name for window in settings.singles_windows if window.kind == "photopeak"}
    return sum(number for name, number in run.takers.streams.windows().items() if name in peaks)


def noise_percent(run: Run) -> float:
    """Return the noise of the newest live image in percent, 0 where it is not known."""
    return 100 * run.imager.noise if run.imager is not None else 0.0


class RunEnds:
    """Checks whether a run has reached the counts or the noise that end it."""

    def __init__(self) -> None:
        self._images, self._low, self._highest = 0, 0, 0.0

    def why(self, run: Run) -> JournalLine | None:
        """Return why the run is to be ended now, None if it is not."""
        wanted = run.config.until_counts
        if wanted and (found := counted(run)) >= wanted:
            return notice("end.counts", wanted=wanted, found=found)
        return self._by_noise(run)

    def _by_noise(self, run: Run) -> JournalLine | None:
        wanted, report = run.config.until_noise_percent, run.imager
        if not wanted or report is None or report.images == self._images:
            return None
        if report.images < self._images:  # the imager was started again, and begins smooth again
            self._low, self._highest = 0, 0.0
        self._images = report.images
        found = noise_percent(run)
        self._highest = max(self._highest, found)
        enough = 0 < found <= min(wanted, FALLEN * self._highest)
        self._low = self._low + 1 if enough else 0
        if self._low < LOW_REPORTS:
            return None
        return notice("end.noise", found=f"{found:.3g}", wanted=f"{wanted:g}")
