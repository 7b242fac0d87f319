"""Talking to a running daq service: commands out, replies and displays in.

Nothing here blocks longer than the caller says. Displays are conflated: a slow reader gets only the
newest message and never makes the service wait.
"""

from __future__ import annotations

import itertools
import time
from typing import Any, Self

import zmq

from hw.errors import TomoshibiError
from hw.messages.base import MessageError
from hw.messages.codec import decode_as, encode
from hw.messages.commands import Command, Reply
from hw.messages.endpoints import Endpoints
from hw.messages.modules import ModuleStates
from hw.messages.pictures import ImageMessage, Projections
from hw.messages.telemetry import Telemetry


class ClientError(TomoshibiError):
    """A command that failed or was never answered; the message says which and why."""


class ControlClient:
    """Sends commands with ids and collects their replies.

    ``send`` and ``poll`` never block (for a GUI); ``call`` waits, for a bounded time, until the
    command is done or has failed.

    >>> with ControlClient(Endpoints(base)) as daq:  # doctest: +SKIP
    ...     daq.call("start", timeout_s=5)
    """

    def __init__(self, endpoints: Endpoints, *, name: str = "") -> None:
        """Connect; without a ``name`` it holds no control, and is obeyed while nobody does."""
        self._name = name
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.setsockopt(zmq.SNDHWM, 64)
        self._address = endpoints.of("control")
        endpoints.connect(self._socket, "control")
        tcp = self._address.startswith("tcp://")
        self._hint = ". Nor does it answer a key that it does not know (--keys)" if tcp else ""
        self._ids = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, name: str, /, **args: Any) -> int:
        """Send a command and return its id; raises ClientError if the queue is full, or for
        arguments that no message can hold (NaN, bytes).
        """
        try:
            number = next(self._ids)
            command = Command(id=number, name=name, args=args, client=self._name)  # type: ignore[arg-type]
        except ValueError as error:
            raise ClientError(f"{name}: {error}") from error
        try:
            self._socket.send(encode(command), zmq.NOBLOCK)
        except zmq.Again as error:
            raise ClientError(
                f"{name}: 64 commands wait unanswered at {self._address}; is the daq running?"
            ) from error
        return command.id

    def poll(self, timeout_s: float = 0.0) -> list[Reply]:
        """Return the replies received so far, waiting at most ``timeout_s`` for the first."""
        replies: list[Reply] = []
        while self._socket.poll(0 if replies else int(timeout_s * 1000)):
            replies.append(decode_as(Reply, self._socket.recv()))
        return replies

    def call(self, name: str, /, *, timeout_s: float = 10.0, **args: Any) -> dict[str, Any]:
        """Send a command, wait until it is done, and return its result.

        Raises
        ------
        ClientError
            if it failed (with the daq's reason) or was not done within ``timeout_s``.
        """
        number = self.send(name, **args)
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                replies = self.poll(left)
            except MessageError as error:
                raise ClientError(f"{name}: {error}") from error
            for reply in replies:
                if reply.id != number:
                    continue
                if reply.status == "failed":
                    raise ClientError(f"{name}: {reply.reason}")
                if reply.status == "done":
                    return reply.result
        raise ClientError(
            f"{name}: no answer from the daq at {self._address} within {timeout_s:g} s; "
            f"is it running? (`tomoshibi acquire` starts one){self._hint}"
        )


class DisplayClient:
    """The newest of a system's telemetry, live image, planar pictures and modules, for displays."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._telemetry = self._subscribe(endpoints, "telemetry")
        self._images = self._subscribe(endpoints, "images")
        self._projections = self._subscribe(endpoints, "projections")
        self._modules = self._subscribe(endpoints, "modules")

    @staticmethod
    def _subscribe(endpoints: Endpoints, plane: str) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.CONFLATE, 1)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        endpoints.connect(socket, plane)
        return socket

    def telemetry(self, timeout_s: float = 0.0) -> Telemetry | None:
        """Return telemetry newer than the last one returned, or None."""
        data = self._newest(self._telemetry, timeout_s)
        return None if data is None else decode_as(Telemetry, data)

    def image(self, timeout_s: float = 0.0) -> ImageMessage | None:
        """Return a live image newer than the last one returned, or None."""
        data = self._newest(self._images, timeout_s)
        return None if data is None else decode_as(ImageMessage, data)

    def projections(self, timeout_s: float = 0.0) -> Projections | None:
        """Return planar pictures newer than the last ones returned, or None."""
        data = self._newest(self._projections, timeout_s)
        return None if data is None else decode_as(Projections, data)

    def modules(self, timeout_s: float = 0.0) -> ModuleStates | None:
        """Return the state of firmware modules newer than the last one returned, or None."""
        data = self._newest(self._modules, timeout_s)
        return None if data is None else decode_as(ModuleStates, data)

    @staticmethod
    def _newest(socket: zmq.Socket[bytes], timeout_s: float) -> bytes | None:
        return socket.recv() if socket.poll(int(timeout_s * 1000)) else None

    def close(self) -> None:
        """Close the sockets."""
        self._telemetry.close()
        self._images.close()
        self._projections.close()
        self._modules.close()
