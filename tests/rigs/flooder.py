"""Somebody who floods a daq, in a process of his own: ``python flooder.py PLANE ADDRESS WHAT``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from hw.messages.codec import encode
from hw.messages.commands import Command
from hw.messages.endpoints import Endpoints
from hw.messages.source import Heartbeat, Hello

WHAT = ("junk commands", "pings", "subscriptions", "heartbeats", "reports")
STOP_S = 5.0


class Flooder:
    """A running flood; ended with the block."""

    def __init__(self, endpoints: Endpoints, what: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, endpoints.base, what], stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"flooding\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=STOP_S)


def _flood(endpoints: Endpoints, what: str) -> None:
    plane, kind, messages = {
        "junk commands": ("control", zmq.DEALER, [b"junk"]),
        "pings": ("control", zmq.DEALER, [encode(Command(id=1, name="ping"))]),
        "subscriptions": ("events", zmq.XSUB, []),
        "heartbeats": ("source", zmq.DEALER, [encode(Heartbeat())]),
        "reports": ("reports", zmq.PUSH, [b"junk"]),
    }[what]
    socket = zmq.Context().socket(kind)
    socket.connect(endpoints.of(plane))
    if what == "heartbeats":
        socket.send(encode(Hello(kind="flooder", scanner="bench2", modules=0)))
    print("flooding", flush=True)
    number = 0
    while True:
        for message in messages or [b"\x01prompts%d" % number, b"\x00prompts%d" % number]:
            try:
                socket.send(message, zmq.NOBLOCK)
            except zmq.Again:
                time.sleep(0.0002)
        number += 1
        while kind == zmq.DEALER and socket.poll(0):
            socket.recv()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    _flood(Endpoints(sys.argv[1]), sys.argv[2])
