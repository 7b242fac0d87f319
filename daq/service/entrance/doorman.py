"""Bounds the connections to the daq's planes, so that no client can bring it down.

Each connection costs a file descriptor, and ZeroMQ aborts the process where none is left. So the
soft limit of descriptors is raised to the hard one, and each plane takes so many connections: what
comes beyond is shut at once, by a thread of its own, as the loop may be busy for longer than a
thousand connections take. Those that stand are not touched. Connections that never say what they
are end after ``HANDSHAKE_S``.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import socket as os_sockets
import struct
import threading
from pathlib import Path

import zmq

HANDSHAKE_S = 5.0
CLOSE_S = 2.0
POLL_MS = 1000
BACKLOG = 16
"""Connections that wait to be accepted; whoever comes then tries again."""

MOST_DESCRIPTORS = 65_536
LEAST_CONNECTIONS = 4
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
_LIBC = ctypes.CDLL(None, use_errno=True)

Socket = zmq.Socket[bytes]


def raise_descriptor_limit() -> int:
    """Raise the process's soft limit of descriptors to the hard one; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if wanted > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_within(limit: int, asked: dict[str, int]) -> dict[str, int]:
    """Return how many connections each plane may have: ``asked``, or less if descriptors are few.

    All planes together get a quarter of the descriptors that are free: the rest is for files, and
    for what comes before the doorman has seen it. That is at most what ZeroMQ keeps of events
    unread, 1000 a plane: from 16,384 descriptors on, none are ever lacking.

    limit : of descriptors
    """
    free = limit - len(list(Path("/proc/self/fd").iterdir()))
    share = min(1.0, free / 4 / sum(asked.values()))
    return {plane: max(LEAST_CONNECTIONS, int(share * most)) for plane, most in asked.items()}


class Doorman:
    """Counts the connections of sockets and shuts those that are too many.

    most : connections, by plane
    remark : what a person should know about them, "" for nothing
    """

    def __init__(self, most: dict[str, int], *, remark: str = "") -> None:
        self.most, self.remark = most, remark
        self._monitors: dict[Socket, str] = {}
        self._open = dict.fromkeys(most, 0)
        self._refused = dict.fromkeys(most, 0)
        self._told = dict(self._refused)
        self._thread = threading.Thread(target=self._serve, name="doorman", daemon=True)

    def watch(self, plane: str, socket: Socket) -> None:
        """Count the connections of a socket; to be called before it is bound."""
        address = f"inproc://doorman-{id(self)}-{plane}"
        socket.setsockopt(zmq.HANDSHAKE_IVL, int(HANDSHAKE_S * 1000))
        socket.setsockopt(zmq.BACKLOG, BACKLOG)
        socket.monitor(address, _EVENTS)
        monitor: Socket = zmq.Context.instance().socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.connect(address)
        self._monitors[monitor] = plane

    def start(self) -> None:
        """Begin to shut what is too many."""
        self._thread.start()

    def take_refused(self) -> dict[str, int]:
        """Return how many connections to each plane were shut since the last call, if any."""
        before, self._told = self._told, dict(self._refused)
        return {
            plane: now - before[plane] for plane, now in self._told.items() if now > before[plane]
        }

    def close(self) -> None:
        """Wait, bounded, until the sockets are gone; to be called once they are closed.

        ZeroMQ's I/O thread waits for ever, and all sockets of the process with it, where it tells
        of a connection and nobody has the other end. So each is kept until ZeroMQ has said its last
        word about a socket, some time after that was closed.
        """
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join(CLOSE_S)

    def _serve(self) -> None:
        """Take events until all sockets are gone."""
        poller = zmq.Poller()
        for monitor in self._monitors:
            poller.register(monitor, zmq.POLLIN)
        with contextlib.suppress(zmq.ZMQError):  # the context is destroyed at a hasty exit
            while self._monitors:
                for monitor, _ in poller.poll(POLL_MS):
                    if not self._take(monitor, self._monitors[monitor]):
                        poller.unregister(monitor)
                        del self._monitors[monitor]
                        monitor.close(linger=0)
        for monitor in self._monitors:
            monitor.close(linger=0)

    def _take(self, monitor: Socket, plane: str) -> bool:
        """Take the events of a plane, so many at a time; return whether more may come."""
        for _ in range(BACKLOG):
            try:
                event, value = struct.unpack("=Hi", monitor.recv(zmq.NOBLOCK))
                monitor.recv()  # the address
            except zmq.Again:
                return True
            if event == zmq.EVENT_MONITOR_STOPPED:
                return False
            if event == zmq.EVENT_ACCEPTED:
                self._accepted(plane, value)
            else:
                self._open[plane] -= 1
        return True

    def _accepted(self, plane: str, descriptor: int) -> None:
        """Count a connection, and shut it if it is one too many; ZeroMQ then closes it.

        A descriptor that is gone, or reused for a file, comes to no harm.
        """
        self._open[plane] += 1
        if self._open[plane] > self.most[plane]:
            self._refused[plane] += 1
            _LIBC.shutdown(descriptor, os_sockets.SHUT_RDWR)
