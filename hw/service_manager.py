"""What a process tells the service manager that started it: ready, alive, leaving (sd_notify(3)).

systemd names a datagram socket in ``NOTIFY_SOCKET``, and in ``WATCHDOG_USEC`` how long a process
may be silent before it is taken for hung and started again. Signs of life come from the loop that
does the work, never from a thread of their own: a thread would go on telling of a loop that hangs.
Where nobody asks for them nothing is sent. Sending never waits, and never fails: a manager that
does not listen is no trouble of ours.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Self

SOCKET, LIMIT_US, WHOSE = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
SIGNS_A_LIMIT = 4
"""Of life in the time allowed; sd_watchdog_enabled(3) recommends two at least."""


class ServiceManager:
    """The connection to the service manager (systemd).

    Parameters
    ----------
    address : of its socket, "" for none; one that begins with @ has no file
    limit_s : how long it tolerates silence, 0 for ever
    """

    def __init__(self, address: str = "", *, limit_s: float = 0.0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s = limit_s / SIGNS_A_LIMIT
        self._next_s = 0.0

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """Return the manager named in the environment; remove it there, so that no child sees it.

        A limit for another process, or one that is no number, is none.
        """
        address, whose = environ.pop(SOCKET, ""), environ.pop(WHOSE, "")
        limit_us = environ.pop(LIMIT_US, "")
        if not limit_us.isdecimal() or whose not in ("", str(os.getpid())):
            limit_us = "0"
        return cls(address, limit_s=int(limit_us) / 1e6)

    def ready(self) -> None:
        """Say that the service can be used from now on."""
        self._send("READY=1")

    def alive(self, now_s: float) -> None:
        """Give a sign of life where one is due; ``now_s`` by the monotonic clock."""
        if self._every_s and now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            self._send("WATCHDOG=1")

    def leaving(self) -> None:
        """Say that the service is ending of its own accord."""
        self._send("STOPPING=1")

    def _send(self, words: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as way:
            way.sendto(words.encode(), self._address)
