"""Measures whether the emulator keeps real time: the real process, over real sockets, with a
receiver that discards everything.

Detector time comes from the frame headers, wall time from their arrival.
"""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import dataclass

import msgspec
import numpy as np
import zmq

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import rehearse
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.process.service import EmulatorService
from emulator.slices import PERIOD_S
from hw.messages.base import Message
from hw.messages.codec import decode, encode
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, SourceReport, Start, Welcome
from hw.wire.protocol import HEADER_DTYPE

MOST_SLOWER = 10
"""How much slower than real time an emulator may be before its trial is given up."""

_LOOK_MS = 5
_RUN_TAG = 0x7AC3


@dataclass(frozen=True)
class Pacing:
    """How a real-time run went.

    detector_s : from the first to the last frame, in detector time
    wall_s : the same in wall time, by their arrival
    singles_per_detector_s, singles_per_wall_s : the rate in detector time and in wall time
    max_lag_s : the largest lag that the emulator reported
    """

    detector_s: float
    wall_s: float
    singles_per_detector_s: float
    singles_per_wall_s: float
    max_lag_s: float

    @property
    def error(self) -> float:
        """Relative error of the received rate."""
        return self.detector_s / self.wall_s - 1.0 if self.wall_s else 0.0


def measure_pacing(
    config: EmulatorConfig, *, duration_s: float, instrument: Instrument | None = None
) -> Pacing:
    """Emulate ``duration_s`` in real time and measure how well the emulator kept pace.

    Raises
    ------
    EmulationError
        if the configuration cannot be emulated, or nothing was received.
    """
    instrument = instrument or prepare(config)
    rehearse(instrument)
    with tempfile.TemporaryDirectory(prefix="tomoshibi-") as folder:
        config = _at(config, f"ipc://{folder}")
        receiver = _Receiver(Endpoints(config.endpoint))
        service = EmulatorService(config, instrument)
        thread = threading.Thread(target=service.serve)
        thread.start()
        try:
            return receiver.run(duration_s)
        finally:
            service.leave()
            thread.join()
            receiver.close()


def _at(config: EmulatorConfig, endpoint: str) -> EmulatorConfig:
    return msgspec.structs.replace(config, endpoint=endpoint, pace="real-time")


class _Receiver:
    """Stands in for the daq: starts a run and discards the frames, keeping their times."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._data = self._context.socket(zmq.PULL)
        self._data.bind(endpoints.of("data"))
        self._source = self._context.socket(zmq.ROUTER)
        self._source.bind(endpoints.of("source"))
        self._report: SourceReport | None = None
        self._started = False
        self._periods: list[int] = []
        self._arrivals_ns: list[int] = []
        self._words: list[int] = []

    def run(self, duration_s: float) -> Pacing:
        """Start a run and return its pacing."""
        until_s = time.monotonic() + MOST_SLOWER * duration_s + 60
        poller = zmq.Poller()
        poller.register(self._data, zmq.POLLIN)
        poller.register(self._source, zmq.POLLIN)
        while self._report is None and time.monotonic() < until_s:
            poller.poll(_LOOK_MS)
            self._serve_source(duration_s)
            self._take()
        self._take()
        if self._report is None or len(set(self._periods)) < 2:
            raise EmulationError(
                f"a run of {duration_s:g} s did not end within {MOST_SLOWER} times that: lower "
                "the activity"
            )
        return self._pacing(self._report.max_lag_s)

    def _serve_source(self, duration_s: float) -> None:
        while self._source.poll(0):
            identity, data = self._source.recv_multipart()
            message = decode(data)
            if isinstance(message, SourceReport):
                self._report = message
            elif isinstance(message, Hello) and not self._started:
                self._send(identity, Welcome())
                self._send(identity, Start(run_tag=_RUN_TAG, duration_s=duration_s))
                self._started = True

    def _send(self, identity: bytes, message: Message) -> None:
        self._source.send_multipart([identity, encode(message)])

    def _take(self) -> None:
        while self._data.poll(0):
            header = np.frombuffer(self._data.recv(), HEADER_DTYPE, count=1)[0]
            self._periods.append(int(header["frame_id"]))
            self._words.append(int(header["event_count"]))
            self._arrivals_ns.append(time.monotonic_ns())

    def _pacing(self, max_lag_s: float) -> Pacing:
        """Compare times between the first frames of the first and of the last period."""
        periods, arrivals = np.array(self._periods), np.array(self._arrivals_ns)
        first, last = periods.min(), periods.max()
        wall_s = float(arrivals[periods == last][0] - arrivals[periods == first][0]) * 1e-9
        detector_s = float(last - first) * PERIOD_S
        singles = float(np.array(self._words)[periods > first].sum())
        return Pacing(detector_s, wall_s, singles / detector_s, singles / wall_s, max_lag_s)

    def close(self) -> None:
        """Close the sockets."""
        self._context.destroy(linger=0)
