"""A PET run in the live imager: from batches of coincidences to images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from coincidence.events import COINCIDENCE
from hw.arrays import Records
from hw.messages.imager import CoincidenceBatch, RunBegin
from hw.messages.pictures import ImageMessage
from recon.core.correction_record import Corrections
from recon.core.decay import decay_factor
from recon.core.frame_times import FrameTime
from recon.core.frames import TimeSelection
from recon.core.grid import Image
from recon.core.noise_parts import NoiseParts
from recon.core.quantification import BQ_PER_ML
from recon.imager.final_choice import final_choice
from recon.imager.run_base import Batch, Clock, Final, LiveRun, Stopped, Used
from recon.imager.stream_ledger import Missing
from recon.lines.pile_up import kept_when_piled, pairs_not_piled_up
from recon.live.corrections import LiveCorrections
from recon.live.final_image import STOPPED, finish
from recon.live.image import LiveImage
from recon.live.imager import LiveImager
from recon.live.late_join import LateJoin
from recon.live.lines import CrystalLines
from recon.live.past_events import PastEvents
from recon.live.run_list import RunList
from recon.live.spool import EventSpool

CORRECTIONS_WAIT_S, FINISH_S = 240.0, 90.0
"""Time limits for the final image's corrections and for itself, not counting writing it. The daq
waits longer as long as progress is reported (daq/service/run_life.py)."""

CATCH_UP_S = 60.0
"""Time limit at the end of the run for what was missed before joining it."""

CATCH_UP_PROMPTS = 30_000
"""Missed prompts that are taken in after an image, some 20 ms: four times 100 k prompts/s."""

CATCH_UP_EVERY_S = 1.0
"""So often also while new events alone take longer than an image may."""

POLL_S = 0.05
LEAST_S = 1e-3
"""Time that an image of no events is said to be of."""

CONCLUDED = 0.8
"""Share of the work done when the corrections are ready."""


class PetLiveRun(LiveRun):
    """Live reconstruction of one PET run.

    Parameters
    ----------
    imager : restarted for this run
    """

    records = (COINCIDENCE, COINCIDENCE)

    def __init__(self, begin: RunBegin, imager: LiveImager[CrystalLines], *, clock: Clock) -> None:
        super().__init__(begin, imager.grid, clock=clock)
        self._imager = imager
        folder = Path(begin.folder)
        where = folder if begin.folder and folder.is_dir() else None
        self._spool = EventSpool(imager.lines.empty[0], folder=where)
        self._spool_told = False
        self._late: LateJoin | None = None
        self._late_told, self._caught_up_s = False, -CATCH_UP_EVERY_S
        self._has: Corrections | None = None
        imager.lines.restart(delayed_factor=begin.settings.delayed_factor)
        imager.restart(
            window=begin.live.time_window,
            half_life_s=begin.half_life_s,
            frame_s=begin.live.frame_s,
            spool=self._spool,
        )
        self.corrections = LiveCorrections(begin, imager, imager.lines.system)

    def restate(self, begin: RunBegin) -> None:
        """Apply a new window, frames and corrections."""
        if begin.live != self.begin.live:
            self._imager.change_window(begin.live.time_window)
            self._imager.change_frames(begin.live.frame_s)
            self.corrections.change(begin.live)
        self.begin = begin  # SUV is known from the start on, when the activity's age is

    def close(self) -> None:
        """Stop background work; release disk space."""
        if self._late is not None:
            self._late.close()
        self.corrections.close()
        self._spool.clear()

    def _counts_of(self, batch: Batch) -> tuple[int, ...] | None:
        return (batch.prompts, batch.delayeds) if isinstance(batch, CoincidenceBatch) else None

    def _take(self, batch: CoincidenceBatch, missing: Missing, *records: Records) -> None:
        prompts, delayeds = records
        if self._missed_some and self._late is None:
            first_ps = prompts["time_ps"].min(initial=batch.watermark_ps)
            mean = batch.mean_live_share or batch.live_share or 1.0
            self._join_late(int(first_ps), self._not_lost(mean))
        self._imager.receive(
            prompts,
            delayeds,
            watermark_ps=batch.watermark_ps,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
            live_share=self._not_lost(batch.live_share),
        )
        self._fresh = True

    def _not_lost(self, live_share: float) -> float:
        """Return the live share of the pairs, less what pile-up cost it; 0 if it is not known."""
        scanner = self._imager.lines.system.scanner
        return live_share * pairs_not_piled_up(scanner, live_share, self._kept_when_piled)

    @cached_property
    def _kept_when_piled(self) -> float:
        system, settings = self._imager.lines.system, self.begin.settings
        spectrum = system.detection.efficiency.spectrum
        if not spectrum.size:
            return 1.0
        window = {"lld_keV": settings.lld_keV, "uld_keV": settings.uld_keV}
        return kept_when_piled(system.scanner, spectrum, **window)

    @property
    def _missed_some(self) -> bool:
        """Whether events were sent before it joined the run."""
        return bool(self._ledger.before or self._ledger.delayeds_before)

    def _join_late(self, at_ps: int | None, live_share: float) -> None:
        """Begin to catch up, from the list in the run's folder."""
        missed, delayeds = self._ledger.before, self._ledger.delayeds_before
        events = PastEvents(
            Path(self.begin.folder), self.begin.run, prompts=missed, delayeds=delayeds
        )
        self._late = LateJoin(self._imager, events, at_ps=at_ps, live_share=live_share)
        since = "after its end" if at_ps is None else f"at {at_ps * 1e-12:.1f} s"
        self._say(f"joined the run {since}: catching up {missed} prompts from its list")

    def _say(self, words: str) -> None:
        self.message = "; ".join(one for one in (self.message, words) if one)

    def catch_up(self) -> None:
        """Take in some of what was missed before joining, if there is time for it."""
        now = self._clock()
        in_a_hurry = self._imager.in_a_hurry and now - self._caught_up_s < CATCH_UP_EVERY_S
        if self._late is not None and self.final is None and not in_a_hurry:
            self._caught_up_s = now
            self._late.advance(CATCH_UP_PROMPTS)
            self._tell_late(self._late)

    def _catch_up_all(self, stopped: Stopped) -> None:
        """Take in all that was missed before joining, within a time."""
        late, deadline = self._late, self._clock() + CATCH_UP_S
        if late is None:
            return
        while late.under_way and not stopped() and self._clock() < deadline:
            late.advance(CATCH_UP_PROMPTS, wait_s=POLL_S)
        late.close()
        self._tell_late(late)

    def _tell_late(self, late: LateJoin) -> None:
        """Say once how catching up ended."""
        if late.under_way or self._late_told:
            return
        self._late_told = True
        if late.complete:
            self._say("caught up: the image has what it missed")
        else:
            self._say(f"not all of what was missed is in the image: {late.error or 'no time left'}")

    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image if events came since the last one."""
        if not self._fresh or self.final is not None:
            return None
        self._fresh = False
        self.corrections.advance()
        image = self._imager.update(budget_s=budget_s, catch_up_s=catch_up_s)
        parts = image.parts if self._regions.wanted() else None
        if parts is not None:
            parts = parts.scaled(self.corrections.scale)
        return self._published(self._scaled(image.image), parts, **self._facts(image))

    def _finish(self, missing: Missing, stopped: Stopped) -> Final:
        nothing = np.empty(0, COINCIDENCE)
        self._imager.receive(
            nothing,
            nothing,
            watermark_ps=0,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
        )
        if self._missed_some and self._late is None:
            self._join_late(None, 1.0)
        self._catch_up_all(self._reporting(stopped))
        until_now = self.corrections.told()
        self.corrections.conclude(CORRECTIONS_WAIT_S, self._reporting(stopped), self._concluding_at)
        image = finish(
            self._imager,
            within_s=FINISH_S,
            choice=final_choice(self._imager, self.corrections, stopped=stopped),
            listed=self._listed(),
            stopped=stopped,
            progress=self._finishing_at,
        )
        self._has = until_now if image.how == STOPPED else None
        self._spool.clear()
        plain = self._scaled(self._imager.unfiltered())
        return Final(
            self._scaled(image.image),
            self._facts(image),
            self._about(image),
            plain,
            self._parts(image, image.fwhm_mm),
            self._parts(image, 0.0),
            self._time_of(image),
            image.grid,
        )

    def _listed(self) -> RunList | None:
        """Return the run's list, if the image is of the whole run and has not used all of it."""
        imager, sent = self._imager, self._ledger.total
        whole = imager.books.window.kind == "grow" and imager.prompts_in_window == sent
        if not whole or imager.intake.used >= sent or not self.begin.folder:
            return None
        return RunList(Path(self.begin.folder), self.begin.run, prompts=sent)

    def _time_of(self, image: LiveImage) -> FrameTime:
        """Return when the events of the last image were measured, and its factor for decay; of a
        window that forgets as if it had all of so many seconds."""
        end_s = max(image.detector_time_s, LEAST_S)
        start_s = max(end_s - max(image.window_s, LEAST_S), 0.0)
        half_life_s, factor = self.begin.half_life_s, 1.0
        if self.corrections.told().of("decay").applied:
            factor = decay_factor(TimeSelection.frame(start_s, end_s), half_life_s, 0.0)
        return FrameTime(
            start_s, end_s - start_s, decay_factor=factor, prompts=image.prompts_in_window
        )

    def _parts(self, image: LiveImage, fwhm_mm: float) -> NoiseParts | None:
        """Return the parts of the final image, None if they are not on its grid."""
        parts = self._imager.noise_parts(fwhm_mm=fwhm_mm)
        if parts is None or parts.images.shape[1:] != image.grid.shape:
            return None
        return parts.scaled(self.corrections.scale)

    def _finishing_at(self, share: float) -> None:
        self._finishing = max(self._finishing, CONCLUDED + (1.0 - CONCLUDED) * share)

    def _concluding_at(self, share: float) -> None:
        self._finishing = max(self._finishing, CONCLUDED * share)

    def _reporting(self, stopped: Stopped) -> Stopped:
        """Return ``stopped``, with a little progress each time it is asked: this goes on."""

        def asked() -> bool:
            self._finishing += 0.001 * (CONCLUDED - self._finishing)
            return stopped()

        return asked

    def _used(self) -> Used:
        intake = self._imager.intake
        return Used(intake.used, intake.seen, intake.fraction_used)

    def _words(self) -> str:
        spool = ""
        if self._spool.broken and not self._spool_told:
            spool = f"the final image will be a refined one: {self._spool.broken}"
            self._spool_told = True
        all_words = (super()._words(), self.corrections.message, spool)
        self.corrections.message = ""
        return "; ".join(one for one in all_words if one)

    def _facts(self, image: LiveImage) -> dict[str, Any]:
        """Return what an image's message says about it."""
        told = self._told().ordered()
        return {
            "unit": self.corrections.unit,
            "detector_time_s": image.detector_time_s,
            "prompts_used": image.prompts_used,
            "delayeds_used": image.delayeds_used,
            "fraction_used": image.fraction_used,
            "corrections": {name: one.applied for name, one in told.items()},
            "how": {name: one.how for name, one in told.items()},
            "noise": image.noise,
            "note": self._note(image),
            "window": image.window,
            "window_s": image.window_s,
            "prompts_in_window": image.prompts_in_window,
            "frames": [
                msgspec.structs.replace(frame, scale=frame.scale * self.corrections.scale)
                for frame in image.frames
            ],
            "suv_per_unit": self._suv_per_unit(told["decay"].applied),
        }

    def _told(self) -> Corrections:
        """Return the image's corrections: of one that was stopped, those it had until the end."""
        return self._has or self.corrections.told()

    def _suv_per_unit(self, of_the_start: bool) -> float:
        """Return SUV per one of the image's unit: of activity, as of the run's start."""
        known = of_the_start and self.corrections.unit == BQ_PER_ML
        return self.begin.suv_per_Bq_per_mL if known else 0.0

    def _note(self, image: LiveImage) -> str:
        filtered = f"post-filter {image.fwhm_mm:.1f} mm FWHM" if image.fwhm_mm else "no post-filter"
        words = [filtered, image.how]
        if self._late is not None:
            words.append(self._late.words())
        return "; ".join(one for one in words if one)

    def _scaled(self, image: Image) -> Image:
        scale = self.corrections.scale
        return image if scale == 1.0 else image * np.float32(scale)

    def _about(self, image: LiveImage) -> dict[str, Any]:
        """Return the metadata of the final image's file."""
        told, model = self._told(), image.resolution
        if model is not None and model.positrons_of:
            told.apply("positron_range", f"{model.positrons_of}, in the resolution model")
        return {
            "algorithm": image.how,
            "scanner": self._imager.lines.system.scanner.name,
            "tof": self._imager.lines.system.tof is not None,
            "decay_reference_s": 0.0,
            "unit": self.corrections.unit,
            "voxel_mm": list(image.grid.voxel_mm),
            "by_counts": image.chosen,
            "window": image.window,
            "duration_s": image.window_s,
            "prompts": image.prompts_in_window,
            "prompts_used": image.prompts_used,
            "prompts_seen": image.prompts_seen,
            "delayeds": image.delayeds_used,
            "fraction_used": image.fraction_used,
            "psf_fwhm_mm": 0.0 if model is None else model.fwhm_mm,
            "post_filter_fwhm_mm": image.fwhm_mm,
            "relative_noise": image.noise,
            "suv_factor": self._suv_per_unit(told.of("decay").applied) or None,
            "corrections": told.as_metadata(),
        }
