"""Short dynamic frames beside the long image: a separate image every few seconds.

Frames lie end to end on detector time. Each is a separate online EM on voxels of at least
``FRAME_VOXEL_MM``, started from a uniform image and fed with the same events as the long one;
events of the frame still in the buffer are used again as the budget allows. The newest
``FRAMES_KEPT`` complete frames are kept, so memory is bounded. A frame costs half as much per event
as the long image, and an eighth or less per voxel. When corrections change, complete frames are
made anew (:mod:`recon.live.frame_renewal`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw.messages.pictures import DynamicFrame
from recon.core.display_filter import gaussian
from recon.core.events import EventList
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import resample
from recon.core.tof import TofModel
from recon.em.list_mode_osem import OsemResult, osem
from recon.live.image import display_fwhm_mm
from recon.live.memory import Kept
from recon.live.online_estimate import OnlineEstimate
from recon.live.part_estimates import PartEstimates
from recon.scatter.quick_image import QUICK_ITERATIONS, QUICK_SUBSETS

FRAME_VOXEL_MM = 4.0
FRAMES_KEPT = 6
FRAME_GAIN = 16.0
"""EM steps per e-fold of a frame's data, see recon.live.imager."""

FIRST_FRAME_COUNTS = 5_000.0
FRAME_FILTER = 1.4
"""Width of a frame's post-filter over that of an image of as many prompts: for comparison."""

LEAST_EXPOSURE_S = 1e-6

FRAME_PARTS = 2
"""Enough for the noise of a voxel, which is a mean over thousands."""

U2 = 65535
LEAST_SHARE = 0.05
"""A frame is shown beside complete ones once this share of its time has passed."""


def frame_grid(grid: ImageGrid) -> ImageGrid:
    """Return a centred grid of voxels of about ``FRAME_VOXEL_MM`` that covers ``grid``."""
    factor = [max(1, math.floor(FRAME_VOXEL_MM / size + 1e-6)) for size in grid.voxel_mm]
    x, y, z = (math.ceil(n / f) for n, f in zip(grid.shape, factor, strict=True))
    by_x, by_y, by_z = (size * f for size, f in zip(grid.voxel_mm, factor, strict=True))
    return ImageGrid((x, y, z), (by_x, by_y, by_z))


@dataclass
class FrameSpan:
    """One frame: its number, its time, and what it has received so far."""

    number: int
    begin_ps: int
    end_ps: int
    exposure_s: float = 0.0
    prompts: float = 0.0
    kept: int = 0


class LiveFrames:
    """The frames of one run.

    Parameters
    ----------
    grid, sensitivity : of the long image
    seconds : length of a frame, s
    tof : the lines' time-of-flight model, None without
    clock : seconds, monotonic; measures the projector's speed
    """

    def __init__(
        self,
        grid: ImageGrid,
        sensitivity: Image,
        *,
        seconds: float,
        tof: TofModel | None,
        clock: Callable[[], float],
    ) -> None:
        self.grid = frame_grid(grid)
        self.seconds = seconds
        self._fine = grid
        self._worth = 1.0
        self._volumes = self.grid.voxel_volume_mm3 / grid.voxel_volume_mm3
        self._estimate = OnlineEstimate(
            self.grid, self._coarse(sensitivity), tof=tof, clock=clock, threads=1
        )
        self._parts = PartEstimates(
            self.grid, grid, sensitivity, tof=tof, clock=clock,
            count=FRAME_PARTS, one_of=FRAME_PARTS,
        )  # fmt: skip
        self._complete: deque[tuple[FrameSpan, DynamicFrame]] = deque(maxlen=FRAMES_KEPT)
        self._filling = FrameSpan(0, 0, 0)

    def close(self) -> None:
        """Stop the projector's threads."""
        self._estimate.close()
        self._parts.close()

    def restart(self, *, at_ps: int = 0) -> None:
        """Forget all frames; the next one begins at ``at_ps``."""
        self._complete.clear()
        self._clear()
        self._filling = FrameSpan(0, at_ps, at_ps)

    def join(self, time_ps: int) -> None:
        """Forget all frames; the next one is the one under way at this time of the run."""
        self.restart()
        length_ps = round(self.seconds * 1e12)
        number = time_ps // length_ps
        self._filling = FrameSpan(number, number * length_ps, time_ps)

    def _clear(self) -> None:
        self._estimate.clear()
        self._parts.each(OnlineEstimate.clear)

    def use_sensitivity(self, sensitivity: Image) -> None:
        """Use a new sensitivity (on the long image's grid) from now on."""
        self._estimate.use_sensitivity(self._coarse(sensitivity))
        self._parts.use_sensitivity(sensitivity)

    @property
    def kept(self) -> int:
        """How many of the newest events in the buffer belong to the current frame."""
        return self._filling.kept

    def take(self, new: Kept, old: Kept, *, exposure_s: float, end_ps: int, kept: int) -> None:
        """Process an update: its events, and a weighted sample of the frame's earlier ones.

        Parameters
        ----------
        new : the update's events
        old : a sample of the frame's earlier events, weighted to represent them all
        exposure_s : growth of the frame's exposure, s
        end_ps : detector time up to which the update is complete, ps
        kept : number of new events that the buffer keeps
        """
        if end_ps - self._filling.begin_ps > self.seconds * 1e12:
            self._finish(end_ps)
        now = self._filling
        fresh = float(new.events.weight.sum(dtype=np.float64))
        now.exposure_s += exposure_s
        now.end_ps = end_ps
        if fresh > 0:
            self._move(new, old, fresh)
        now.prompts += fresh
        now.kept += kept
        self._estimate.maximise(now.exposure_s)
        self._parts.each(lambda one: one.maximise(now.exposure_s))

    def _move(self, new: Kept, old: Kept, fresh: float) -> None:
        before = self._filling.prompts
        gain = min(1.0, FRAME_GAIN * fresh / (before + fresh + FIRST_FRAME_COUNTS))
        if before <= 0:
            per_s = fresh / max(self._filling.exposure_s, LEAST_EXPOSURE_S)
            self._estimate.begin_with(per_s)
            self._parts.each(lambda one: one.begin_with(per_s))
            self._estimate.move(self._ratio(new.events), keep=0.0, gain=1.0)
            self._parts.move(self._parts.ratios(*new), keep=0.0, gain=1.0)
            return
        keep = (1.0 - gain) * (1.0 + fresh / before)
        ratio, ratios = self._ratio(new.events), self._parts.ratios(*new)
        if not len(old.events):
            # the new events stand for the frame's others
            ratio *= np.float32((before + fresh) / fresh)
            ratios = [one * np.float32((before + fresh) / fresh) for one in ratios]
        else:
            ratio += self._ratio(old.events)
            ratios = [a + b for a, b in zip(ratios, self._parts.ratios(*old), strict=True)]
        self._estimate.move(ratio, keep=keep, gain=gain)
        self._parts.move(ratios, keep=keep, gain=gain)

    def _ratio(self, events: EventList) -> Image:
        """Return the ratio here: gains go with 1 / voxel volume, addends with the volume."""
        return self._estimate.ratio(self._here(events))

    def _here(self, events: EventList) -> EventList:
        """Return events of the long image for these voxels."""
        addend = events.addend * np.float32(self._volumes)
        return EventList(events.lors, events.weight, addend)

    def _finish(self, end_ps: int) -> None:
        frame = self._shown(self._filling, complete=True)
        if frame is not None:
            self._complete.append((self._filling, frame))
        length_ps = round(self.seconds * 1e12)
        number = self._filling.number + 1
        # after a gap in the data a frame begins where the last one would have ended
        begin_ps = max(self._filling.begin_ps + length_ps, end_ps - length_ps)
        self._filling = FrameSpan(number, begin_ps, begin_ps)
        self._clear()

    @property
    def complete(self) -> list[FrameSpan]:
        """The complete frames, oldest first."""
        return [span for span, _ in self._complete]

    def offline(
        self, events: EventList, exposure_s: float, stopped: Callable[[], bool]
    ) -> OsemResult:
        """Return a frame's image by OSEM, with its parts; may run in another thread."""
        projector = self._estimate.new_projector(1)
        exposure = self._estimate.sensitivity * np.float32(exposure_s)
        try:
            return osem(
                projector, self._here(events), exposure, self._estimate.mask,
                iterations=QUICK_ITERATIONS, subsets=max(1, min(QUICK_SUBSETS, len(events))),
                parts=FRAME_PARTS, stopped=stopped,
            )  # fmt: skip
        finally:
            projector.close()

    def renew(self, number: int, made: OsemResult) -> None:
        """Replace a complete frame's image, if the frame is still kept."""
        for place, (span, _) in enumerate(self._complete):
            frame = self._shown(span, complete=True, made=made)
            if span.number == number and frame is not None:
                self._complete[place] = (span, frame)

    def frames(self, *, worth: float = 1.0) -> list[DynamicFrame]:
        """Return the newest frames, oldest first; last the current one, once begun.

        worth : noise-equivalent counts of a prompt
        """
        self._worth = worth
        now = self._filling
        begun = (now.end_ps - now.begin_ps) * 1e-12 > LEAST_SHARE * self.seconds
        filling = self._shown(now, complete=False) if begun or not self._complete else None
        whole = [frame for _, frame in self._complete]
        return [*whole, *([] if filling is None else [filling])]

    def _shown(
        self, now: FrameSpan, *, complete: bool, made: OsemResult | None = None
    ) -> DynamicFrame | None:
        if now.prompts <= 0:
            return None
        fwhm_mm = FRAME_FILTER * display_fwhm_mm(round(now.prompts * self._worth))
        image = self._estimate.shown(
            fwhm_mm=fwhm_mm,
            voxel_volume_mL=self.grid.voxel_volume_mm3 / 1000.0,
            image=None if made is None else made.image,
        )
        top = float(image.max(initial=0.0))
        scale = top / U2 if top > 0 else 1.0
        levels = np.rint(image / np.float32(scale)).astype("<u2")
        return DynamicFrame(
            number=now.number,
            begin_s=now.begin_ps * 1e-12,
            end_s=now.end_ps * 1e-12,
            shape=self.grid.shape,
            voxel_mm=self.grid.voxel_mm,
            scale=scale,
            image=levels.tobytes(),
            prompts=round(now.prompts),
            noise=self._noise(made, fwhm_mm),
            complete=complete,
        )

    def _noise(self, made: OsemResult | None, fwhm_mm: float) -> float:
        """Return σ of a voxel over its mean, 0 if not known."""
        if made is None:
            return self._parts.shown(fwhm_mm=fwhm_mm).relative()
        if made.parts is None:
            return 0.0
        smooth = made.parts.filtered(lambda one: gaussian(one, self.grid, fwhm_mm=fwhm_mm))
        return smooth.relative()

    def _coarse(self, sensitivity: Image) -> Image:
        coarse = resample(sensitivity, self._fine.voxel_mm, self.grid)
        return np.maximum(coarse, np.float32(0.0))
