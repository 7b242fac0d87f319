"""A PET run in the live imager: from batches of coincidences to images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from coincidence.events import COINCIDENCE
from hw.arrays import Records
from hw.messages.imager import CoincidenceBatch, RunBegin
from hw.messages.pictures import ImageMessage
from recon.core.grid import Image
from recon.core.noise_parts import NoiseParts
from recon.imager.run_base import Batch, Clock, Final, LiveRun, Stopped, Used
from recon.imager.stream_ledger import Missing
from recon.live.corrections import LiveCorrections
from recon.live.final_image import finish
from recon.live.image import LiveImage
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.live.spool import EventSpool

CORRECTIONS_WAIT_S, FINISH_S = 30.0, 90.0
"""Time limits for the final image's corrections and for itself, not counting writing it. The daq
waits longer as long as progress is reported (daq/service/run_life.py)."""

CONCLUDED = 0.02
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
        self._joined_s = 0.0
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
            self.begin = begin
            self._imager.change_window(begin.live.time_window)
            self._imager.change_frames(begin.live.frame_s)
            self.corrections.change(begin.live)

    def close(self) -> None:
        """Stop background work; release disk space."""
        self.corrections.close()
        self._spool.clear()

    def _counts_of(self, batch: Batch) -> tuple[int, ...] | None:
        return (batch.prompts, batch.delayeds) if isinstance(batch, CoincidenceBatch) else None

    def _take(self, batch: CoincidenceBatch, missing: Missing, *records: Records) -> None:
        prompts, delayeds = records
        if self._ledger.joined_late and not self._imager.intake.seen:
            first_ps = prompts["time_ps"].min(initial=batch.watermark_ps)
            self._joined_s = first_ps * 1e-12
            self._imager.begin_at(int(first_ps), missed=self._ledger.before)
        self._imager.receive(
            prompts,
            delayeds,
            watermark_ps=batch.watermark_ps,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
            live_share=batch.live_share,
        )
        self._fresh = True

    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image if events came since the last one."""
        if not self._fresh or self.final is not None:
            return None
        self._fresh = False
        self.corrections.advance()
        image = self._imager.update(budget_s=budget_s, catch_up_s=catch_up_s)
        return self._published(self._scaled(image.image), **self._facts(image))

    def _finish(self, missing: Missing, stopped: Stopped) -> Final:
        nothing = np.empty(0, COINCIDENCE)
        self._imager.receive(
            nothing,
            nothing,
            watermark_ps=0,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
        )
        self.corrections.conclude(CORRECTIONS_WAIT_S, self._reporting(stopped))
        image = finish(
            self._imager, within_s=FINISH_S, stopped=stopped, progress=self._finishing_at
        )
        self._spool.clear()
        plain = self._scaled(self._imager.unfiltered())
        return Final(
            self._scaled(image.image),
            self._facts(image),
            self._about(image),
            plain,
            self._parts(image.fwhm_mm),
            self._parts(0.0),
        )

    def _parts(self, fwhm_mm: float) -> NoiseParts | None:
        """Return the parts of the final image, None if they are not on its grid."""
        parts = self._imager.noise_parts(fwhm_mm=fwhm_mm)
        if parts is None or parts.images.shape[1:] != self._grid.shape:
            return None
        return parts.scaled(self.corrections.scale)

    def _finishing_at(self, share: float) -> None:
        self._finishing = max(self._finishing, CONCLUDED + (1.0 - CONCLUDED) * share)

    def _reporting(self, stopped: Stopped) -> Stopped:
        """Return ``stopped``, with a little progress each time it is asked: this goes on."""

        def asked() -> bool:
            self._finishing += 0.01 * (CONCLUDED - self._finishing)
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
        words = "; ".join(one for one in (self.message, self.corrections.message, spool) if one)
        self.message = self.corrections.message = ""
        return words

    def _facts(self, image: LiveImage) -> dict[str, Any]:
        """Return what an image's message says about it."""
        told = self.corrections.told().ordered()
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
        }

    def _note(self, image: LiveImage) -> str:
        words = [f"post-filter {image.fwhm_mm:.1f} mm FWHM", image.how]
        if self._joined_s:
            words.append(f"from {self._joined_s:.1f} s on: the imager was not there before")
        return "; ".join(one for one in words if one)

    def _scaled(self, image: Image) -> Image:
        scale = self.corrections.scale
        return image if scale == 1.0 else image * np.float32(scale)

    def _about(self, image: LiveImage) -> dict[str, Any]:
        """Return the metadata of the final image's file."""
        return {
            "algorithm": image.how,
            "scanner": self._imager.lines.system.scanner.name,
            "unit": self.corrections.unit,
            "voxel_mm": list(self._grid.voxel_mm),
            "window": image.window,
            "duration_s": image.window_s,
            "prompts": image.prompts_in_window,
            "prompts_used": image.prompts_used,
            "prompts_seen": image.prompts_seen,
            "delayeds": image.delayeds_used,
            "fraction_used": image.fraction_used,
            "post_filter_fwhm_mm": image.fwhm_mm,
            "relative_noise": image.noise,
            "corrections": self.corrections.told().as_metadata(),
        }
