"""The sources of data that announced themselves: emulator, firmware machine, replay.

A source says Hello until welcomed, then Heartbeat once a second; one that is silent for
``LOST_AFTER_S`` is lost, which is told once. It is remembered for ``FORGET_AFTER_S``: if it wakes
(a suspended laptop, a debugger) it counts as new again without another Hello, and its report is
not missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from hw.messages import (
    FaultAnswer,
    Heartbeat,
    Hello,
    Message,
    MessageError,
    SourceReport,
    Welcome,
    decode,
    encode,
)

LOST_AFTER_S = 3.0
FORGET_AFTER_S = 3600.0


@dataclass
class Source:
    """One source. ``seen_s``: monotonic time of its last message."""

    hello: Hello
    seen_s: float
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    lost: bool = False


class Sources:
    """Serves the source plane; never blocks."""

    def __init__(
        self, socket: zmq.Socket[bytes], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = socket
        self._clock = clock
        self._sources: dict[bytes, Source] = {}
        self._answers: list[FaultAnswer] = []
        self.invalid_messages = 0

    def take_answers(self) -> list[FaultAnswer]:
        """Return the answers to fault orders that came since the last time."""
        answers, self._answers = self._answers, []
        return answers

    def poll(self) -> tuple[list[Source], list[SourceReport]]:
        """Take in what has come; return the sources that are new and the reports."""
        new: list[Source] = []
        reports: list[SourceReport] = []
        while self._socket.poll(0):
            identity, *parts = self._socket.recv_multipart()
            try:
                message = decode(parts[-1] if parts else b"")
            except MessageError:
                self.invalid_messages += 1
                continue
            if isinstance(message, Hello):
                if identity not in self._sources:
                    new.append(Source(message, self._clock()))
                    self._sources[identity] = new[-1]
                self._send(identity, Welcome())
            source = self._sources.get(identity)
            if source is None:
                self.invalid_messages += 1
                continue
            if source.lost:
                new.append(source)
            source.seen_s, source.lost = self._clock(), False
            if isinstance(message, Heartbeat):
                source.heartbeat = message
            elif isinstance(message, SourceReport):
                reports.append(message)
            elif isinstance(message, FaultAnswer):
                self._answers.append(message)
        return new, reports

    def newly_lost(self) -> list[Source]:
        """Return the sources that have just fallen silent for too long."""
        now = self._clock()
        forgotten = [k for k, s in self._sources.items() if s.seen_s < now - FORGET_AFTER_S]
        for key in forgotten:
            del self._sources[key]
        lost = [source for source in self.present if source.seen_s < now - LOST_AFTER_S]
        for source in lost:
            source.lost = True
        return lost

    def send_all(self, message: Message) -> int:
        """Send a message to every source, lost ones too; return how many are alive."""
        for identity in self._sources:
            self._send(identity, message)
        return len(self.present)

    def _send(self, identity: bytes, message: Message) -> None:
        try:
            self._socket.send_multipart([identity, encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.invalid_messages += 1  # its queue is full or it is gone: newly_lost will tell

    @property
    def present(self) -> list[Source]:
        """The sources that are alive."""
        return [source for source in self._sources.values() if not source.lost]

    def describe(self) -> str:
        """Return the sources in words."""
        return ", ".join(f"{s.hello.kind} ({s.hello.scanner})" for s in self.present) or "none"

    def lag_s(self) -> float:
        """Return how far the slowest source's time is behind the wall clock."""
        return max((s.heartbeat.lag_s for s in self.present), default=0.0)
