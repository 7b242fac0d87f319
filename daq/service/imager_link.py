"""The stream of coincidences to the live imager: never waits for it, and counts what it missed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import zmq

from coincidence.events import ANGLE, SINGLE
from daq.folder import calibration_set
from daq.path.pipeline import Output
from daq.service.entrance.inbox import Inbox
from daq.service.run import Run
from hw.messages.base import Message, MessageError
from hw.messages.codec import decode_as, encode
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd, SinglesBatch
from hw.physics.nuclides import nuclide_of

LOST_AFTER_S = 3.5
LIVE_SHARE_EVERY_S = 0.25
SINGLES_EVERY_S = 0.1
"""A SPECT image needs seconds of counts; small batches would only fill the queue."""


def has_image(run: Run) -> bool:
    """Whether a run's events can be imaged: coincidences, or single photons behind collimators."""
    settings = run.config.settings
    if settings.sorts_coincidences:
        return True
    peaks = [window for window in settings.singles_windows if window.kind == "photopeak"]
    return bool(peaks) and run.scanner.modality == "SPECT"


class ImagerLink:
    """Sends RunBegin, batches and RunEnd of one run after another; reads the imager's reports.

    Batches are numbered as the blocks of the raw log are: those that a daq which was restarted
    sends once more have their old numbers, and an imager that has them leaves them out.

    For a SPECT run, the batches hold windowed singles and angles instead of coincidences. A run
    with neither has no image, and nothing is sent.

    run : name of the run for which the imager is prepared, by its last report
    """

    def __init__(
        self,
        stream: zmq.Socket[bytes],
        reports: zmq.Socket[bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._inbox = Inbox(reports)
        self._sequence = 0
        self._prompts = 0
        self._delayeds = 0
        self._heard_s = -math.inf
        self._share, self._mean_share, self._share_s = 0.0, 0.0, -math.inf
        self._singles: list[bytes] = []
        self._angles: list[bytes] = []
        self._sent_s, self._until = -math.inf, (0, 0)
        self.run = ""

    @property
    def present(self) -> bool:
        """Whether an imager has reported in the last seconds."""
        return self.silent_s < LOST_AFTER_S

    @property
    def silent_s(self) -> float:
        """How long it is since an imager reported, inf if none ever did."""
        return self._clock() - self._heard_s

    def begin(self, run: Run) -> None:
        """Announce a run; repeating it does no harm and helps an imager that started late."""
        if has_image(run):
            self._send([encode(self._begin_message(run))])

    def start(self, run: Run) -> None:
        """Begin a run's numbering and announce it."""
        self._sequence = self._prompts = self._delayeds = 0
        self._singles, self._angles = [], []
        self._share, self._mean_share, self._share_s = 0.0, 0.0, -math.inf
        self.begin(run)

    @staticmethod
    def _begin_message(run: Run) -> Message:
        nuclide, _ = nuclide_of(run.config.labels)
        return RunBegin(
            run=run.name,
            folder=str(run.folder),
            scanner_toml=run.config.scanner_toml,
            settings=run.config.settings,
            mu_map=str(run.mu_map) if run.config.mu_map else "",
            calibration=str(run.folder / calibration_set.FILE_NAME) if run.calibration else "",
            uncalibrated=run.config.uncalibrated,
            live=run.live,
            half_life_s=nuclide.half_life_s if nuclide else 0.0,
            beta_plus_fraction=nuclide.beta_plus_fraction if nuclide else 0.0,
            nuclide=nuclide.name if nuclide else "",
            suv_per_Bq_per_mL=run.suv_per_Bq_per_mL,
        )

    def batch(self, run: Run, output: Output, *, event_wall_ns: int) -> None:
        """Send the output of a batch of frames; count it as undelivered if the queue is full."""
        if not run.config.settings.sorts_coincidences:
            self._singles_batch(run, output, event_wall_ns=event_wall_ns)
            return
        header = CoincidenceBatch(
            run=run.name,
            sequence=self._sequence,
            prompts=len(output.prompts),
            delayeds=len(output.delayeds),
            prompts_before=self._prompts,
            delayeds_before=self._delayeds,
            watermark_ps=output.watermark_ps,
            event_wall_ns=event_wall_ns,
            live_share=self._live_share(run),
            mean_live_share=self._mean_share,
        )
        self._sequence += 1
        self._prompts += header.prompts
        self._delayeds += header.delayeds
        parts = [encode(header), output.prompts.tobytes(), output.delayeds.tobytes()]
        if not self._send(parts):
            run.undelivered += header.prompts

    def leave_out(self, run: Run, output: Output) -> None:
        """Send nothing of an output but count it as undelivered, unless it is of single photons,
        whose batches are rare.
        """
        if not run.config.settings.sorts_coincidences:
            self._singles_batch(run, output, event_wall_ns=0)
            return
        self._sequence += 1
        self._prompts += len(output.prompts)
        self._delayeds += len(output.delayeds)
        run.undelivered += len(output.prompts)

    def _singles_batch(self, run: Run, output: Output, *, event_wall_ns: int) -> None:
        """Collect a SPECT run's windowed singles and angles; send them ten times a second."""
        if not has_image(run):
            return
        self._singles.append(output.singles.tobytes())
        self._angles.append(output.angles.tobytes())
        now = self._clock()
        if now - self._sent_s >= SINGLES_EVERY_S:
            self._sent_s = now
            self._send_singles(run, output.watermark_ps, event_wall_ns)
        self._until = output.watermark_ps, event_wall_ns

    def _send_singles(self, run: Run, watermark_ps: int, event_wall_ns: int) -> None:
        singles, angles = b"".join(self._singles), b"".join(self._angles)
        self._singles, self._angles = [], []
        header = SinglesBatch(
            run=run.name,
            sequence=self._sequence,
            singles=len(singles) // SINGLE.itemsize,
            angles=len(angles) // ANGLE.itemsize,
            singles_before=self._prompts,
            watermark_ps=watermark_ps,
            event_wall_ns=event_wall_ns,
            live_share=self._module_shares(run),
        )
        self._sequence += 1
        self._prompts += header.singles
        if not self._send([encode(header), singles, angles]):
            run.undelivered += header.singles

    def _module_shares(self, run: Run) -> list[float]:
        """Return each module's live share of the run so far, now and then; otherwise nothing."""
        now, live = self._clock(), run.takers.statistics.live_time
        if now - self._share_s < LIVE_SHARE_EVERY_S or live.detector_s <= 0:
            return []
        self._share_s = now
        return [float(seconds) / live.detector_s for seconds in live.module_s]

    def _live_share(self, run: Run) -> float:
        """Return the pairs' mean live share of the last seconds, updated now and then."""
        now = self._clock()
        if now - self._share_s >= LIVE_SHARE_EVERY_S:
            recent = run.takers.statistics.recent_live()
            self._share, self._share_s = (recent.pairs if recent else 0.0), now
            self._mean_share = run.takers.statistics.mean_live()
        return self._share

    def end(self, run: Run) -> None:
        """Tell the imager that the run is complete."""
        if not has_image(run):
            return
        if self._singles or self._angles:
            self._send_singles(run, *self._until)
        self._send([encode(RunEnd(run=run.name, prompts=self._prompts, delayeds=self._delayeds))])

    @property
    def cut(self) -> bool:
        """Whether the last poll ended at a bound, so that more may be waiting."""
        return self._inbox.cut

    def poll(self, run: Run | None) -> list[str]:
        """Receive the imager's reports; return its messages for the journal."""
        words = []
        for *_, part in self._inbox.take():
            try:
                report = decode_as(ImagerReport, part)
            except MessageError as error:
                words.append(f"imager: {error}")
                continue
            self._heard_s = self._clock()
            self.run = report.run
            if run is not None and report.run == run.name:
                run.imager = report
            if report.message:
                words.append(f"imager: {report.message}")
        return words

    def _send(self, parts: list[bytes]) -> bool:
        try:
            self._stream.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True
