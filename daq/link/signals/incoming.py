"""What reads signals from outside: lines of a serial port, messages of ZeroMQ, samples of LSL.

Each ``read`` waits at most as long as it is told and returns samples with the time at which they
came, CLOCK_MONOTONIC in ns. Lab Streaming Layer knows when a sample was taken, on whatever machine,
and says so on this machine's clock; a line and a message came when they were read. What is no
sample is counted in ``broken``.
"""

from __future__ import annotations

import re
import select
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import zmq

from daq.errors import DaqError
from daq.link.serial.ports import open_port

LONGEST_LINE = 4096
MOST_AT_ONCE = 1000
LSL_FIND_S = 10.0
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class SignalError(DaqError):
    """A signal cannot be read; the message says why, and what to do."""


@dataclass(frozen=True)
class Sample:
    """A value, and when it came (CLOCK_MONOTONIC)."""

    wall_ns: int
    value: float


@dataclass(frozen=True)
class Reading:
    """How a line becomes a sample.

    triggers : each line is a moment, whatever it says; else its number ``column`` (from 0) counts
    only : lines that do not hold these letters are passed over
    scale : a number is multiplied by it
    """

    triggers: bool
    column: int = 0
    only: str = ""
    scale: float = 1.0

    def value_of(self, line: str) -> float | None:
        """Return a line's value; None if it is to be passed over. Raises ValueError for none."""
        if not line.strip() or self.only not in line:
            return None
        if self.triggers:
            return 1.0
        numbers = [found.group() for found in _NUMBER.finditer(line)]
        if len(numbers) <= self.column:
            raise ValueError
        return float(numbers[self.column]) * self.scale


class Incoming(ABC):
    """A source of samples. ``name``: where from; ``broken``: what was no sample."""

    def __init__(self, name: str, reading: Reading) -> None:
        self.name, self.broken = name, 0
        self._reading = reading

    @abstractmethod
    def read(self, timeout_s: float) -> list[Sample]:
        """Return what came, waiting at most so long for the first; raises DaqError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def _sample(self, line: str, wall_ns: int) -> list[Sample]:
        try:
            value = self._reading.value_of(line)
        except ValueError:
            self.broken += 1
            return []
        return [] if value is None else [Sample(wall_ns, value)]


class SerialLines(Incoming):
    """Lines of a serial port, or of ``socket://HOST:PORT``."""

    def __init__(self, url: str, baud: int, reading: Reading) -> None:
        super().__init__(url, reading)
        self._port, self._rest = open_port(url, baud=baud), b""
        self._waits: select.poll | None = None
        if self._port.descriptor is not None:
            self._waits = select.poll()
            self._waits.register(self._port.descriptor, select.POLLIN)

    def read(self, timeout_s: float) -> list[Sample]:
        """Return a sample for each line."""
        hung_up = False
        if self._waits is None:
            time.sleep(min(timeout_s, 0.002))
        elif not (told := self._waits.poll(timeout_s * 1000)):
            return []
        else:
            hung_up = bool(told[0][1] & (select.POLLHUP | select.POLLERR))
        data, now = self._port.read(hung_up=hung_up), time.monotonic_ns()
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            self.broken, self._rest = self.broken + 1, b""
        texts = [line.decode("utf-8", "replace") for line in lines[:MOST_AT_ONCE]]
        return [sample for text in texts for sample in self._sample(text, now)]

    def close(self) -> None:
        """Close the port."""
        self._port.close()


class ZmqMessages(Incoming):
    """Messages of a publisher (PUB), a line each; of more parts the last one counts."""

    def __init__(self, address: str, reading: Reading) -> None:
        super().__init__(address, reading)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        for option, value in ((zmq.LINGER, 0), (zmq.MAXMSGSIZE, LONGEST_LINE), (zmq.RCVHWM, 10000)):
            self._socket.setsockopt(option, value)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise SignalError(f"{address}: {error}; such as tcp://HOST:PORT") from error

    def read(self, timeout_s: float) -> list[Sample]:
        """Return a sample for each message."""
        found: list[Sample] = []
        self._socket.poll(int(timeout_s * 1000))
        for _ in range(MOST_AT_ONCE):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            found += self._sample(parts[-1].decode("utf-8", "replace"), time.monotonic_ns())
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class LslSamples(Incoming):
    """A stream of Lab Streaming Layer, found by its name; one that was cut is taken up again."""

    def __init__(self, name: str, reading: Reading) -> None:
        super().__init__(f"lsl:{name}", reading)
        try:
            import pylsl
        except (ImportError, RuntimeError, OSError) as error:
            raise SignalError(
                f"Lab Streaming Layer needs pylsl: `./tomoshibi setup lab` ({error})"
            ) from error
        found = pylsl.resolve_byprop("name", name, timeout=LSL_FIND_S)
        if len(found) != 1:
            raise SignalError(
                f"{len(found)} streams of Lab Streaming Layer are called {name!r} within "
                f"{LSL_FIND_S:g} s; there must be one"
            )
        self._inlet: Any = pylsl.StreamInlet(
            found[0], max_buflen=60, processing_flags=pylsl.proc_clocksync | pylsl.proc_monotonize
        )
        self._now_s = pylsl.local_clock

    def read(self, timeout_s: float) -> list[Sample]:
        """Return a sample for each of the stream's, at the time at which it was taken."""
        rows, times_s = self._inlet.pull_chunk(timeout=timeout_s, max_samples=MOST_AT_ONCE)
        to_ns = time.monotonic_ns() - round(self._now_s() * 1e9)
        found: list[Sample] = []
        for row, at_s in zip(rows, times_s, strict=True):
            line = " ".join(str(cell) for cell in row)
            found += self._sample(line, to_ns + round(at_s * 1e9))
        return found

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close_stream()
