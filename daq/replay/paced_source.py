"""A source that plays what is there already, at real or any other speed.

In real time, the frames of a period are sent when it ends; at another speed that many times as
soon; at an infinite one as quickly as the daq takes them. One PUSH socket carries all modules, so
the order is kept.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod

import numpy as np
import zmq

from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, Shutdown, Start, Stop
from hw.messages.source_link import SourceLink
from hw.wire.protocol import FRAME_PERIOD_PS, HEADER_DTYPE

QUEUE = 1024
LISTEN_S = 0.1
"""So often the link is served while frames go out without a pause."""

_ID_OFFSET: int = HEADER_DTYPE.fields["frame_id"][1]  # type: ignore[index]


class PacedSource(ABC):
    """Plays runs to the daq at ``endpoints``. ``leave`` may be called from a signal handler.

    hello : what it says it is; ``speed``: seconds of the run a second, or inf
    """

    def __init__(self, hello: Hello, endpoints: Endpoints, *, speed: float = 1.0) -> None:
        self._speed = speed
        self._leave = False
        self._stop = False
        self._began = self._listened_s = 0.0
        self._link = SourceLink(endpoints, hello)
        self._data: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        self._data.setsockopt(zmq.SNDHWM, QUEUE)
        self._data.setsockopt(zmq.LINGER, 500)
        endpoints.connect(self._data, "data")

    def leave(self) -> None:
        """Make ``serve`` return soon."""
        self._leave = True

    @abstractmethod
    def play(self, order: Start) -> None:
        """Send a run's frames and report."""

    def serve(self) -> None:
        """Wait for Start, play the run; repeat for each run until told to leave."""
        try:
            while not self._leave:
                for order in self._link.poll(0.1):
                    if isinstance(order, Shutdown):
                        return
                    if isinstance(order, Start):
                        self.play(order)
        finally:
            self._data.close()
            self._link.close()

    def _begin(self) -> None:
        """Begin a run now."""
        self._began, self._stop = time.monotonic(), False
        self._link.beat.running = True

    def _wait_until_due(self, frame: memoryview | bytes) -> None:
        """Wait for the end of the frame's period, at the speed, keeping the link alive."""
        frame_id = int(np.frombuffer(frame[_ID_OFFSET : _ID_OFFSET + 4], dtype="<u4")[0])
        ends_s = (frame_id + 1) * FRAME_PERIOD_PS * 1e-12
        due = self._began + ends_s / self._speed
        self._link.beat.detector_time_s = ends_s
        late_s = max(0.0, time.monotonic() - due)
        self._link.beat.lag_s = 0.0 if math.isinf(self._speed) else late_s
        while (wait_s := due - time.monotonic()) > 0 and not self._ended:
            self._take_orders(min(wait_s, 0.1))

    def _send(self, frame: memoryview | bytes) -> bool:
        """Send a frame as soon as the daq takes it; False if the run ends here."""
        if time.monotonic() - self._listened_s > LISTEN_S:
            self._take_orders(0.0)  # a daq that takes all at once must hear of its source, too
        while not self._ended:
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

    @property
    def _ended(self) -> bool:
        """Whether the run is to end here."""
        return self._leave or self._stop
