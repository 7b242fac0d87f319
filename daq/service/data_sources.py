"""The sources of data that announced themselves: emulator, firmware's link process, replay.

A source says Hello until welcomed, then Heartbeat once a second; one that is silent for
``LOST_AFTER_S`` is lost, which is reported once. It is remembered for ``FORGET_AFTER_S``: if it
wakes up (a suspended laptop, a debugger), it counts as new again without another Hello, and its
report is not missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import zmq

from hw.messages.base import Message, MessageError
from hw.messages.codec import AnyMessage, decode, encode
from hw.messages.modules import ModuleAnswer, ModuleStates
from hw.messages.source import (
    FaultAnswer,
    Heartbeat,
    Hello,
    Resume,
    SourceReport,
    Start,
    Welcome,
)

LOST_AFTER_S = 3.0
FORGET_AFTER_S = 3600.0

Answer = TypeVar("Answer", FaultAnswer, ModuleAnswer)


def _to_all(hello: Hello) -> bool:
    return True


@dataclass
class Source:
    """A source.

    seen_s : monotonic time of its last message
    reported : tag of the run that it reported last, which it may report once more
    started : tag of the run that it was started for
    """

    hello: Hello
    seen_s: float
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    lost: bool = False
    reported: int = 0
    started: int = 0


def _what(source: Source) -> tuple[str, str, int]:
    return source.hello.kind, source.hello.scanner, source.hello.modules


class Sources:
    """Serves the source plane; never blocks."""

    def __init__(
        self, socket: zmq.Socket[bytes], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = socket
        self._clock = clock
        self._sources: dict[bytes, Source] = {}
        self._answers: list[FaultAnswer | ModuleAnswer] = []
        self._states: list[ModuleStates] = []
        self.invalid_messages = 0

    def take_answers(self, kind: type[Answer]) -> list[Answer]:
        """Return the answers to a kind of order received since the last call."""
        taken = [answer for answer in self._answers if isinstance(answer, kind)]
        self._answers = [answer for answer in self._answers if not isinstance(answer, kind)]
        return taken

    def take_states(self) -> list[ModuleStates]:
        """Return the modules' states received since the last call, in order."""
        states, self._states = self._states, []
        return states

    def poll(self) -> tuple[list[Source], list[SourceReport]]:
        """Receive all messages; return new sources and reports."""
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
            if isinstance(message, SourceReport):
                if message.run_tag != source.reported:
                    source.reported = message.run_tag
                    reports.append(message)
            else:
                self._keep(source, message)
        return new, reports

    def _keep(self, source: Source, message: AnyMessage) -> None:
        if isinstance(message, Hello):
            source.hello = message
        elif isinstance(message, Heartbeat):
            source.heartbeat = message
        elif isinstance(message, FaultAnswer | ModuleAnswer):
            self._answers.append(message)
        elif isinstance(message, ModuleStates):
            self._states.append(message)

    def newly_lost(self) -> list[Source]:
        """Return the sources that have now been silent for too long."""
        now = self._clock()
        forgotten = [k for k, s in self._sources.items() if s.seen_s < now - FORGET_AFTER_S]
        for key in forgotten:
            del self._sources[key]
        lost = [source for source in self.present if source.seen_s < now - LOST_AFTER_S]
        for source in lost:
            source.lost = True
        return lost

    def send_all(self, message: Message, *, to: Callable[[Hello], bool] = _to_all) -> int:
        """Send a message to every source that ``to`` selects, even lost ones; return how many of
        them are alive.
        """
        chosen = {key: source for key, source in self._sources.items() if to(source.hello)}
        for identity, source in chosen.items():
            if isinstance(message, Start | Resume):
                source.started = message.run_tag
            self._send(identity, message)
        return sum(not source.lost for source in chosen.values())

    def start_late(self, order: Start) -> list[Source]:
        """Start sources that come in place of lost ones which were started for the run, of the same
        kind and as many modules; return them.
        """
        tag = order.run_tag
        gone = [s for s in self._sources.values() if s.lost and s.started == tag != s.reported]
        started = []
        for identity, source in self._sources.items():
            if source.lost or source.started == tag:
                continue
            alike = [s for s in gone if _what(s) == _what(source)]
            if alike:
                gone.remove(alike[0])
                alike[0].started, source.started = 0, tag
                self._send(identity, order)
                started.append(source)
        return started

    def _send(self, identity: bytes, message: Message) -> None:
        try:
            self._socket.send_multipart([identity, encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.invalid_messages += 1  # its queue is full or it is gone: newly_lost will tell

    @property
    def present(self) -> list[Source]:
        """The sources that are alive."""
        return [source for source in self._sources.values() if not source.lost]

    @property
    def serial(self) -> str:
        """The instrument's serial number; "" where the sources name none, or not the same."""
        named = {source.hello.serial for source in self.present if source.hello.serial}
        return named.pop() if len(named) == 1 else ""

    @property
    def labels(self) -> dict[str, float]:
        """What the sources tell of a run."""
        return {key: it for s in self.present for key, it in s.hello.labels.items()}

    @property
    def remarks(self) -> list[str]:
        """What a person should know before a run."""
        return [source.hello.remark for source in self.present if source.hello.remark]

    def not_ready(self) -> list[str]:
        """Return why sources cannot begin a run now, in words; [] if all can."""
        hellos = [source.hello for source in self.present]
        words = [hello.not_ready for hello in hellos if hello.not_ready]
        detector = any(hello.modules == 0 for hello in hellos)
        if any(hello.needs_detector for hello in hellos) and not detector:
            words.append("the modules have no detector: start `tomoshibi emulate --hits FOLDER`")
        return words

    def describe(self) -> str:
        """Return the sources in words."""
        return ", ".join(f"{s.hello.kind} ({s.hello.scanner})" for s in self.present) or "none"

    def lag_s(self) -> float:
        """Return how far the slowest source's time is behind the wall clock."""
        return max((s.heartbeat.lag_s for s in self.present), default=0.0)
