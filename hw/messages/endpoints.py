"""Where the processes of one system meet: a base address and the names of the planes.

``ipc:///folder`` makes one socket file per plane in the folder; ``tcp://127.0.0.1:7100`` takes
consecutive ports from 7100. Only ipc and loopback addresses are accepted: the planes are not
encrypted, so another machine is reached through an ssh tunnel, never by binding to a network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hw.errors import TomoshibiError
from hw.private_place import PlaceError, private_folder, runtime_folder

PLANES = (
    "data", "source", "control", "coincidences", "reports", "telemetry", "images", "events",
    "projections", "modules",
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")
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
            raise EndpointError(
                f"endpoint {self.base!r}: {host} is not this machine. The planes are not "
                "encrypted and bind to loopback only; from afar use ssh -L"
            )
        if not 1024 <= port <= 65535 - len(PLANES):
            raise EndpointError(
                f"endpoint {self.base!r}: port must be in 1024..{65535 - len(PLANES)}"
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
        host = "[::1]" if parts.hostname == "::1" else parts.hostname
        return f"tcp://{host}:{self._port() + number}"
