"""A raw log as a source: sends its data frames again, in the order in which they came.

One PUSH socket carries all modules, so the order is kept and the new run's coincidences equal the
old run's bit for bit. In real time, the frames of a period are sent when it ends; at another speed
that many times as soon; at an infinite one as quickly as the daq takes them.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import zmq

from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig
from daq.path.frame_check import FrameChecker
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, Shutdown, SourceReport, Start, Stop
from hw.messages.source_link import SourceLink
from hw.wire.protocol import FRAME_PERIOD_PS, HEADER_DTYPE

QUEUE = 1024
LISTEN_S = 0.1
"""So often the link is served while frames go out without a pause."""

_ID_OFFSET: int = HEADER_DTYPE.fields["frame_id"][1]  # type: ignore[index]


class ReplaySource:
    """Sends one run's raw log. ``leave`` may be called from a signal handler."""

    def __init__(
        self, folder: Path, config: RunConfig, endpoints: Endpoints, *, speed: float = 1.0
    ) -> None:
        """Attach to the daq at ``endpoints``; ``speed``: seconds of the run a second, or inf."""
        self._path = folder / rawlog.FILE_NAME
        self._speed = speed
        self._leave = False
        self._stop = False
        self._listened_s = 0.0
        scanner = config.scanner()
        self._modules = scanner.n_modules
        hello = Hello(
            kind="replay",
            scanner=scanner.name,
            modules=self._modules,
            pid=os.getpid(),
            serial=config.serial,
        )
        self._link = SourceLink(endpoints, hello)
        self._data: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        self._data.setsockopt(zmq.SNDHWM, QUEUE)
        self._data.setsockopt(zmq.LINGER, 500)
        endpoints.connect(self._data, "data")

    def leave(self) -> None:
        """Make ``serve`` return soon."""
        self._leave = True

    def serve(self) -> None:
        """Wait for Start, send the log and report; repeat for each run until told to leave."""
        try:
            while not self._leave:
                for order in self._link.poll(0.1):
                    if isinstance(order, Shutdown):
                        return
                    if isinstance(order, Start):
                        self._send_log(order)
        finally:
            self._data.close()
            self._link.close()

    def _send_log(self, order: Start) -> None:
        checker = FrameChecker(n_modules=self._modules, run_tag=order.run_tag)
        began = time.monotonic()
        self._stop = False
        self._link.beat.running = True
        log = RawLogReader(self._path)
        for frames in log:
            for frame in frames:
                self._wait_until_due(frame, began)
                if self._leave or self._stop or not self._send(frame):
                    break
                checker.check([frame], recorded=True)
        self._link.beat.running = False
        self._link.report(_report(checker, order.run_tag, log.trouble))

    def _wait_until_due(self, frame: memoryview, began: float) -> None:
        """Wait for the end of the frame's period, at the speed, keeping the link alive."""
        frame_id = int(np.frombuffer(frame[_ID_OFFSET : _ID_OFFSET + 4], dtype="<u4")[0])
        ends_s = (frame_id + 1) * FRAME_PERIOD_PS * 1e-12
        due = began + ends_s / self._speed
        self._link.beat.detector_time_s = ends_s
        late_s = max(0.0, time.monotonic() - due)
        self._link.beat.lag_s = 0.0 if math.isinf(self._speed) else late_s
        while (wait_s := due - time.monotonic()) > 0 and not (self._leave or self._stop):
            self._take_orders(min(wait_s, 0.1))

    def _send(self, frame: memoryview) -> bool:
        if time.monotonic() - self._listened_s > LISTEN_S:
            self._take_orders(0.0)  # a daq that takes all at once must hear of its source, too
        while not (self._leave or self._stop):
            try:
                self._data.send(frame, zmq.NOBLOCK)
                return True
            except zmq.Again:
                self._take_orders(0.002)
        return False

    def _take_orders(self, timeout_s: float) -> None:
        self._listened_s = time.monotonic()
        for order in self._link.poll(timeout_s):
            self._stop |= isinstance(order, Stop)
            self._leave |= isinstance(order, Shutdown)


def _report(checker: FrameChecker, run_tag: int, trouble: str) -> SourceReport:
    """Return the report: sent are the log's frames and those that its gaps show as lost earlier."""
    links = checker.links
    return SourceReport(
        run_tag=run_tag,
        singles_emitted=[int(n) for n in links["words_base"] + links["next_word"]],
        frames_sent=[int(n) for n in links["frames_base"] + links["next_sequence"]],
        dead_events=[int(n) for n in links["dead_events"]],
        failed=trouble,
    )
