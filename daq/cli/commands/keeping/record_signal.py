"""Put a signal from outside into the runs of a running system: heartbeat, breathing, blood.

It reads lines of a serial port, messages of a ZeroMQ publisher or a stream of Lab Streaming Layer,
on the daq's own machine, until Ctrl-C, and hands them to the daq, which keeps each at the detector
time at which it came: RUN/signal_NAME.csv. `reconstruct --gates 8 --gate-signal NAME` and
`--input NAME` (activity of blood) read it from there. Between runs it is thrown away.

A line is a trigger whatever it says (--only R keeps those with an R), or has a number: of several,
that of --column. What takes time on its way, as a monitor's filter does, is told by --delay-ms.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, add_json_option, finish, tell, whole
from daq.cli.which_system import add_running_option, endpoint_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daq.client.client import ControlClient
    from daq.link.signals.incoming import Incoming, Sample

EXAMPLES = """\
examples:
  tomoshibi record-signal ecg --kind trigger --serial /dev/ttyACM0 --only R
  tomoshibi record-signal belt --kind amplitude --lsl breathing
  tomoshibi record-signal blood --kind activity --zmq tcp://10.0.0.9:5556 --scale 410
  tomoshibi reconstruct last --gates 8 --gate-signal ecg --gate-source cardiac
"""

KINDS = ("trigger", "amplitude", "phase", "activity")
SEND_S = 0.25
MOST_WAITING = 100_000
MOST_AT_ONCE = 2000
QUIET_S = 10.0
OLDEST_NS = 100_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", help="what the run calls it: letters, digits, - _")
    parser.add_argument("--kind", required=True, choices=KINDS,
                        help="activity: Bq/mL, as measured; phase: 0..1")  # fmt: skip
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--serial", metavar="PORT", help="a line a sample; or socket://HOST:PORT")
    where.add_argument("--zmq", metavar="ADDRESS", help="of a publisher (PUB): a message a sample")
    where.add_argument("--lsl", metavar="STREAM", help="name of a stream of Lab Streaming Layer")
    parser.add_argument("--baud", type=whole, default=115200, help="default: %(default)s")
    parser.add_argument("--column", type=whole, default=0, metavar="N",
                        help="which number of a line, from 0 (default: %(default)s)")  # fmt: skip
    parser.add_argument("--only", default="", metavar="TEXT", help="pass over lines without it")
    parser.add_argument("--scale", type=float, default=1.0, metavar="F",
                        help="multiply numbers by it: Bq/mL per count a second")  # fmt: skip
    parser.add_argument("--delay-ms", type=float, default=0.0, metavar="MS",
                        help="so long before it came it was (default: %(default)g)")  # fmt: skip
    add_running_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Record until told to leave."""
    from daq.client.client import ControlClient
    from daq.folder.signals.signal_file import NAME_PATTERN
    from hw.messages.endpoints import Endpoints

    if not re.fullmatch(NAME_PATTERN, options.name):
        raise CommandError(f"{options.name!r}: a signal's name is up to 32 of a-z, 0-9, - and _")
    endpoints = Endpoints(endpoint_of(options))
    with (
        contextlib.closing(_incoming(options)) as incoming,
        contextlib.closing(ControlClient(endpoints)) as daq,
    ):
        recorder = Recorder(options, incoming, daq)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, recorder.leave)
        tell(f"{options.name}: {options.kind} from {incoming.name}; Ctrl-C ends")
        recorder.serve()
        told = {"kept": recorder.kept, "between_runs": recorder.dropped, "broken": incoming.broken,
                "failed": recorder.failed}  # fmt: skip
    words = f"{recorder.kept} samples kept, {recorder.dropped} came outside of runs, "
    words += f"{incoming.broken} lines were none"
    finish(options, told, f"{words}; {recorder.failed}" if recorder.failed else words)
    return 1 if recorder.failed else 0


def _incoming(options: argparse.Namespace) -> Incoming:
    from daq.link.signals.incoming import LslSamples, Reading, SerialLines, ZmqMessages

    if options.column < 0 or not options.scale:
        raise CommandError("--column is 0 or more, --scale is not 0")
    reading = Reading(options.kind == "trigger", options.column, options.only, options.scale)
    if options.serial:
        return SerialLines(options.serial, options.baud, reading)
    return ZmqMessages(options.zmq, reading) if options.zmq else LslSamples(options.lsl, reading)


class Recorder:
    """Reads samples and hands them on while a run goes on.

    kept, dropped : samples that a run took, and others; failed : why it ended by itself
    """

    def __init__(self, options: argparse.Namespace, incoming: Incoming, daq: ControlClient) -> None:
        self._options, self._incoming, self._daq = options, incoming, daq
        self._waiting: deque[Sample] = deque()
        self._sender, self._next = os.urandom(8).hex(), 0
        self._leave = False
        self._said = ""
        self.kept = self.dropped = 0
        self.failed = ""

    def leave(self, *_: object) -> None:
        """End soon (safe in a signal handler)."""
        self._leave = True

    def serve(self) -> None:
        """Read and send until told to leave, or the signal ends."""
        from hw.errors import TomoshibiError

        sent_s = heard_s = time.monotonic()
        while not self._leave:
            try:
                new = self._incoming.read(0.05)
            except TomoshibiError as error:
                self.failed = str(error)
                break
            now = time.monotonic()
            heard_s = now if new else heard_s
            if now - heard_s > QUIET_S:
                heard_s = now
                tell(f"{self._options.name}: nothing came for {QUIET_S:g} s")
            self._queue(new)
            if now - sent_s >= SEND_S:
                self._send()
                sent_s = now
        self._send()

    def _queue(self, new: list[Sample]) -> None:
        self._waiting.extend(new)
        while len(self._waiting) > MOST_WAITING:
            self._pass_over()

    def _pass_over(self) -> None:
        """Give up the oldest sample."""
        self._waiting.popleft()
        self._next += 1
        self.dropped += 1

    def _send(self) -> None:
        """Hand on what waits; keep it while the daq does not answer, or has no data yet."""
        from daq.client.client import ClientError

        oldest = time.monotonic_ns() - OLDEST_NS
        while self._waiting and self._waiting[0].wall_ns < oldest:
            self._pass_over()
        try:
            for batch in self._batches():
                result = self._daq.call("signal", timeout_s=2.0, **batch)
                before = self._next
                while self._waiting and self._next < result["next"]:
                    self._waiting.popleft()
                    self._next += 1
                self.kept += result["taken"]
                self.dropped += self._next - before - result["taken"]
                if self._next == before:
                    return
            self._said = ""
        except ClientError as error:
            words = str(error)
            if words.startswith("signal: signal"):  # refused for what it is, and always will be
                self.failed, self._leave = words, True
            elif words != self._said:
                tell(f"{self._options.name}: {words}")
            self._said = words

    def _batches(self) -> Iterator[dict[str, Any]]:
        """Yield what waits, piece by piece, while a run goes on; else throw it away."""
        while self._waiting:
            if self._daq.call("status", timeout_s=2.0)["state"] != "running":
                while self._waiting:
                    self._pass_over()
                return
            first = [self._waiting[k] for k in range(min(len(self._waiting), MOST_AT_ONCE))]
            delay_ns = round(self._options.delay_ms * 1e6)
            yield {
                "name": self._options.name,
                "kind": self._options.kind,
                "source": self._incoming.name,
                "sender": self._sender,
                "first": self._next,
                "wall_ns": [one.wall_ns - delay_ns for one in first],
                "values": [one.value for one in first],
            }
