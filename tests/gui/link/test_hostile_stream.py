"""A stream that no daq of ours sends: the window says so, and neither stops drawing nor ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from gui.app.window import ConsoleWindow
from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from rigs.gui.feeder import SHAPE, Feeder, Script

pytestmark = pytest.mark.gui
Pump = Callable[..., None]
Fields = dict[str, Any]

NO_NUMBERS = (math.nan, -math.inf, 1e308, 2**62)
SMALL = (-1, 0)
PLANES = ("telemetry", "images")


class Stream:
    """Publishes bytes as they are, and ticks the window until they were taken or refused."""

    def __init__(self, endpoints: Endpoints, window: ConsoleWindow) -> None:
        self._window = window
        self._sockets = {plane: zmq.Context.instance().socket(zmq.PUB) for plane in PLANES}
        for plane, socket in self._sockets.items():
            socket.bind(endpoints.of(plane))

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close(linger=0)

    def send(self, plane: str, data: bytes) -> None:
        self._sockets[plane].send(data)

    def show(self, plane: str, data: bytes, *, bound_s: float = 5.0) -> str:
        """Return what the link says of it, "" if it was shown."""
        link, deadline = self._window.link, time.monotonic() + bound_s
        link.fault, before = "", (link.telemetries, link.images)
        again_s = 0.0
        while (link.telemetries, link.images) == before and not link.fault:
            now_s = time.monotonic()
            assert now_s < deadline, "neither shown nor refused"
            if now_s > again_s:  # the first is lost while the window still connects
                again_s = now_s + 0.2
                self.send(plane, data)
            link.poll()
            time.sleep(0.001)
        self._window.tick()
        said = link.fault
        if not said:
            self._window.grab()  # what is drawn may raise as well
        return said


@pytest.fixture
def stream(endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> Iterator[Stream]:
    console.timer.stop()
    console.pages.show_page("Live")
    made = Stream(endpoints, console)
    yield made
    made.close()


def plain(message: Any) -> Fields:
    return dict(msgspec.msgpack.decode(encode(message)))


def changed(fields: Fields, value: float) -> Iterator[tuple[str, Fields]]:
    """Yield the message with each of its numbers in turn being another."""
    for name, old in fields.items():
        if isinstance(old, bool) or name == "version":
            continue
        if isinstance(old, int | float):
            yield name, fields | {name: value}
        elif isinstance(old, list) and old and isinstance(old[0], int | float):
            yield name, fields | {name: [value] * len(old)}
        elif isinstance(old, dict) and any(isinstance(one, int | float) for one in old.values()):
            yield name, fields | {name: dict.fromkeys(old, value)}


def test_numbers_that_nobody_measured_are_refused_by_name_and_the_window_draws_on(
    stream: Stream, console: ConsoleWindow
) -> None:
    feeder = Feeder(Endpoints("ipc:///nowhere"), Script(frames=2))
    telemetry, image = plain(feeder.telemetry()), plain(feeder.image())
    assert stream.show("telemetry", msgspec.msgpack.encode(telemetry)) == ""
    assert stream.show("images", msgspec.msgpack.encode(image)) == ""
    shown = console.link.image
    number = NO_NUMBERS[0]
    for name, fields in changed(telemetry, number):
        assert stream.show("telemetry", msgspec.msgpack.encode(fields)), f"{name} was shown"
    for name, fields in changed(image, number):
        assert stream.show("images", msgspec.msgpack.encode(fields)), f"{name} was shown"
    for value in (*NO_NUMBERS[1:], *SMALL):  # all at once; small ones may be shown
        for plane, whole in (("telemetry", telemetry), ("images", image)):
            every = dict(whole)
            for name, fields in changed(whole, value):
                every[name] = fields[name]
            stream.show(plane, msgspec.msgpack.encode(every))
    voxels = np.full(SHAPE, np.nan, np.float32).tobytes()
    assert "no numbers" in stream.show("images", msgspec.msgpack.encode(image | {"image": voxels}))
    assert console.link.image is shown, "the last good image stays"


def test_missing_fields_other_versions_and_endless_texts_are_refused(stream: Stream) -> None:
    telemetry = plain(Feeder(Endpoints("ipc:///nowhere")).telemetry())
    for change, words in (
        ({"version": 99}, "message version 99"),
        ({"reason": "x" * 10**6}, "telemetry.reason has 1000000 letters"),
        ({"state": "on fire"}, "state"),
        ({"rings": 2**40}, "telemetry.rings"),
        ({"module_states": ["live"] * 10**5}, "telemetry.module_states has 100000 items"),
    ):
        assert words in stream.show("telemetry", msgspec.msgpack.encode(telemetry | change))
    for name in ("rates", "settings", "wall_ns", "journal"):
        rest = {key: value for key, value in telemetry.items() if key != name}
        assert name in stream.show("telemetry", msgspec.msgpack.encode(rest))


def test_of_a_flood_the_newest_alone_is_shown(stream: Stream, console: ConsoleWindow) -> None:
    feeder = Feeder(Endpoints("ipc:///nowhere"), Script(run="first"))
    assert stream.show("telemetry", encode(feeder.telemetry())) == ""
    telemetry, before = feeder.telemetry(), console.link.telemetries
    for number in range(10_000):
        if number >= 9_998:
            telemetry = msgspec.structs.replace(telemetry, run="last")
        stream.send("telemetry", encode(telemetry) if number in (0, 9_998) else b"\xc1")
    deadline = time.monotonic() + 5
    while console.link.telemetry is None or console.link.telemetry.run != "last":
        assert time.monotonic() < deadline
        stream.send("telemetry", encode(telemetry))
        console.tick()
    assert console.link.telemetries - before < 100
    assert console.run_bar.facts["Run"].toolTip().startswith("last")
