"""The service's sockets: bound once, by one owner per system.

Queues, messages and connections are bounded: whoever sends a longer message, or is one connection
too many, is disconnected.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM
from socket import socket as UnixSocket
from typing import IO, NamedTuple

import zmq

from daq.errors import ServiceError
from daq.service.entrance.doorman import Doorman, connections_within, raise_descriptor_limit
from hw.messages.endpoints import Endpoints
from hw.messages.keys import KeyFileError
from hw.private_place import PlaceError, open_private, private_folder
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS, WORD_BYTES

DATA_QUEUE = 256
"""Data frames queued per module before its sender must wait (1.3 s of heartbeats)."""
IMAGER_QUEUE = 512
"""Coincidence batches queued for a slow imager before they are counted as undelivered (5 s)."""
EVENT_QUEUE = 64
"""Messages of events, of at most 1 MiB each, queued for a slow subscriber before it loses some."""

MOST_FRAME_BYTES = 2 * (HEADER_BYTES + MAX_EVENTS * WORD_BYTES)
"""Twice the longest frame: one that is somewhat too long is counted as corrupt, not cut off."""

MOST_SUBSCRIPTION_BYTES = 1024
"""Topics are short; the greeting of a client with a key takes some 300 bytes."""

Socket = zmq.Socket[bytes]


class Plane(NamedTuple):
    """A plane's socket and its bounds.

    queue : messages, per connection
    most_bytes : of a message that comes
    most_connections : at a time, if there are descriptors enough
    """

    kind: int
    queue: int
    most_bytes: int
    most_connections: int = 64


PLANES = {
    "data": Plane(zmq.PULL, DATA_QUEUE, MOST_FRAME_BYTES, 1024),
    "source": Plane(zmq.ROUTER, 1000, 4 * 2**20),
    "control": Plane(zmq.ROUTER, 1000, 2**20),
    "coincidences": Plane(zmq.PUSH, IMAGER_QUEUE, MOST_SUBSCRIPTION_BYTES),
    "reports": Plane(zmq.PULL, 100, 2**18),
    "telemetry": Plane(zmq.PUB, 10, MOST_SUBSCRIPTION_BYTES),
    "events": Plane(zmq.XPUB, EVENT_QUEUE, MOST_SUBSCRIPTION_BYTES),
    "projections": Plane(zmq.PUB, 2, MOST_SUBSCRIPTION_BYTES),
    "modules": Plane(zmq.PUB, 2, MOST_SUBSCRIPTION_BYTES),
}


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
    doorman: Doorman
    folder: Path
    lock: IO[str] | None

    def close(self) -> None:
        """Close all sockets, take their files away and release the lock."""
        for socket in (
            self.data, self.source, self.control, self.coincidences, self.reports,
            self.telemetry, self.events, self.projections, self.modules,
        ):  # fmt: skip
            socket.close(linger=200)
        self.doorman.close()
        if self.lock is not None:
            _remove_files(self.folder)
            self.lock.close()


def bind_service(endpoints: Endpoints) -> ServiceSockets:
    """Bind every plane of the daq; raises ServiceError if another one owns the address."""
    lock = _lock_folder(endpoints.folder) if endpoints.base.startswith("ipc") else None
    doorman = _new_doorman()
    bound: dict[str, Socket] = {}
    for name, plane in PLANES.items():
        bound[name] = _new_socket(plane)
        doorman.watch(name, bound[name])
        try:
            endpoints.bind(bound[name], name)
        except (zmq.ZMQError, KeyFileError, OSError) as error:
            for opened in bound.values():
                opened.close(linger=0)
            doorman.close()
            if lock is not None:
                lock.close()
            raise ServiceError(
                f"cannot bind {name} at {endpoints.base}: {error}. Another daq may own it: "
                "`tomoshibi doctor` tells; choose another --endpoint or stop the other"
            ) from error
    doorman.start()
    return ServiceSockets(**bound, doorman=doorman, folder=endpoints.folder, lock=lock)


def _remove_files(folder: Path) -> None:
    """Remove the socket files, which ZeroMQ leaves; only while the folder is locked.

    So does an imager that is killed; of one that lives the file stays.
    """
    for name in PLANES:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    if _is_deserted(folder / "images"):
        with contextlib.suppress(OSError):
            (folder / "images").unlink()


def _is_deserted(path: Path) -> bool:
    """Whether nobody listens on a socket's file."""
    with UnixSocket(AF_UNIX, SOCK_STREAM) as caller:
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _new_doorman() -> Doorman:
    asked = {name: plane.most_connections for name, plane in PLANES.items()}
    limit = raise_descriptor_limit()
    most = connections_within(limit, asked)
    remark = ""
    if most != asked:
        remark = (
            f"{limit} open files are allowed (`ulimit -Hn`), which is few: only {most['data']} "
            f"connections for data are taken, and {most['control']} on each other plane"
        )
    return Doorman(most, remark=remark)


def _new_socket(plane: Plane) -> Socket:
    socket: Socket = zmq.Context.instance().socket(plane.kind)
    socket.setsockopt(zmq.SNDHWM, plane.queue)
    socket.setsockopt(zmq.RCVHWM, plane.queue)
    socket.setsockopt(zmq.MAXMSGSIZE, plane.most_bytes)
    if plane.kind == zmq.ROUTER:
        # or a reply to a client that is gone or stuck is dropped silently
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # a source keeps its identity over a break of its connection: the new one counts
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    return socket


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
