"""What gives way when the machine cannot keep up, in a fixed order, each step told and counted.

1. display: telemetry comes less often, planar pictures not at all;
2. image: the live image gets a part of the events, and says so;
3. sorting: it goes on from the disk, as far as recording leaves time.

Before any of these, the imager leaves out events that it has no time for: told and counted, too.

Recording gives way to nothing but the disk. How far sorting is behind decides; each step is taken
back when half of what led to it is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daq.service.backlog import MOST_BYTES
from hw.messages.imager import ImagerReport
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice

STEPS = ("display", "image", "sorting")
FROM_BYTES = (MOST_BYTES // 16, MOST_BYTES // 4, MOST_BYTES)
"""Unsorted bytes from which each step is taken: 16, 64 and 256 MiB."""

_TAKEN = (
    "displays are updated less often",
    "the live image gets a quarter of the events",
    "sorting goes on from the disk, later",
)
BACK = ("load.display_again", "load.image_again", "load.sorting_again")
IMAGE_SHARE = 4

IMAGE_SPAN_S = 10.0
THINS, THINS_NO_MORE = 0.85, 0.95
"""Shares of the events of some seconds that the imager uses: below the one it is told that it
leaves events out, above the other that it does so no more.
"""

LEAST_EVENTS, LEAST_IMAGES = 1000, 10
"""Within these seconds: what waits for the next image is a tenth at most."""


@dataclass
class _Step:
    times: int = 0
    seconds: float = 0.0


class Load:
    """The steps taken in one run. ``level``: how many of them are in force."""

    def __init__(self) -> None:
        self.level = 0
        self._steps = [_Step() for _ in STEPS]
        self._seen_s = 0.0
        self._batch = 0
        self._image = _Step()
        self._image_from: tuple[float, ImagerReport] | None = None
        self.image_share = 1.0
        self._thins = False

    def look(self, unsorted_bytes: int, behind_s: float, now: float) -> list[JournalLine]:
        """Take or take back steps; return what the journal should say.

        behind_s : detector time that is recorded and not sorted; now : monotonic, in seconds
        """
        for step in self._steps[: self.level]:
            step.seconds += now - self._seen_s
        self._seen_s = now
        lines = []
        while self.level < len(STEPS) and unsorted_bytes >= FROM_BYTES[self.level]:
            self._steps[self.level].times += 1
            taken = _TAKEN[self.level]
            lines.append(notice("load.step", behind_s=f"{behind_s:.1f}", taken=taken))
            self.level += 1
        while self.level and 2 * unsorted_bytes < FROM_BYTES[self.level - 1]:
            self.level -= 1
            lines.append(notice(BACK[self.level]))
        return lines

    @property
    def shows_less(self) -> bool:
        """Whether displays are updated less often."""
        return self.level > 0

    @property
    def sorts_later(self) -> bool:
        """Whether sorting has only the time that recording leaves."""
        return self.level > STEPS.index("sorting")

    def images_next(self) -> bool:
        """Whether the live image gets the next batch."""
        self._batch += 1
        return self.level <= STEPS.index("image") or self._batch % IMAGE_SHARE == 0

    def look_at_image(self, report: ImagerReport, now: float) -> list[JournalLine]:
        """Say that the imager began to leave events out by itself, or does so no more; ``report``:
        its newest. Nothing is said before its first image: events wait for that.
        """
        if not report.images or report.final:
            return []
        since_s, before = self._image_from or (now, report)
        used, seen = (
            report.prompts_used - before.prompts_used,
            report.prompts_seen - before.prompts_seen,
        )
        images = report.images - before.images
        if self._image_from is None or min(used, seen, images) < 0:  # another imager
            self._image_from = now, report
            return []
        if now - since_s < IMAGE_SPAN_S or seen < LEAST_EVENTS or images < LEAST_IMAGES:
            return []
        self._image_from = now, report
        self.image_share = min(used / seen, 1.0)
        if self._thins:
            self._image.seconds += now - since_s
        if not self._thins and self.image_share < THINS:
            self._thins = True
            self._image.times += 1
            return [notice("load.image", share=f"{100 * self.image_share:.0f}")]
        if self._thins and self.image_share >= THINS_NO_MORE:
            self._thins = False
            return [notice("load.image_all")]
        return []

    def summary(self) -> dict[str, Any]:
        """Return which steps were taken how often, and for how long; {} for none."""
        taken = [*zip(STEPS, self._steps, strict=True), ("imager", self._image)]
        return {
            name: {"times": step.times, "seconds": round(step.seconds, 3)}
            for name, step in taken
            if step.times
        }
