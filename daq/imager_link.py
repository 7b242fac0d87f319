"""The stream of coincidences to the live imager: never waits for it, counts what it did not get."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import zmq

from daq.pipeline import Output
from daq.run import Run
from hw.messages import (
    CoincidenceBatch,
    ImagerReport,
    Message,
    MessageError,
    RunBegin,
    RunEnd,
    decode_as,
    encode,
)

LOST_AFTER_S = 3.5


class ImagerLink:
    """Sends RunBegin, batches and RunEnd of one run after another; reads the imager's reports.

    Of a run that sorts no coincidences (SPECT) nothing is sent: there is no image to make of it.

    run : name of the run that the imager is prepared for, by its last report
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
        self._reports = reports
        self._sequence = 0
        self._prompts = 0
        self._delayeds = 0
        self._heard_s = -math.inf
        self.run = ""

    @property
    def present(self) -> bool:
        """Whether an imager has reported in the last seconds."""
        return self._clock() - self._heard_s < LOST_AFTER_S

    def begin(self, run: Run) -> None:
        """Announce a run; repeating it does no harm and helps an imager that came late."""
        if not run.config.settings.sorts_coincidences:
            return
        self._send([encode(self._begin_message(run))])

    def start(self, run: Run) -> None:
        """Begin a run's numbering and announce it."""
        self._sequence = self._prompts = self._delayeds = 0
        self.begin(run)

    @staticmethod
    def _begin_message(run: Run) -> Message:
        return RunBegin(
            run=run.name,
            folder=str(run.folder),
            scanner_toml=run.config.scanner_toml,
            settings=run.config.settings,
            mu_map=str(run.mu_map) if run.config.mu_map else "",
        )

    def batch(self, run: Run, output: Output, *, event_wall_ns: int) -> None:
        """Send what a batch of frames yielded; count it as undelivered where the queue is full."""
        if not run.config.settings.sorts_coincidences:
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
        )
        self._sequence += 1
        self._prompts += header.prompts
        self._delayeds += header.delayeds
        parts = [encode(header), output.prompts.tobytes(), output.delayeds.tobytes()]
        if not self._send(parts):
            run.undelivered += header.prompts

    def end(self, run: Run) -> None:
        """Tell the imager that the run is complete."""
        if not run.config.settings.sorts_coincidences:
            return
        self._send([encode(RunEnd(run=run.name, prompts=self._prompts, delayeds=self._delayeds))])

    def poll(self, run: Run | None) -> list[str]:
        """Take in the imager's reports; return what it has to say."""
        words = []
        while self._reports.poll(0):
            try:
                report = decode_as(ImagerReport, self._reports.recv())
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
