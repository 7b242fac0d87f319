"""A digitizer's side of the protocol, outside of Tomoshibi's packages: CSV rows become data frames.

    tomoshibi acquire --preset bench2 --auto --name first
    python digitizer.py events.csv --scanner bench2 --modules 2
    tomoshibi reconstruct first

A row is `time_ps,channel,energy_keV`: time since the run's start, about in order. Without a map a
channel is module · crystals + crystal; `--map FILE` has rows `channel,module,crystal`. It needs
pyzmq, msgspec (or any msgpack) and crc32c. docs/connect_your_digitizer.md explains it.
"""

import argparse
import csv
import math
import os
import struct
import sys
import time
from collections import defaultdict
from pathlib import Path

import crc32c
import msgspec
import zmq

# fmt: off
PERIOD_TICKS = 1 << 28  # 5.24288 ms: one frame of each module covers so much
HEADER = struct.Struct("<IBBHIIIIQIIIhHHHII")  # 60 of its 64 bytes: the CRC follows
MAGIC, VERSION, MESSAGES = 0x42534D54, 1, 3
FIRST, LAST, OVERFLOW = 1, 2, 8
SINGLE = 1 << 61
AHEAD = 3  # a word may lie so many periods after its frame's own, never before it


class Module:
    """One module's frames: a socket of its own keeps them in order."""

    def __init__(self, number, address):
        self.number, self.words, self.sent_words, self.frames = number, defaultdict(list), 0, 0
        self.lost = 0
        self.socket = zmq.Context.instance().socket(zmq.PUSH)
        self.socket.sndhwm = 64
        self.socket.connect(address)

    def frame(self, period, run_tag, last):
        """Return the frame of a period: 64 bytes of header, then words of 64 bits."""
        words = self.words.pop(period, [])
        self.lost += len(words) - len(words := words[:65536])
        flags = FIRST * (self.frames == 0) | LAST * last | OVERFLOW * (self.lost > 0)
        head = HEADER.pack(
            MAGIC, VERSION, flags, self.number, self.frames, period, run_tag, len(words),
            self.sent_words, self.lost, 0, 0, 2500, 0, 0, 0, 0, 0,
        )
        payload = struct.pack(f"<{len(words)}Q", *words)
        crc = crc32c.crc32c(payload, crc32c.crc32c(head))
        self.frames, self.sent_words, self.lost = self.frames + 1, self.sent_words + len(words), 0
        return head + struct.pack("<I", crc) + payload


class Source:
    """The plane `source`: says Hello, is started and stopped, reports."""

    def __init__(self, address, scanner, modules):
        self.hello = {"type": "Hello", "version": MESSAGES, "kind": "digitizer",
                      "scanner": scanner, "modules": modules, "pid": os.getpid()}
        self.beat = {"type": "Heartbeat", "version": MESSAGES, "running": False,
                     "detector_time_s": 0.0}
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.identity = b"digitizer-" + os.urandom(16)
        self.socket.linger = 1000
        self.socket.connect(address)
        self.next_s, self.stopped = 0.0, False

    def send(self, message):
        """Send a message: one msgpack map in one part."""
        self.socket.send(msgspec.msgpack.encode(message))

    def orders(self, wait_s=0.0):
        """Stay alive; return what the daq said."""
        if time.monotonic() >= self.next_s:  # Hello again and again: a daq may be restarted
            self.next_s = time.monotonic() + 0.5
            self.send(self.hello)
            self.send(self.beat)
        found = []
        while self.socket.poll(0 if found else int(1000 * wait_s)):
            order = msgspec.msgpack.decode(self.socket.recv_multipart()[-1])
            if order["type"] == "Refused":
                print(f"refused: {order['reason']}", file=sys.stderr)
            self.stopped |= order["type"] in ("Stop", "Shutdown")
            found.append(order)
        return found

    def wait_for_start(self):
        """Return the daq's Start."""
        while not self.stopped:
            for order in self.orders(0.1):
                if order["type"] == "Start":
                    return order
        sys.exit("the daq left before it started a run")


class Digitizer:
    """Sorts events into their periods and sends each period's frames once it is complete."""

    def __init__(self, options, source, channels):
        self.options, self.source, self.channels = options, source, channels
        self.modules = [Module(m, f"{options.endpoint}/data") for m in range(options.modules)]
        self.order, self.period, self.newest, self.unmapped = {}, 0, 0, 0

    def run(self, rows):
        """Send a run's events, until the end of the rows or of the time that was ordered."""
        self.order = self.source.wait_for_start()
        self.source.beat["running"], self.began = True, time.monotonic()
        seconds = self.order["duration_s"]
        most = math.ceil(seconds / 5.24288e-3 - 1e-9) if seconds else 1 << 32
        for row in rows:
            if self.source.stopped or self.newest >= most + AHEAD:
                break
            self.take(int(row[0]), int(row[1]), float(row[2]))
        end = self.period if self.source.stopped else max(self.period, min(self.newest, most - 1))
        while self.period <= end:
            self.close_period(last=self.period == end)
        self.report()

    def take(self, time_ps, channel, energy_keV):
        """Put an event into its period, and send those that are complete."""
        module, crystal = self.channels(channel)
        if module is None:
            self.unmapped += 1
            return
        period, ticks = divmod(time_ps * 32 // 625, PERIOD_TICKS)  # of 625/32 ps, completed
        if period < self.period:  # its frame is gone: the module says that it lost it
            self.modules[module].lost += 1
            return
        energy = min(16383, max(0, round(10 * energy_keV)))
        self.modules[module].words[period].append(SINGLE | crystal << 44 | energy << 30 | ticks)
        self.newest = max(self.newest, period)
        while self.period < self.newest - AHEAD and not self.source.stopped:
            self.close_period()

    def close_period(self, last=False):
        """Send all modules' frames of the oldest open period, empty ones, too."""
        if self.options.speed:
            due = self.began + (self.period + 1) * 5.24288e-3 / self.options.speed
            while (left := due - time.monotonic()) > 0:
                self.source.orders(min(left, 0.1))
        self.source.beat["detector_time_s"] = (self.period + 1) * 5.24288e-3
        self.source.orders()
        for module in self.modules:
            frame = module.frame(self.period, self.order["run_tag"], last)
            while not module.socket.poll(100, zmq.POLLOUT):  # the daq is busy: wait, lose nothing
                self.source.orders()
            module.socket.send(frame)
        self.period += 1

    def report(self):
        """Tell the daq what was sent, so that it can close its sums."""
        self.source.send({
            "type": "SourceReport", "version": MESSAGES, "run_tag": self.order["run_tag"],
            "singles_emitted": [m.sent_words for m in self.modules],
            "frames_sent": [m.frames for m in self.modules],
            "dead_events": [0] * len(self.modules)})
        frames, words = (sum(getattr(m, f) for m in self.modules) for f in ("frames", "sent_words"))
        print(f"sent {frames} frames with {words} events, {self.unmapped} of unknown channels")
        for module in self.modules:
            module.socket.close(linger=5000)


def channel_map(options):
    """Return a function from a channel to its module and crystal."""
    if options.map:
        lines = Path(options.map).read_text(encoding="utf-8").splitlines()
        rows = [tuple(map(int, row)) for row in csv.reader(lines) if row and row[0].isdigit()]
        known = {channel: (module, crystal) for channel, module, crystal in rows}
        return lambda channel: known.get(channel, (None, None))
    most = options.modules * options.crystals
    return lambda c: divmod(c, options.crystals) if 0 <= c < most else (None, None)


def main():
    """Read the options and the rows; send one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", help="rows of time_ps,channel,energy_keV; - for stdin")
    place = f"{os.environ.get('XDG_RUNTIME_DIR', '/tmp')}/tomoshibi-{os.getuid()}"
    parser.add_argument("--endpoint", default=os.environ.get("TOMOSHIBI_ENDPOINT", f"ipc://{place}"))
    parser.add_argument("--scanner", default="bench2")
    parser.add_argument("--modules", type=int, default=2)
    parser.add_argument("--crystals", type=int, default=64, help="of a module, without --map")
    parser.add_argument("--map", help="CSV of channel,module,crystal")
    parser.add_argument("--speed", type=float, default=0.0, help="1: real time; 0: at once")
    options = parser.parse_args()
    source = Source(f"{options.endpoint}/source", options.scanner, options.modules)
    with sys.stdin if options.csv == "-" else Path(options.csv).open(encoding="utf-8") as file:
        rows = (row for row in csv.reader(file) if row and row[0].isdigit())
        Digitizer(options, source, channel_map(options)).run(rows)
    source.socket.close(linger=2000)


if __name__ == "__main__":
    main()
