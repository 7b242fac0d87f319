"""The live image of a run: online EM over a stream of events, within a time budget.

A single step is defined in :mod:`recon.live.online_estimate`, which events count in
:mod:`recon.live.time_window`. The step size γ = min(1, ``GAIN`` · ΔN / N) depends on the growth of
the data only: the image is not over-iterated at low count rates, nor does it depend on the speed of
the machine.

Ŝ always holds the new events; a sample of the older ones, as large as the budget allows, represents
the rest of the buffer (compare one-pass list-mode DRAMA, E. Tanaka and H. Kudo, Phys. Med. Biol. 48
(2003) 1405, and its live use by H. Tashima et al., IEEE Trans. Nucl. Sci. 59 (2012) 40). Events
that leave the buffer for lack of room keep their last contribution as a frozen part of S, which is
slowly brought up to the newer image; under a sliding window they are gone. For the final image
(:mod:`recon.live.final_image`) they may be spooled to disk (:mod:`recon.live.spool`).

When more events arrive than the budget allows, every k-th is used with weight k; events lost on the
way are compensated likewise. Intensities stay right and ``fraction_used`` says how much was used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from hw.arrays import Records
from hw.messages.live_settings import TimeWindow
from recon.core.events import EventList
from recon.core.grid import Image
from recon.core.noise_parts import NoiseParts
from recon.live.dynamic_frames import LiveFrames
from recon.live.estimates import Estimates
from recon.live.image import SMALLEST_SAMPLE, LiveImage, display_fwhm_mm
from recon.live.intake import Intake
from recon.live.lines import LiveLines, LorLines
from recon.live.memory import EventMemory, Kept
from recon.live.online_estimate import OnlineEstimate
from recon.live.spool import EventSpool
from recon.live.time_window import Update, WindowBooks

GAIN = 32.0
"""EM steps per e-fold of the data; 32 are the updates of the usual offline 4 × 8 OSEM."""

FIRST_COUNTS = 20_000.0
"""Weight of the uniform start in counts: a few events must not empty the voxels they miss."""

BUFFER_EVENTS = 4_000_000
"""160 MB, 40 s of 100 k prompts/s."""

FRAME_SHARE = 4
"""A frame's sample of earlier events is the image's sample divided by this."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class ExposureOf:
    """What the exposure accounts for: live time only, and decay."""

    live: bool = False
    decay: bool = False


Lines = TypeVar("Lines", bound=LiveLines)


class LiveImager(Generic[Lines]):
    """The image of one run; :meth:`receive` events, :meth:`update` within a budget.

    Parameters
    ----------
    lines : source of the events
    sensitivity : on their grid, with the corrections in force; :meth:`correct` replaces it
    clock : seconds, monotonic; measures the projector's speed
    threads : of the projectors
    capacity : number of events that are kept in memory
    frame_s : length of dynamic frames, s; 0 for none

    Attributes
    ----------
    true_share : share of the prompts left after subtraction; N prompts have the noise of N ·
        true_share² trues (noise-equivalent counts), which sets the post-filter
    in_a_hurry : whether the last update had more new events than its budget is for
    """

    def __init__(
        self,
        lines: Lines,
        sensitivity: Image,
        *,
        clock: Clock,
        threads: int = 1,
        capacity: int = BUFFER_EVENTS,
        frame_s: float = 0.0,
    ) -> None:
        self.lines = lines
        self.grid = lines.grid
        self.clock = clock
        self.estimates = Estimates(lines, sensitivity, clock=clock, threads=threads)
        self.memory = EventMemory(capacity, lines)
        self.frames: LiveFrames | None = None
        self._geometric = sensitivity
        self.restart(frame_s=frame_s)

    def close(self) -> None:
        """Stop the projectors' threads and discard spooled events."""
        self.memory.forget_spooled()
        self.estimates.close()
        if self.frames is not None:
            self.frames.close()
        self.lines.close()

    def restart(
        self,
        *,
        window: TimeWindow | None = None,
        half_life_s: float = 0.0,
        frame_s: float = 0.0,
        exposure_of: ExposureOf | None = None,
        spool: EventSpool | None = None,
    ) -> None:
        """Forget everything, corrections too; ``spool`` takes what memory has no room for.

        Parameters
        ----------
        window : of time; default: all of the run
        half_life_s : of the nuclide, 0 if unknown
        frame_s : length of dynamic frames, 0 for none
        exposure_of : what the exposure accounts for
        """
        self.intake = Intake(self.lines.empty[0])
        self.memory.begin(window or TimeWindow(), half_life_s=half_life_s, spool=spool)
        self.exposure_of = exposure_of or ExposureOf()
        self.estimates.restart(self._geometric)
        self.true_share = 1.0
        self.in_a_hurry = False
        self._booked_ps = 0
        self._have_frames(frame_s)

    def _have_frames(self, frame_s: float) -> None:
        if self.frames is not None and self.frames.seconds != frame_s:
            self.frames.close()
            self.frames = None
        if self.frames is None and frame_s > 0:
            sensitivity = self.estimate_of_all.sensitivity
            self.frames = LiveFrames(
                self.grid, sensitivity, seconds=frame_s, tof=self.lines.tof, clock=self.clock
            )
        if self.frames is not None:
            self.frames.use_sensitivity(self.estimate_of_all.sensitivity)
            self.frames.restart(at_ps=self._booked_ps)

    # --- what is told to it -------------------------------------------------------------------

    def begin_at(self, time_ps: int, *, missed: int = 0) -> None:
        """Set the detector time from which events are seen (for an imager that joined late).

        missed : prompts before that
        """
        self.intake.watermark_ps = self._booked_ps = time_ps
        self.intake.seen += missed
        self.books.begin_at(time_ps, missed=missed)
        if self.frames is not None:
            self.frames.join(time_ps)

    def receive(
        self,
        prompts: Records,
        delayeds: Records,
        *,
        watermark_ps: int,
        missing_prompts: int = 0,
        missing_delayeds: int = 0,
        live_share: float = 0.0,
    ) -> None:
        """Receive events; none that come later are from before ``watermark_ps``.

        Parameters
        ----------
        prompts, delayeds : (n,) ``COINCIDENCE`` records
        watermark_ps : detector time up to which they are complete, ps
        missing_prompts, missing_delayeds : number of events that were lost on the way
        live_share : the scanner's mean live share in this time, 0 if unknown
        """
        self.intake.take(prompts, delayeds, missing_prompts, missing_delayeds, live_share)
        self.intake.watermark_ps = max(self.intake.watermark_ps, watermark_ps)

    def receive_events(self, events: EventList, *, watermark_ps: int) -> None:
        """Receive lines without crystals, complete up to ``watermark_ps`` (LorLines)."""
        records = LorLines.records(events)
        self.receive(records, records[:0], watermark_ps=watermark_ps)

    def correct(self, sensitivity: Image) -> None:
        """Use a sensitivity that matches the present corrections of the lines."""
        self.estimates.use_sensitivity(sensitivity)
        if self.frames is not None:
            self.frames.use_sensitivity(sensitivity)
        self.memory.lines_changed()
        self._maximise()

    def change_window(self, window: TimeWindow) -> None:
        """Use another time window from now on, with what the buffer holds of it."""
        if window != self.books.window:
            scale = self.memory.change_window(window, self._booked_ps)
            self.estimates.forget_frozen()
            self.estimates.scale(scale)
            self._maximise()

    def change_frames(self, frame_s: float) -> None:
        """Change the length of the frames from now on; 0 for none."""
        if frame_s != (self.frames.seconds if self.frames else 0.0):
            self._have_frames(frame_s)

    # --- what is true of it -------------------------------------------------------------------

    @property
    def estimate_of_all(self) -> OnlineEstimate:
        """The estimate of all events."""
        return self.estimates.whole

    @property
    def books(self) -> WindowBooks:
        """The books of the events in the image."""
        return self.memory.books

    @property
    def estimate(self) -> Image:
        """The unfiltered estimate, emissions/s in each voxel (a copy)."""
        return self.estimate_of_all.image.copy()

    @property
    def exposure_s(self) -> float:
        """Exposure that the image is divided by, in units of the events' weights."""
        of = self.exposure_of
        return max(self.books.exposure_s(live=of.live, decay=of.decay), 1e-6)

    @property
    def seconds(self) -> float:
        """Detector time in the image (the weighted sum if the window forgets)."""
        return self.books.wall_s / self.books.relative(self._booked_ps)

    # --- imaging ------------------------------------------------------------------------------

    def update(self, *, budget_s: float, catch_up_s: float | None = None) -> LiveImage:
        """Use pending events, refine with older ones within the budget, return the image.

        New events may take ``catch_up_s`` if that is more; what does not fit is thinned.
        """
        speed = self.estimates.speed
        affordable = max(SMALLEST_SAMPLE, int(speed * budget_s))
        most = max(affordable, int(speed * (catch_up_s or 0.0)))
        self.in_a_hurry = self.intake.count > affordable
        self.use_pending(most, sample=affordable - min(self.intake.count, most))
        return self.shown()

    def use_pending(self, most: int, *, sample: int) -> None:
        """One step with at most ``most`` pending events and about ``sample`` older ones."""
        memory = self.memory
        memory.restate()
        begin_ps, end_ps = self._booked_ps, max(self._booked_ps, self.intake.watermark_ps)
        self._take_delayeds((end_ps - begin_ps) * 1e-12)
        records, each = self.intake.thinned(min(most, memory.buffer.capacity))
        kept = -(-len(records) // memory.keeps_every)
        self._make_room(kept)
        weight, live_share = len(records) * each, self.intake.live_share
        booked = self.books.book(begin_ps, end_ps, kept=kept, weight=weight, live_share=live_share)
        self._booked_ps = end_ps
        share = memory.expire(end_ps)
        self.estimates.lose(share)
        self._take_in(records, each, max(SMALLEST_SAMPLE, sample), booked)
        self._rescale()
        self._maximise()

    def has_used_all(self) -> None:
        """Record that the image has all prompts seen, those left out or lost on the way too."""
        self.intake.take_past(self.intake.seen - self.intake.used, 0)
        self.books.use_all()

    def use_the_rest(self, stopped: Callable[[], bool]) -> None:
        """Use every pending event, and update all kept lines to the present corrections."""
        while self.intake.count and not stopped():
            self.use_pending(self.memory.buffer.capacity, sample=SMALLEST_SAMPLE)
        self.use_pending(1, sample=SMALLEST_SAMPLE)
        while not stopped() and self.memory.restate():
            pass

    def _take_in(self, records: Records, each: float, sample: int, booked: Update) -> None:
        """Update image and frame with the new events, and keep them."""
        relative = self.books.relative(booked.middle_ps)
        weights = np.full(len(records), each * relative, dtype=np.float32)
        columns, new = self.lines.taken_in(records, weights)
        if len(new):
            self._step(Kept(new, self.memory.coming(len(new), booked.kept)), sample=sample)
        if self.frames is not None:
            fresh = Kept(new, self.memory.coming(len(new), booked.kept))
            self._step_frame(self.frames, fresh, sample=sample // FRAME_SHARE, booked=booked)
        if len(new):
            self.memory.add(columns, weights, booked)

    def _take_delayeds(self, seconds: float) -> None:
        delayeds, missing = self.intake.delayeds_of()
        wall_s = self.books.wall_s
        share = wall_s / self.exposure_s if wall_s > 0 else 1.0
        self.lines.take_delayeds(
            delayeds,
            seconds=seconds,
            keep=self.books.left_after(seconds),
            missing=missing,
            time_share=share,
        )

    def _step(self, new: Kept, *, sample: int) -> None:
        """Update the statistic with the new events and a sample of the kept ones."""
        fresh = float(new.events.weight.sum(dtype=np.float64))
        old = self.memory.sampled(0, sample)
        if self.memory.weight <= 0:
            self.estimates.begin_with(fresh / self.exposure_s)
            self.estimates.step(new, old, keep=0.0, gain=1.0)
            return
        relative = self.books.relative(self._booked_ps)
        gain = min(1.0, GAIN * fresh / (self.books.prompts + FIRST_COUNTS * relative))
        keep = (1.0 - gain) * (1.0 + fresh / self.memory.weight)
        self.estimates.step(new, old, keep=keep, gain=gain)
        self.estimates.renew_frozen(fresh / self.books.prompts, self.memory.weight + fresh)

    def _step_frame(self, frames: LiveFrames, new: Kept, *, sample: int, booked: Update) -> None:
        first = len(self.memory) - min(frames.kept, len(self.memory))
        relative = self.books.relative(booked.middle_ps)
        of = self.exposure_of
        frames.take(
            _plain(new, relative),
            _plain(self.memory.sampled(first, sample), relative),
            exposure_s=booked.exposure_s(live=of.live, decay=of.decay),
            end_ps=self._booked_ps,
            kept=booked.kept,
        )

    def pass_over(self, share: float) -> None:
        """Update the statistic from a share of the kept events and the present image."""
        sample = max(SMALLEST_SAMPLE, int(len(self.memory) * share))
        self.estimates.replace(self.memory.sampled(0, sample))
        self._maximise()

    def _make_room(self, coming: int) -> None:
        """Freeze the statistic of events that must leave; a sliding window forgets it."""
        gone, share = self.memory.make_room(coming)
        self.estimates.lose(share)
        if gone is not None:
            self.estimates.freeze(gone)

    def _rescale(self) -> None:
        divided_by = self.memory.rescale(self._booked_ps)
        if divided_by != 1.0:
            self.estimates.scale(1.0 / divided_by)

    def _maximise(self) -> None:
        self.estimates.maximise(self.exposure_s)

    def unfiltered(self) -> Image:
        """Return the current image without the filter for display, emissions/s/mL."""
        return self.estimates.shown(fwhm_mm=0.0)

    def noise_parts(self, *, fwhm_mm: float) -> NoiseParts | None:
        """Return images of parts of the events, see :class:`Estimates`."""
        return self.estimates.noise_parts(fwhm_mm=fwhm_mm)

    @property
    def prompts_in_window(self) -> int:
        """Prompts in the image; those of a window that forgets count as much as is left of them."""
        return round(self.books.prompts / self.books.relative(self._booked_ps))

    def shown(self, *, fwhm_mm: float | None = None) -> LiveImage:
        """Return the current image; ``fwhm_mm`` : of its filter, by default by its counts."""
        in_window = self.prompts_in_window
        worth = self.books.each_worth * self.true_share**2
        if fwhm_mm is None:
            fwhm_mm = display_fwhm_mm(round(in_window * worth))
        image, parts = self.estimates.shown(fwhm_mm=fwhm_mm), self.noise_parts(fwhm_mm=fwhm_mm)
        return LiveImage(
            image=image,
            grid=self.estimates.grid,
            prompts_used=self.intake.used,
            prompts_seen=self.intake.seen,
            delayeds_used=self.intake.delayeds,
            fraction_used=self.books.fraction_used,
            detector_time_s=self.intake.watermark_ps * 1e-12,
            noise=0.0 if parts is None else parts.relative(),
            parts=parts,
            fwhm_mm=fwhm_mm,
            window=str(self.books.window),
            window_s=self.seconds,
            prompts_in_window=in_window,
            frames=self.frames.frames(worth=worth) if self.frames is not None else [],
        )


def _plain(kept: Kept, relative: float) -> Kept:
    """Return events with weights in prompts: a frame forgets nothing."""
    if relative == 1.0:
        return kept
    events, weight = kept.events, kept.events.weight / np.float32(relative)
    return Kept(EventList(events.lors, weight, events.addend), kept.places)
