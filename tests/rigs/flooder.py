"""Somebody who floods a daq, in a process of his own: ``python flooder.py PLANE ADDRESS WHAT``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import zmq

from hw.messages.codec import encode
from hw.messages.commands import Command
from hw.messages.endpoints import Endpoints
from hw.messages.source import Heartbeat, Hello
from hw.wire.frames import new_header, seal_frame

WHAT = ("junk commands", "pings", "subscriptions", "heartbeats", "reports")
HEAVY = ("frames", "consoles")
"""Floods that take the machine's processors, too: only for the campaign, which has time."""

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
    if what == "consoles":
        _consoles(endpoints)
    plane, kind, messages = {
        "junk commands": ("control", zmq.DEALER, [b"junk"]),
        "pings": ("control", zmq.DEALER, [encode(Command(id=1, name="ping"))]),
        "subscriptions": ("events", zmq.XSUB, []),
        "heartbeats": ("source", zmq.DEALER, [encode(Heartbeat())]),
        "reports": ("reports", zmq.PUSH, [b"junk"]),
        "frames": ("data", zmq.PUSH, _frames()),
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


def _frames() -> list[bytes]:
    """Good ones of another run, of both modules, of 64 KiB: what a source left behind sends."""
    words = np.zeros(8000, np.uint64)
    headers = [new_header(n % 2, n, n, run_tag=0xBAD) for n in range(64)]
    return [seal_frame(header, words) for header in headers]


def _consoles(endpoints: Endpoints) -> None:
    """A storm: 50 clients at once ask for what consoles ask for, leave, and come again."""
    context = zmq.Context()
    print("flooding", flush=True)
    while True:
        asking = [context.socket(zmq.DEALER) for _ in range(50)]
        watching = [context.socket(zmq.SUB) for _ in range(50)]
        for one in asking:
            one.setsockopt(zmq.LINGER, 0)
            one.connect(endpoints.of("control"))
            for number, name in enumerate(("ping", "status", "arm", "start")):
                one.send(encode(Command(id=number, name=name)), zmq.NOBLOCK)
        for one in watching:
            one.setsockopt(zmq.SUBSCRIBE, b"")
            one.connect(endpoints.of("telemetry"))
        time.sleep(0.1)
        for one in (*asking, *watching):
            one.close(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    _flood(Endpoints(sys.argv[1]), sys.argv[2])
