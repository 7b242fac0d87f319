"""Events of a list as a source of data: one run, then it leaves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

import zmq

from daq.errors import ImportDataError
from daq.replay.event_frames import EventFrames
from daq.replay.paced_source import LISTEN_S, PacedSource
from hw.arrays import I8
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, Start
from hw.scanner.description import Scanner

Placed = tuple[I8, I8, I8, I8]
"""Ticks, module, crystal, energy in 0.1 keV of some events."""


class EventSource(PacedSource):
    """Plays events as they come from an iterator.

    frames : what was sent, once a run has begun
    failed : why the list could not be played to its end, "" where it could
    """

    def __init__(
        self,
        events: Iterable[Placed],
        scanner: Scanner,
        endpoints: Endpoints,
        *,
        speed: float,
        gap_s: float,
        broken: Callable[[], dict[str, int]],
    ) -> None:
        """Attach to the daq.

        Parameters
        ----------
        events : the list's
        speed : seconds of it a second, or inf
        gap_s : longest time without events
        broken : tells at the end what was left out, by name
        """
        self._events, self._scanner, self._gap_s = events, scanner, gap_s
        self._broken = broken
        self.frames: EventFrames | None = None
        self.failed = ""
        modules = scanner.n_modules
        hello = Hello(kind="replay", scanner=scanner.name, modules=modules, pid=os.getpid())
        super().__init__(hello, endpoints, speed=speed)

    def play(self, order: Start) -> None:
        """Send the events until they end, the ordered time is over, or the daq stops it."""
        frames = self.frames = EventFrames(
            n_modules=self._scanner.n_modules,
            run_tag=order.run_tag,
            gap_s=self._gap_s,
            duration_s=order.duration_s,
            stopped=lambda: self._ended,
        )
        self._begin()
        try:
            for piece in self._events:
                self._send_all(frames.take(*piece))
                if frames.done:
                    break
        except ImportDataError as error:
            self.failed = str(error)
        self._send_all(frames.end())
        self._link.beat.running = False
        truth = {name: float(many) for name, many in self._broken().items()}
        self._link.report(frames.report(self.failed, **truth))
        self._linger()

    def _send_all(self, frames: Iterable[bytes]) -> None:
        """Send whole periods, also where the run is to end: their frames are counted as sent."""
        for frame in frames:
            self._wait_until_due(frame)
            if time.monotonic() - self._listened_s > LISTEN_S:
                self._take_orders(0.0)
            while not self._leave:
                try:
                    self._data.send(frame, zmq.NOBLOCK)
                    break
                except zmq.Again:
                    self._take_orders(0.002)

    def _linger(self) -> None:
        """Leave, when the report has gone out."""
        self._take_orders(0.2)
        self._leave = True
