"""One module's line while it is open: bytes out without waiting, packets in, and loss detected.

Writing never waits for a slow line: what the port does not take at once is kept (64 KiB at most,
far more than any order) and sent as the port takes it. Packets arrive in the poller's thread. Order
of locks: the poller's, then the line's; the poller is never called while the line's is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from daq.link.serial.line_errors import LinkLost
from daq.link.serial.line_statistics import LinkStatistics
from daq.link.serial.packets import ControlMessage, PacketReader
from daq.link.serial.poller import Poller
from daq.link.serial.ports import Port, open_port

MOST_WAITING = 1 << 16

Packet = ControlMessage | bytes


class Line:
    """A line that can be opened again after it broke.

    broken : whether the open port went away

    Parameters
    ----------
    poller : watches the port
    statistics : counts bytes and errors
    take : is called with each packet
    when_broken : is called once with the reason when the port goes away
    tick : the owner's timers: is told the time, returns when it is due next (monotonic, s)
    """

    def __init__(
        self,
        poller: Poller,
        statistics: LinkStatistics,
        *,
        take: Callable[[Packet], None],
        when_broken: Callable[[str], None],
        tick: Callable[[float], float],
    ) -> None:
        self.reader = PacketReader()
        self.tick = tick
        self._poller = poller
        self._statistics = statistics
        self._take, self._when_broken = take, when_broken
        self.broken = False
        self._lock = threading.Lock()
        self._port: Port | None = None
        self._out = bytearray()

    @property
    def descriptor(self) -> int | None:
        return self._port.descriptor if self._port is not None else None

    def open(self, url: str, baud: int) -> None:
        """Open the port and listen; errors as ``open_port``."""
        self.close()
        self._out.clear()
        self.broken = False
        self._port = open_port(url, baud=baud)
        self._statistics.url, self._statistics.baud = url, baud
        self._poller.add(self)

    def close(self) -> None:
        """Stop listening and close the port; the packet under way is given up and counted."""
        self._poller.remove(self)
        with self._lock:
            port, self._port = self._port, None
            if port is not None:
                port.close()
        self.reader.forget()
        self._count_damage()

    def set_baud(self, baud: int) -> None:
        """Change the speed of the open port."""
        if self._port is not None:
            self._port.baud = baud
            self._statistics.baud = baud

    def send(self, data: bytes) -> None:
        """Send bytes, now or as the port takes them.

        Raises
        ------
        LinkLost
            the port is gone, or takes nothing any more.
        """
        with self._lock:
            port = self._port
            if port is None:
                raise LinkLost("the port is not open")
            self._out += data
            self._statistics.bytes_out += len(data)
            waiting = self._flush(port)
        if waiting > MOST_WAITING:
            raise LinkLost(f"{port.url}: the port takes no bytes; {waiting} wait")
        if waiting:
            self._poller.wants_to_write(self, True)

    def turn(self, *, hung_up: bool) -> int:
        """Read everything available and pass it on."""
        port = self._port
        if port is None:
            return 0
        try:
            data = port.read(hung_up=hung_up)
            if self._out:
                self._write_on(port)
        except LinkLost as error:
            self._poller.remove(self)
            self.broken = True
            self._when_broken(str(error))
            return 0
        if data:
            self._statistics.bytes_in += len(data)
            for packet in self.reader.feed(data):
                self._take(packet)
            self._count_damage()
        return len(data)

    def _write_on(self, port: Port) -> None:
        with self._lock:
            waiting = self._flush(port)
        if not waiting:
            self._poller.wants_to_write(self, False)

    def _flush(self, port: Port) -> int:
        """Write what the port takes; return how many bytes still wait."""
        while self._out:
            taken = port.write(bytes(self._out))
            if taken == 0:
                break
            del self._out[:taken]
        return len(self._out)

    def _count_damage(self) -> None:
        self._statistics.invalid_packets = self.reader.invalid_packets
        self._statistics.invalid_bytes = self.reader.invalid_bytes
