"""One run in the live imager: from messages in to image and report messages out.

No socket and no sleep in here: time comes from ``clock`` (monotonic seconds) so that tests can
play a run at any speed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from coincidence.events import COINCIDENCE
from hw.messages.codec import ImageMessage
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd
from hw.messages.pictures import DynamicFrame
from recon.core.grid import Image, ReconError
from recon.exchange.images.nifti import write_nifti
from recon.imager.stream_ledger import LatencyHistogram, RateMeter, StreamLedger
from recon.live.corrections import LiveCorrections
from recon.live.final_image import finish
from recon.live.image import LiveImage
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.live.spool import EventSpool

CORRECTIONS_WAIT_S, FINISH_S = 1.5, 90.0
"""Time for the final image, at most, besides what it takes to write it. The daq waits longer while
it is told of progress (daq/service/run_life.py)."""

Clock = Callable[[], float]


class LiveRun:
    """Reconstructs one run; make a new one for each RunBegin of another run.

    Parameters
    ----------
    imager : restarted by this run
    clock : monotonic seconds, the same clock as the messages' ``*_wall_ns``
    """

    def __init__(self, begin: RunBegin, imager: LiveImager, *, clock: Clock) -> None:
        self.begin = begin
        self.final: ImageMessage | None = None
        self.message = ""
        self._finishing = 0.0
        self._clock = clock
        self._imager = imager
        self._ledger = StreamLedger(begin.run)
        self._latency = LatencyHistogram()
        self._rate = RateMeter()
        self._event_wall_ns = 0
        self._fresh = False
        self._image_path = ""
        folder = Path(begin.folder)
        where = folder if begin.folder and folder.is_dir() else None
        self._spool = EventSpool(imager.lines.empty[0], folder=where)
        self._spool_told = False
        lines = imager.lines
        assert isinstance(lines, CrystalLines)
        lines.restart(delayed_factor=begin.settings.delayed_factor)
        imager.restart(
            window=begin.live.time_window,
            half_life_s=begin.half_life_s,
            frame_s=begin.live.frame_s,
            spool=self._spool,
        )
        self.scanner = lines.system.scanner.name
        self.corrections = LiveCorrections(begin, imager, lines.system)

    def restate(self, begin: RunBegin) -> None:
        """Take the run's announcement again: how it is to be imaged may have changed."""
        if begin.live != self.begin.live:
            self.begin = begin
            self._imager.change_window(begin.live.time_window)
            self._imager.change_frames(begin.live.frame_s)
            self.corrections.change(begin.live)

    def close(self) -> None:
        """Stop what works in the background; give the disk back."""
        self.corrections.close()
        self._spool.clear()

    def take(self, batch: CoincidenceBatch, prompts: bytes, delayeds: bytes) -> None:
        """Take one batch; it is used with the next image."""
        missing = self._ledger.take(batch)
        if missing is None or self.final is not None:
            return
        prompt_records = np.frombuffer(prompts, dtype=COINCIDENCE)
        if self._ledger.joined_late and not self._imager.intake.seen:
            first_ps = prompt_records["time_ps"].min(initial=batch.watermark_ps)
            self._imager.begin_at(int(first_ps))
        self._imager.receive(
            prompt_records,
            np.frombuffer(delayeds, dtype=COINCIDENCE),
            watermark_ps=batch.watermark_ps,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
            live_share=batch.live_share,
        )
        self._event_wall_ns = max(self._event_wall_ns, batch.event_wall_ns)
        self._fresh = True

    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image where events came since the last one."""
        if not self._fresh or self.final is not None:
            return None
        self._fresh = False
        self.corrections.advance()
        return self._published(self._imager.update(budget_s=budget_s, catch_up_s=catch_up_s))

    def end(self, end: RunEnd, *, stopped: Callable[[], bool]) -> ImageMessage | None:
        """Finish the run: return the final image, written to the run's folder; None if done.

        ``stopped`` is asked all the time: reports may be sent from there.
        """
        if end.run != self.begin.run or self.final is not None:
            return None
        missing = self._ledger.end(end)
        nothing = np.empty(0, COINCIDENCE)
        self._imager.receive(
            nothing,
            nothing,
            watermark_ps=0,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
        )
        self.corrections.wait(CORRECTIONS_WAIT_S)
        image = finish(
            self._imager, within_s=FINISH_S, stopped=stopped, progress=self._finishing_at
        )
        self._spool.clear()
        self.final = self._published(image, final=True)
        if self.begin.folder:
            self._write(image)
        return self.final

    def _finishing_at(self, share: float) -> None:
        self._finishing = share

    def report(self) -> ImagerReport:
        """Return the statistics of this run so far."""
        return ImagerReport(
            run=self.begin.run,
            images=self._rate.count,
            rate_Hz=self._rate.rate_Hz,
            latency_p50_ms=self._latency.percentile(50),
            latency_p99_ms=self._latency.percentile(99),
            fraction_used=self._imager.intake.fraction_used,
            prompts_used=self._imager.intake.used,
            prompts_seen=self._imager.intake.seen,
            batches_lost=self._ledger.batches_lost,
            final=self.final is not None,
            image_path=self._image_path,
            finishing=self._finishing,
            message=self._said(),
        )

    def _said(self) -> str:
        spool = ""
        if self._spool.broken and not self._spool_told:
            spool = f"the final image will be a refined one: {self._spool.broken}"
            self._spool_told = True
        words = "; ".join(one for one in (self.message, self.corrections.message, spool) if one)
        self.message = self.corrections.message = ""
        return words

    def _published(self, image: LiveImage, *, final: bool = False) -> ImageMessage:
        now_s = self._clock()
        if not final:  # the last image ends when the run ends, not when its last event was seen
            self._rate.add(now_s)
            self._latency.add(now_s * 1e3 - self._event_wall_ns * 1e-6)
        grid, told = self._imager.grid, self.corrections.told()
        return ImageMessage(
            run=self.begin.run,
            sequence=self._rate.count,
            shape=grid.shape,
            voxel_mm=grid.voxel_mm,
            image=self._scaled(image).tobytes(),
            unit=self.corrections.unit,
            detector_time_s=image.detector_time_s,
            event_wall_ns=self._event_wall_ns,
            published_wall_ns=int(now_s * 1e9),
            prompts_used=image.prompts_used,
            delayeds_used=image.delayeds_used,
            fraction_used=image.fraction_used,
            corrections={name: made for name, made in told.applied().items() if name in told.done},
            how={name: one.how for name, one in told.done.items()},
            noise=image.noise,
            rate_Hz=self._rate.rate_Hz,
            final=final,
            note=f"post-filter {image.fwhm_mm:.1f} mm FWHM{image.how and '; '}{image.how}",
            window=image.window,
            window_s=image.window_s,
            prompts_in_window=image.prompts_in_window,
            frames=[self._scaled_frame(frame) for frame in image.frames],
        )

    def _scaled(self, image: LiveImage) -> Image:
        scale = self.corrections.scale
        return image.image if scale == 1.0 else image.image * np.float32(scale)

    def _scaled_frame(self, frame: DynamicFrame) -> DynamicFrame:
        return msgspec.structs.replace(frame, scale=frame.scale * self.corrections.scale)

    def _write(self, image: LiveImage) -> None:
        path = Path(self.begin.folder) / "images" / "live.nii.gz"
        grid = self._imager.grid
        about = {
            "algorithm": image.how,
            "run": self.begin.run,
            "scanner": self.scanner,
            "unit": self.corrections.unit,
            "voxel_mm": list(grid.voxel_mm),
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, self._scaled(image), grid, about)
        except (OSError, ReconError) as error:
            self.message = f"the final image could not be written: {error}"
        else:
            self._image_path = str(path)
