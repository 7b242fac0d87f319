"""Where the processes of one system meet: a base address and the names of the planes.

``ipc:///folder`` makes one socket file per plane in the folder, which no other user may enter;
``tcp://127.0.0.1:7100`` takes consecutive ports from 7100. Over TCP everything is encrypted, and
nobody enters without a key (:mod:`hw.messages.keys`, docs/adr/0024): on this machine this user's
own key is made and used by itself, other machines need one that was made for them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hw.errors import TomoshibiError
from hw.private_place import PlaceError, private_folder, runtime_folder

if TYPE_CHECKING:
    import zmq

PLANES = (
    "data", "source", "control", "coincidences", "reports", "telemetry", "images", "events",
    "projections", "modules",
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_IPC_FILTER_UID = 59  # of ZeroMQ: which users' processes may connect
_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,252}|[0-9A-Fa-f:.]{2,45}(%\w+)?")
_IPC_PATH_LIMIT = 100  # sun_path has 108 bytes on Linux, less the longest plane name's share


class EndpointError(TomoshibiError, ValueError):
    """A base address that cannot be used; the message says why and what to use."""


def default_base() -> str:
    """Return the base for this user's permanent system (``TOMOSHIBI_ENDPOINT`` overrides it)."""
    if "TOMOSHIBI_ENDPOINT" in os.environ:
        return os.environ["TOMOSHIBI_ENDPOINT"]
    return f"ipc://{runtime_folder()}"


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one system's planes."""

    base: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base)
        except ValueError as error:
            raise EndpointError(f"endpoint {self.base!r}: {error}") from error
        if parts.scheme == "ipc":
            self._check_ipc()
        elif parts.scheme == "tcp":
            self._check_tcp(parts.hostname, self._port())
        else:
            raise EndpointError(
                f"endpoint {self.base!r}: use ipc:///some/folder or tcp://127.0.0.1:PORT"
            )

    def _check_ipc(self) -> None:
        if not self.folder.is_absolute():
            raise EndpointError(f"endpoint {self.base!r}: the ipc folder must be absolute")
        if "\0" in self.base:
            raise EndpointError(f"endpoint {self.base!r}: a path cannot hold a null byte")
        if len(os.fsencode(self.folder)) + len("/coincidences") > _IPC_PATH_LIMIT:
            raise EndpointError(f"endpoint {self.base!r}: path too long for a socket, use /tmp/…")

    def _check_tcp(self, host: str | None, port: int) -> None:
        if host not in LOOPBACK:
            self._check_host(host)
        if not 1024 <= port <= 65535 - len(PLANES):
            raise EndpointError(
                f"endpoint {self.base!r}: port must be in 1024..{65535 - len(PLANES)}"
            )

    def _check_host(self, host: str | None) -> None:
        """Refuse what names no machine, and another machine while there are no keys."""
        if not host or not _HOST.fullmatch(host):
            raise EndpointError(
                f"endpoint {self.base!r}: {host} is no machine's name or address; to be reached "
                "from other machines, take 0.0.0.0 or the address of one network"
            )
        from hw.messages.keys import KeyRing

        if not os.environ.get("TOMOSHIBI_KEY_FILE") and not KeyRing().for_others:
            raise EndpointError(
                f"endpoint {self.base!r}: {host} is not this machine, and nobody enters from afar "
                "without a key: make one where the daq runs (`tomoshibi keys make NAME --role "
                "operate`) and give it with --keys FILE, or use ssh -L"
            )

    def _port(self) -> int:
        try:
            return urlsplit(self.base).port or 0
        except ValueError as error:
            raise EndpointError(f"endpoint {self.base!r}: {error}") from error

    @property
    def folder(self) -> Path:
        """The folder of the ipc sockets."""
        return Path(self.base.removeprefix("ipc://"))

    def of(self, plane: str) -> str:
        """Return the ZeroMQ address of a plane; makes the ipc folder (0700) if missing.

        Raises
        ------
        EndpointError
            if others than this user may enter the ipc folder, or could replace it: they could read
            and forge everything.
        """
        number = PLANES.index(plane)
        if self.base.startswith("ipc://"):
            try:
                private_folder(self.folder)
            except PlaceError as error:
                raise EndpointError(f"endpoint {self.base!r}: {error}") from error
            return f"ipc://{self.folder}/{plane}"
        parts = urlsplit(self.base)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"tcp://{host}:{self._port() + number}"

    def bind(self, socket: zmq.Socket[bytes], plane: str) -> None:
        """Bind a socket to a plane: over TCP for clients with a key, by ipc for this user alone."""
        address = self.of(plane)
        if address.startswith("tcp://"):
            from hw.messages.gatekeeper import gatekeeper_of

            keeper = gatekeeper_of(socket.context)
            socket.curve_publickey, socket.curve_secretkey = keeper.ring.pair()
            socket.curve_server = True
            socket.zap_domain = plane.encode()
            socket.bind(address)
        else:
            socket.setsockopt(_IPC_FILTER_UID, os.getuid())
            socket.bind(address)
            Path(address.removeprefix("ipc://")).chmod(0o600)  # whatever the umask is

    def connect(self, socket: zmq.Socket[bytes], plane: str) -> None:
        """Connect a socket to a plane, over TCP with the key that was given, or this user's own."""
        connect(socket, self.of(plane))


def connect(socket: zmq.Socket[bytes], address: str) -> None:
    """Connect a socket to an address of :meth:`Endpoints.of`; raises KeyFileError without a key."""
    if address.startswith("tcp://"):
        from hw.messages.keys import KeyRing, given_key

        key = given_key() or KeyRing().own()
        socket.curve_serverkey = key.server.encode()
        socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
    socket.connect(address)
