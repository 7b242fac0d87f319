"""The source's side of the source plane: introduces itself, stays alive, takes orders, reports.

Used by whatever stands in for the scanner: emulator, link process of the firmware, replay. It never
blocks longer than asked to, and repeats Hello, so that neither the order in which the processes
start nor a restart of the daq matters. What the daq refuses, and what it says that cannot be read,
is printed, each text once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import zmq

from hw.messages.base import Message, MessageError
from hw.messages.codec import AnyMessage, decode, encode
from hw.messages.endpoints import Endpoints
from hw.messages.modules import ModuleAnswer, ModuleStates
from hw.messages.source import FaultAnswer, Heartbeat, Hello, Refused, SourceReport, Welcome

BEAT_S = 1.0
HELLO_S = 0.2
_MOST_TOLD = 20


def _print(words: str) -> None:
    print(f"{words}\n", end="", file=sys.stderr, flush=True)


class SourceLink:
    """One source's connection. ``beat`` is what it sends next; keep it current.

    ``tell`` is called with words for a person. The connection has an identity of its own, by which
    the daq knows the source again after a break, and which nobody can guess.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        hello: Hello,
        *,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = _print,
    ) -> None:
        self.beat = Heartbeat()
        self.welcomed = False
        self.invalid_messages = 0
        self.hello = hello
        self._clock = clock
        self._tell_person = tell
        self._told: set[str] = set()
        self._next_s = 0.0
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, b"source-" + os.urandom(16))
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.setsockopt(zmq.SNDHWM, 100)
        endpoints.connect(self._socket, "source")

    def introduce(self, hello: Hello) -> None:
        """Say another Hello from now on, and at once if it is another."""
        if hello != self.hello:
            self.hello = hello
            self._send(hello)

    def poll(self, timeout_s: float = 0.0) -> list[AnyMessage]:
        """Return the orders received (Start, Stop, Shutdown, faults, modules), staying alive."""
        self._keep_alive()
        orders: list[AnyMessage] = []
        while self._socket.poll(0 if orders else int(timeout_s * 1000)):
            try:
                message = decode(self._socket.recv_multipart()[-1])
            except MessageError as error:
                self.invalid_messages += 1
                self._tell_once(f"the daq said what is not understood: {error}")
                continue
            if isinstance(message, Refused):
                self._tell_once(f"the daq refused what was sent: {message.reason}")
            elif isinstance(message, Welcome):
                self.welcomed = True
                timeout_s = 0.0
            else:
                orders.append(message)
        return orders

    def answer(self, answer: FaultAnswer | ModuleAnswer) -> None:
        """Answer a FaultOrder or a ModuleOrder."""
        self._send(answer)

    def tell(self, states: ModuleStates) -> None:
        """Send the states of the modules."""
        self._send(states)

    def report(self, report: SourceReport) -> None:
        """Send the report at the end of a run."""
        self._send(report)

    def close(self) -> None:
        """Close the socket, allowing half a second for queued messages to be sent."""
        self._socket.close()

    def _tell_once(self, words: str) -> None:
        if words not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(words)
            self._tell_person(words)

    def _keep_alive(self) -> None:
        now = self._clock()
        if now >= self._next_s:
            self._next_s = now + (BEAT_S if self.welcomed else HELLO_S)
            self._send(self.hello)  # always: a daq that was restarted must learn who is there
            if self.welcomed:
                self._send(self.beat)

    def _send(self, message: Message) -> None:
        try:
            self._socket.send(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            self.invalid_messages += 1  # nobody reads: the daq will miss the heartbeat
