"""The service's sockets: bound once, with bounded queues, by one owner per system."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zmq

from daq.errors import ServiceError
from hw.messages.endpoints import Endpoints
from hw.private_place import PlaceError, open_private, private_folder

DATA_QUEUE = 256
"""Data frames queued per module before its sender must wait (1.3 s of heartbeats)."""
IMAGER_QUEUE = 512
"""Coincidence batches queued for a slow imager before they are counted as undelivered (5 s)."""
EVENT_QUEUE = 64
"""Messages of events, of at most 1 MiB each, queued for a slow subscriber before it loses some."""

Socket = zmq.Socket[bytes]


@dataclass
class ServiceSockets:
    """All sockets that the daq binds; docs/architecture.md lists the addresses."""

    data: Socket
    source: Socket
    control: Socket
    coincidences: Socket
    reports: Socket
    telemetry: Socket
    events: Socket
    projections: Socket
    modules: Socket
    lock: IO[str] | None

    def close(self) -> None:
        """Close all sockets and release the lock."""
        for socket in (
            self.data, self.source, self.control, self.coincidences, self.reports,
            self.telemetry, self.events, self.projections, self.modules,
        ):  # fmt: skip
            socket.close(linger=200)
        if self.lock is not None:
            self.lock.close()


def bind_service(endpoints: Endpoints) -> ServiceSockets:
    """Bind every plane of the daq; raises ServiceError if another one owns the address."""
    lock = _lock_folder(endpoints.folder) if endpoints.base.startswith("ipc") else None
    bound: dict[str, Socket] = {}
    kinds = {
        "data": (zmq.PULL, DATA_QUEUE),
        "source": (zmq.ROUTER, 1000),
        "control": (zmq.ROUTER, 1000),
        "coincidences": (zmq.PUSH, IMAGER_QUEUE),
        "reports": (zmq.PULL, 100),
        "telemetry": (zmq.PUB, 10),
        "events": (zmq.XPUB, EVENT_QUEUE),
        "projections": (zmq.PUB, 2),
        "modules": (zmq.PUB, 2),
    }
    for plane, (kind, queue) in kinds.items():
        socket: Socket = zmq.Context.instance().socket(kind)
        socket.setsockopt(zmq.SNDHWM, queue)
        socket.setsockopt(zmq.RCVHWM, queue)
        if kind == zmq.ROUTER:  # or a reply to a client that is gone or stuck is dropped silently
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        bound[plane] = socket
        try:
            socket.bind(endpoints.of(plane))
        except (zmq.ZMQError, OSError) as error:
            for opened in bound.values():
                opened.close(linger=0)
            if lock is not None:
                lock.close()
            raise ServiceError(
                f"cannot bind {plane} at {endpoints.base}: {error}. Another daq may own it: "
                "`tomoshibi doctor` tells; choose another --endpoint or stop the other"
            ) from error
    return ServiceSockets(**bound, lock=lock)


def _lock_folder(folder: Path) -> IO[str]:
    """Lock the ipc folder: binding alone would silently take the sockets from a running daq."""
    try:
        lock = open_private(private_folder(folder) / "lock")
    except PlaceError as error:
        raise ServiceError(f"cannot meet at ipc://{folder}: {error}") from error
    except OSError as error:
        raise ServiceError(f"cannot use {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise ServiceError(
            f"another daq (pid {owner}) owns ipc://{folder}: use it, stop it, or choose "
            "another --endpoint"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
