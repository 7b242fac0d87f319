"""What a late imager missed: read from the run's own list, in the background, newest first.

The stream's headers say how many prompts and delayeds came before the first batch seen: just as
many stand at the beginning of ``listmode.tmlm`` in the run's folder, which the daq writes before it
sends them. A thread reads them part by part; at most ``PARTS_WAITING`` parts wait, so memory is
bounded and the image's own thread never waits for the disk.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

import numpy as np

from daq.errors import DaqError
from daq.folder.listmode_log import FILE_NAME
from daq.folder.listmode_past import ListmodePast, PastPart
from recon.core.grid import ReconError
from recon.live.background_job import JobSlot

PART_PROMPTS = 50_000
PARTS_WAITING = 2
_WAIT_S = 0.1

Stopped = Callable[[], bool]


class PastEvents:
    """The events of a run from before the imager was there.

    prompts : number of them in all taken : number taken so far
    """

    def __init__(self, folder: Path, run: str, *, prompts: int, delayeds: int) -> None:
        self.prompts = prompts
        self.taken = 0
        self._over = not (prompts or delayeds)
        self._held: PastPart | None = None
        self._parts: queue.Queue[PastPart | None] = queue.Queue(PARTS_WAITING)
        self._job: JobSlot[bool] = JobSlot("missed events")
        if not self._over:
            self._job.begin(self._reading(folder / FILE_NAME, run, prompts, delayeds))

    def close(self) -> None:
        """Give up the rest."""
        self._over, self._held = True, None
        self._job.stop()

    @property
    def waited_for(self) -> bool:
        """Whether there is more to come."""
        return not self._over

    @property
    def complete(self) -> bool:
        """Whether all have been taken."""
        return self._over and self.taken == self.prompts and not self.error

    @property
    def error(self) -> str:
        """Why the rest cannot be read."""
        return self._job.error

    @property
    def left(self) -> bool:
        """Whether prompts have not been taken yet."""
        return self.taken < self.prompts

    @property
    def share(self) -> float:
        """Share of the prompts that have been taken."""
        return self.taken / self.prompts if self.prompts else 1.0

    def take(self, most: int, *, wait_s: float = 0.0) -> PastPart | None:
        """Return the newest events not taken yet, at most ``most`` prompts; None if none is ready.

        wait_s : how long to wait for the disk
        """
        if self._held is None:
            self._held = self._next(wait_s)
        if self._held is None or self._over:
            return None
        prompts, delayeds = self._held
        first = max(0, len(prompts) - most)
        if first:
            later = delayeds["time_ps"] >= prompts["time_ps"][first]
            self._held = PastPart(prompts[:first], delayeds[~later])
            prompts, delayeds = prompts[first:], delayeds[later]
        else:
            self._held = None
        self.taken += len(prompts)
        return PastPart(prompts, delayeds)

    def _next(self, wait_s: float) -> PastPart | None:
        """Return the next part; None if it is not ready, or there is none."""
        running = self._job.running
        try:
            part = self._parts.get(wait_s > 0, wait_s or None)
        except queue.Empty:
            self._job.take()
            self._over = self._over or not running
            return None
        self._over = self._over or part is None
        return part

    def _reading(
        self, path: Path, run: str, prompts: int, delayeds: int
    ) -> Callable[[Stopped], bool]:
        parts = self._parts

        def work(stopped: Stopped) -> bool:
            try:
                past = ListmodePast(path, run=run, prompts=prompts, delayeds=delayeds)
                for part in past.parts(PART_PROMPTS):
                    _put(parts, part, stopped)
            except (DaqError, OSError) as error:
                raise ReconError(str(error)) from error
            _put(parts, None, stopped)
            return True

        return work


def _put(parts: queue.Queue[PastPart | None], part: PastPart | None, stopped: Stopped) -> None:
    while not stopped():
        try:
            parts.put(part, timeout=_WAIT_S)
        except queue.Full:
            continue
        return


def begin_of(part: PastPart) -> int:
    """Return the detector time at which a part begins, ps."""
    times = part.prompts["time_ps"] if len(part.prompts) else part.delayeds["time_ps"]
    return int(np.min(times, initial=np.iinfo(np.int64).max))
