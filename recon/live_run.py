"""One run in the live imager: from messages in to image and report messages out.

No socket and no sleep in here: time comes from ``clock`` (monotonic seconds) so that tests can
play a run at any speed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from coincidence.events import COINCIDENCE
from hw.messages import CoincidenceBatch, ImageMessage, ImagerReport, RunBegin, RunEnd
from recon.attenuation_job import AttenuationJob
from recon.grid import ReconError
from recon.live import LiveImager
from recon.live_image import LiveImage
from recon.live_stream import LatencyHistogram, RateMeter, StreamLedger
from recon.nifti import write_nifti
from recon.offline import UNIT, corrections

ATTENUATION_WAIT_S, FINISH_S = 2.0, 5.0
"""Time for the final image: at most 7 s and what it takes to write it. The daq waits 10 s."""

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
        self._clock = clock
        self._imager = imager
        self._ledger = StreamLedger(begin.run)
        self._latency = LatencyHistogram()
        self._rate = RateMeter()
        self._event_wall_ns = 0
        self._fresh = False
        self._image_path = ""
        self._begin_again()

    def _begin_again(self) -> None:
        self._imager.restart(delayed_factor=self.begin.settings.delayed_factor)
        path = self.begin.mu_map
        self.attenuation = AttenuationJob(self._imager.system, Path(path)) if path else None

    def close(self) -> None:
        """Stop what works in the background."""
        if self.attenuation is not None:
            self.attenuation.stop()

    def take(self, batch: CoincidenceBatch, prompts: bytes, delayeds: bytes) -> None:
        """Take one batch; it is used with the next image."""
        missing = self._ledger.take(batch)
        if missing is None or self.final is not None:
            return
        prompt_records = np.frombuffer(prompts, dtype=COINCIDENCE)
        if self._ledger.joined_late and self._imager.seconds < 1e-5:
            first_ps = prompt_records["time_ps"].min(initial=batch.watermark_ps)
            self._imager.begin_at(int(first_ps))
        self._imager.receive(
            prompt_records,
            np.frombuffer(delayeds, dtype=COINCIDENCE),
            watermark_ps=batch.watermark_ps,
            missing_prompts=missing.prompts,
            missing_delayeds=missing.delayeds,
        )
        self._event_wall_ns = max(self._event_wall_ns, batch.event_wall_ns)
        self._fresh = True

    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image where events came since the last one."""
        if not self._fresh or self.final is not None:
            return None
        self._fresh = False
        self._take_attenuation()
        return self._published(self._imager.update(budget_s=budget_s, catch_up_s=catch_up_s))

    def end(self, end: RunEnd, *, stopped: Callable[[], bool]) -> ImageMessage | None:
        """Finish the run: return the final image, written to the run's folder; None if done."""
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
        if self.attenuation is not None:
            self.attenuation.wait(ATTENUATION_WAIT_S)
            self._take_attenuation()
        image = self._imager.finish(within_s=FINISH_S, stopped=stopped)
        self.final = self._published(image, final=True)
        if self.begin.folder:
            self._write(image)
        return self.final

    def report(self) -> ImagerReport:
        """Return the statistics of this run so far."""
        return ImagerReport(
            run=self.begin.run,
            images=self._rate.count,
            rate_Hz=self._rate.rate_Hz,
            latency_p50_ms=self._latency.percentile(50),
            latency_p99_ms=self._latency.percentile(99),
            fraction_used=self._imager.fraction_used,
            prompts_used=self._imager.prompts_used,
            prompts_seen=self._imager.prompts_seen,
            batches_lost=self._ledger.batches_lost,
            final=self.final is not None,
            image_path=self._image_path,
            message=self._said(),
        )

    def _said(self) -> str:
        words, self.message = self.message, ""
        return words

    def _take_attenuation(self) -> None:
        job = self.attenuation
        if job is None:
            return
        made = job.take()
        if made is not None:
            self._imager.attenuate(*made)
        elif job.error:
            self.message = f"attenuation is not corrected: {job.error}"
            self.attenuation = None

    def _published(self, image: LiveImage, *, final: bool = False) -> ImageMessage:
        now_s = self._clock()
        if not final:  # the last image ends when the run ends, not when its last event was seen
            self._rate.add(now_s)
            self._latency.add(now_s * 1e3 - self._event_wall_ns * 1e-6)
        grid = self._imager.system.grid
        return ImageMessage(
            run=self.begin.run,
            sequence=self._rate.count,
            shape=grid.shape,
            voxel_mm=grid.voxel_mm,
            image=image.image.tobytes(),
            unit=UNIT,
            detector_time_s=image.detector_time_s,
            event_wall_ns=self._event_wall_ns,
            published_wall_ns=int(now_s * 1e9),
            prompts_used=image.prompts_used,
            delayeds_used=image.delayeds_used,
            fraction_used=image.fraction_used,
            corrections=corrections(attenuation=image.attenuation, randoms=image.randoms),
            noise=image.noise,
            rate_Hz=self._rate.rate_Hz,
            final=final,
            note=self._note(image),
        )

    def _note(self, image: LiveImage) -> str:
        waiting = self.begin.mu_map and not image.attenuation
        why = "; attenuation not ready, sensitivity is geometric" if waiting else ""
        return f"post-filter {image.fwhm_mm:.1f} mm FWHM{why}"

    def _write(self, image: LiveImage) -> None:
        path = Path(self.begin.folder) / "images" / "live.nii.gz"
        about = {
            "algorithm": "live list-mode EM, finished with OSEM passes",
            "run": self.begin.run,
            "scanner": self._imager.system.scanner.name,
            "unit": UNIT,
            "voxel_mm": list(self._imager.system.grid.voxel_mm),
            "duration_s": self._imager.seconds,
            "prompts_used": image.prompts_used,
            "prompts_seen": image.prompts_seen,
            "delayeds": image.delayeds_used,
            "fraction_used": image.fraction_used,
            "post_filter_fwhm_mm": image.fwhm_mm,
            "relative_noise": image.noise,
            "corrections": corrections(attenuation=image.attenuation, randoms=image.randoms),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, image.image, self._imager.system.grid, about)
        except (OSError, ReconError) as error:
            self.message = f"the final image could not be written: {error}"
        else:
            self._image_path = str(path)
