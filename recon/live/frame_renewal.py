"""Complete frames, made again in the background: once by OSEM, and when corrections have changed.

Online EM lags behind in a short frame, and scatter and attenuation are known only some time after
the start: a constant object would seem to come and go. A frame's events are still in the ring, as a
rule: it is reconstructed from them with the corrections now in force. A frame whose events have
left stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw.arrays import F4
from recon.core.events import EventList
from recon.em.list_mode_osem import OsemResult
from recon.live.background_job import JobSlot
from recon.live.dynamic_frames import FrameSpan, LiveFrames
from recon.live.event_buffer import Columns
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines

Images = list[tuple[int, OsemResult]]

Corrections = tuple[object, object]
"""Scatter and sensitivity that a frame was made with; compared by identity."""


class FrameRenewal:
    """Keeps one imager's complete frames up to date; call :meth:`advance` before every image."""

    def __init__(self, imager: LiveImager[CrystalLines]) -> None:
        self.job: JobSlot[Images] = JobSlot("frames")
        self._imager = imager
        self._made_with: dict[int, Corrections] = {}

    def close(self) -> None:
        """Stop the work under way."""
        self.job.stop()

    def advance(self) -> None:
        """Apply what is ready; start if a frame was not made with the present corrections."""
        frames = self._imager.frames
        for number, renewed in self.job.take() or ():
            if frames is not None:
                frames.renew(number, renewed)
        if frames is not None and not self.job.busy and self._imager.memory.restated:
            self._begin(frames)

    def _begin(self, frames: LiveFrames) -> None:
        lines, held = self._imager.lines, []
        now = lines.scatter, self._imager.estimate_of_all.sensitivity
        complete, before = frames.complete, self._made_with
        self._made_with = {span.number: now for span in complete}
        for span in complete:
            if _same(before.get(span.number), now):
                continue
            found = self._imager.memory.between(span.begin_ps, span.end_ps)
            if found is not None:
                held.append((span, *found))
        if held:
            self.job.begin(_work(lines, frames, held))


def _work(
    lines: CrystalLines, frames: LiveFrames, held: list[tuple[FrameSpan, Columns, F4]]
) -> Callable[[Callable[[], bool]], Images]:
    def work(stopped: Callable[[], bool]) -> Images:
        made: Images = []
        for span, columns, weight in held:
            if stopped():
                break
            each = np.float32(span.prompts / max(float(weight.sum(dtype=np.float64)), 1.0))
            events: EventList = lines.events(columns, weight * each)
            made.append((span.number, frames.offline(events, span.exposure_s, stopped)))
        return made

    return work


def _same(one: Corrections | None, other: Corrections) -> bool:
    return one is not None and all(a is b for a, b in zip(one, other, strict=True))
