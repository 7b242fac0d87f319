"""Who may open a TCP connection: answers ZeroMQ's question before a handshake is completed.

One thread in each process that binds sockets, for its ZeroMQ context (RFC 27/ZAP). The daq's planes
are its domains: a key that may only observe reaches the planes for displays, and the
control plane, where the daq itself answers what it may not (:mod:`daq.service.entrance.door`).
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from typing import Any

import zmq
from zmq.utils import z85

from hw.messages.keys import KeyFileError, KeyRing

FOR_OBSERVERS = ("telemetry", "images", "events", "projections", "modules", "control")
"""The planes that every role reaches; the others (data, source, coincidences, reports) are for the
processes of a system, which have the role ``service``."""

_ADDRESS = "inproc://zeromq.zap.01"
_LOOK_MS = 200
_STARTING = threading.Lock()


class Gatekeeper(threading.Thread):
    """Answers for one context. ``refused`` counts connections with no, or with the wrong key."""

    def __init__(self, context: zmq.Context[Any], ring: KeyRing) -> None:
        super().__init__(name="gatekeeper", daemon=True)
        self.context, self.ring = context, ring
        self.refused = 0
        self._leave = threading.Event()
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(_ADDRESS)

    def run(self) -> None:
        """Answer until told to leave, or the context ends."""
        with contextlib.suppress(zmq.ContextTerminated):
            while not self._leave.is_set():
                if self._socket.poll(_LOOK_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        self._socket.close()

    def leave(self) -> None:
        """End: ZeroMQ aborts a process whose context ends under a thread that waits in it."""
        self._leave.set()
        self.join(10 * _LOOK_MS * 1e-3)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number, domain, _, _, mechanism, *credentials = request  # RFC 27
        key = z85.encode(credentials[0]).decode() if len(credentials) == 1 else ""
        if mechanism == b"CURVE" and self._may_enter(key, domain.decode("ascii", "replace")):
            return [version, number, b"200", b"OK", key.encode(), b""]
        self.refused += 1
        return [version, number, b"400", b"unknown key, or not for this plane", b"", b""]

    def _may_enter(self, key: str, plane: str) -> bool:
        try:
            client = self.ring.known(key)
        except KeyFileError:
            return False
        return client is not None and (client.role == "service" or plane in FOR_OBSERVERS)


_GATEKEEPERS: dict[int, Gatekeeper] = {}


def gatekeeper_of(context: zmq.Context[Any]) -> Gatekeeper:
    """Return the context's gatekeeper, begun where there is none yet."""
    with _STARTING:
        keeper = _GATEKEEPERS.get(id(context))
        if keeper is None or keeper.context.closed:
            keeper = _GATEKEEPERS[id(context)] = Gatekeeper(context, KeyRing())
            keeper.start()
        keeper.ring = KeyRing()  # the folder may be another now
        return keeper


def gatekeepers_leave() -> None:
    """End all, before their contexts are: nobody new enters from now on."""
    with _STARTING:
        while _GATEKEEPERS:
            _GATEKEEPERS.popitem()[1].leave()


atexit.register(gatekeepers_leave)
