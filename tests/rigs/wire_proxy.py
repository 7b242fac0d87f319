"""A line between a machine and the host, as bad as configured.

It holds the machine's port and offers its own pty (under a name that survives unplugging). Each
direction has its faults, which depend only on a seed and on the bytes that pass, so the same bytes
meet the same faults. Faults are counted, and how many packets each touched: one, or more if it hit
the zero between two.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import threading
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

FLIP, DROP, DUPLICATE, BURST, STALL, UNPLUG = (
    "flip",
    "drop",
    "duplicate",
    "burst",
    "stall",
    "unplug",
)
_CHUNK = 4096


@dataclass
class Direction:
    """One direction of the line.

    faults : kinds enabled; every : mean bytes between two of them; baud : 0 for no limit
    happened : counts by kind; touched : upper bound of damaged packets
    """

    seed: int
    faults: tuple[str, ...] = ()
    every: int = 0
    baud: int = 0
    happened: dict[str, int] = field(default_factory=dict)
    touched: int = 0
    passed: int = 0
    swallow: int = 0
    _random: random.Random = field(init=False)
    _until_next: int = field(init=False, default=0)
    due_s: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._draw()

    def _draw(self) -> None:
        self._until_next = int(self._random.expovariate(1.0 / self.every)) + 1 if self.every else 0

    def begin(self, faults: tuple[str, ...], every: int) -> None:
        """Enable faults from now on."""
        self.faults, self.every = faults, every
        self._draw()

    def split(self, data: bytes) -> tuple[bytes, str, bytes]:
        """Return (bytes to pass now, fault that follows or "", bytes for later)."""
        if not self.every or not self.faults or len(data) < self._until_next:
            if self.every:
                self._until_next -= len(data)
            return data, "", b""
        at = self._until_next - 1
        self._draw()
        kind = self._random.choice(self.faults)
        self.happened[kind] = self.happened.get(kind, 0) + 1
        now, later = self._hurt(kind, data, at)
        return now, kind, later

    def _hurt(self, kind: str, data: bytes, at: int) -> tuple[bytes, bytes]:
        before, here, after = data[:at], data[at : at + 1], data[at + 1 :]
        if kind == FLIP:
            self.touched += 1
            return before + bytes([here[0] ^ (1 << self._random.randrange(8))]), after
        if kind == DROP:
            self.touched += 1
            return before, after
        if kind == DUPLICATE:
            self.touched += 1
            return before + here + here, after
        if kind == BURST:
            size = self._random.randint(2, 64)
            hit, after = data[at : at + size], data[at + size :]
            self.touched += 1 + hit.count(0)
            return before + self._random.randbytes(len(hit)), after
        if kind == UNPLUG:
            self.touched += 1
        return before + here, after


class WireProxy:
    """The line, served by its own thread from construction to ``close``.

    url : what the host opens; up : machine to host; down : host to machine
    """

    def __init__(self, serial_url: str, folder: Path, *, seed: int = 1) -> None:
        self.up, self.down = Direction(seed), Direction(seed + 1)
        self._folder = folder
        self._link = folder / "port"
        self.url = str(self._link)
        self._machine = _open_machine(serial_url)
        self._lock = threading.Lock()
        self._master = -1
        self._unplugged: list[int] = []
        self._held: dict[str, bytes] = {"up": b"", "down": b""}
        self._wait_for_host = False
        self._stalled_until_s = 0.0
        self._plug_in_s = 0.0
        self._ending = False
        self.unplugged_for_s = 0.3
        self.plug_in()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Remove the host's end: its reads and writes fail, its device is gone.

        The thread that uses it closes it, so that it never waits on a descriptor that is gone or,
        worse, is another file's by now.
        """
        with self._lock:
            if self._master >= 0:
                self._link.unlink(missing_ok=True)
                self._unplugged.append(self._master)
                self._master = -1

    def plug_in(self) -> None:
        """Offer the host's end again; nothing is passed up until the host has sent something."""
        with self._lock:
            if self._master >= 0:
                return
            self._master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(self._master, False)
            name = os.ttyname(slave)
            os.close(slave)
            self._wait_for_host = True
            fresh = self._folder / "port.new"
            fresh.symlink_to(name)
            fresh.replace(self._link)

    def stall(self, seconds: float) -> None:
        """Pause the line for a while; nothing is lost."""
        self._stalled_until_s = time.monotonic() + seconds

    def close(self) -> None:
        self._ending = True
        self._thread.join(5.0)
        self.unplug()
        self._close_unplugged()
        self._machine.close()

    def __enter__(self) -> WireProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_unplugged(self) -> None:
        with self._lock:
            while self._unplugged:
                os.close(self._unplugged.pop())

    def _run(self) -> None:
        while not self._ending:
            self._close_unplugged()
            now = time.monotonic()
            if now < self._stalled_until_s:
                time.sleep(0.002)
                continue
            with self._lock:
                master = self._master
            if master < 0:
                if self._plug_in_s and now >= self._plug_in_s:
                    self._plug_in_s = 0.0
                    self.plug_in()
                time.sleep(0.002)
                continue
            self._pass(master, now)

    def _pass(self, master: int, now: float) -> None:
        sources = []
        if now >= self.up.due_s and not self._wait_for_host and not self._held["up"]:
            sources.append(self._machine.descriptor)
        if now >= self.down.due_s and not self._held["down"]:
            sources.append(master)
        ready, _, _ = select.select(sources, [], [], 0.002)
        if master in ready and not self._read(master, "down"):
            time.sleep(0.002)  # nobody has the host's end open
        if self._machine.descriptor in ready:
            self._read(self._machine.descriptor, "up")
        for way, direction in (("down", self.down), ("up", self.up)):
            if self._held[way] and not (way == "up" and self._wait_for_host):
                self._forward(way, direction, master)

    def _read(self, descriptor: int, way: str) -> bool:
        direction = self.up if way == "up" else self.down
        most = _CHUNK if not direction.baud else max(1, direction.baud // 10 // 200)
        try:
            data = os.read(descriptor, most)
        except OSError:
            return False
        if way == "down" and data:
            self._wait_for_host = False
        if direction.swallow:
            lost = min(direction.swallow, len(data))
            direction.swallow -= lost
            data = data[lost:]
        self._held[way] += data
        return bool(data)

    def _forward(self, way: str, direction: Direction, master: int) -> None:
        now, kind, later = direction.split(self._held[way])
        self._held[way] = later
        self._put(self._machine.descriptor if way == "down" else master, now)
        direction.passed += len(now)
        if direction.baud:
            direction.due_s = time.monotonic() + 10.0 * len(now) / direction.baud
        if kind == STALL:
            self.stall(0.03)
        if kind == UNPLUG:
            self._drain(master)
            self.unplug()
            self._plug_in_s = time.monotonic() + self.unplugged_for_s

    def _put(self, descriptor: int, data: bytes) -> None:
        until = time.monotonic() + 5.0
        while data and time.monotonic() < until and not self._ending:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                select.select([], [descriptor], [], 0.01)
            except OSError:
                return

    @staticmethod
    def _drain(master: int) -> None:
        """Give the host time to read what was sent: unplugging cuts one packet, not many."""
        time.sleep(0.05)


class _Machine:
    def __init__(self, descriptor: int, connection: socket.socket | None) -> None:
        self.descriptor = descriptor
        self._connection = connection

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._connection is not None:
                self._connection.close()
            else:
                os.close(self.descriptor)


def _open_machine(serial_url: str) -> _Machine:
    if serial_url.startswith("socket://"):
        place = urlsplit(serial_url)
        connection = socket.create_connection((place.hostname, place.port), timeout=5.0)
        connection.setblocking(False)
        return _Machine(connection.fileno(), connection)
    descriptor = os.open(serial_url, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(descriptor)
    return _Machine(descriptor, None)
