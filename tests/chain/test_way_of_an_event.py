"""The way of an event that docs/architecture.md tells is the way that events go."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import zmq

from daq.client.client import ControlClient
from daq.folder.run_config import RunConfig, default_settings
from daq.service.service import DaqService
from gui.app.console import application
from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, Start
from hw.messages.source_link import SourceLink
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from recon.imager.service import LiveService
from rigs.frames_factory import ModuleSender, single_words

pytestmark = [pytest.mark.processes, pytest.mark.gui]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STOP = re.compile(r"^\| \d+ \| `([\w/.]+)` \| `(\w+)`( \(kernel\))? \|", re.MULTILINE)
STOPS = [(file, name, bool(compiled)) for file, name, compiled in STOP.findall(PAGE)]
MOST_STOPS = 25
BOUND_S = 90.0
PERIODS, EVENTS = 12, 200


class Trace:
    """When functions of ours were called, in order; every thread that starts meanwhile counts."""

    def __init__(self) -> None:
        self.files = frozenset(file for file, _, _ in STOPS)
        self.calls: list[tuple[str, str]] = []

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
        if event == "call" and name in self.files:
            self.calls.append((name, frame.f_code.co_name))

    def __enter__(self) -> Trace:
        threading.setprofile(self.note)
        sys.setprofile(self.note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


class House:
    """A daq that turns when told, an imager in a thread, a console, and two modules."""

    def __init__(self, folder: Path) -> None:
        endpoints = Endpoints(f"ipc://{folder}/s")
        config = RunConfig(
            scanner_toml=scanner_to_toml_text("bench2"),
            settings=default_settings(load_scanner("bench2")),
            labels={"scanner": "bench2"},
        )
        self.daq = DaqService(endpoints, runs_root=folder / "runs", template=config)
        self.client = ControlClient(endpoints)
        self.source = SourceLink(endpoints, Hello(kind="test", scanner="bench2", modules=2))
        self.data = zmq.Context.instance().socket(zmq.PUSH)
        self.data.connect(endpoints.of("data"))
        self.imager = LiveService(endpoints)
        self.thread = threading.Thread(target=self.imager.serve)
        application(headless=True)
        self.console = ConsoleWindow(endpoints)
        self.console.show()

    def turn_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOUND_S
        while not done():
            self.daq.turn()
            self.console.tick()
            application(headless=True).processEvents()
            assert time.monotonic() < deadline, "it did not come to that within the bound"
            time.sleep(0.002)

    def order(self, name: str) -> None:
        number = self.client.send(name)
        self.turn_until(lambda: any(reply.id == number for reply in self.client.poll()))

    def begin(self) -> int:
        """Arm and start a run; return its tag."""
        self.turn_until(lambda: bool(self.source.poll() or self.source.welcomed))
        self.order("arm")
        self.order("start")
        orders: list[Any] = []
        self.turn_until(lambda: bool(orders.extend(self.source.poll()) or orders))
        return next(order.run_tag for order in orders if isinstance(order, Start))

    def send(self, run_tag: int) -> None:
        """Send pairs of singles at the same times from both modules."""
        ticks = np.arange(1, EVENTS + 1) * 1200
        senders = [ModuleSender(module, run_tag=run_tag) for module in range(2)]
        for _ in range(PERIODS):
            for sender in senders:
                self.data.send(sender.frame(single_words(ticks, crystal=np.arange(EVENTS) % 64)))

    def close(self) -> None:
        self.imager.leave()
        self.thread.join(BOUND_S)
        self.daq.leave()
        self.daq.serve()
        self.console.close()
        self.client.close()
        self.source.close()
        self.data.close(linger=0)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_the_way_is_short_and_every_stop_is_another_file() -> None:
    files = [file for file, _, _ in STOPS]
    assert 20 <= len(files) <= MOST_STOPS
    assert len(set(files)) == len(files)


def test_compiled_stops_are_kernels_of_their_file() -> None:
    for file, name, compiled in STOPS:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert f"def {name}(" in source, f"{file} has no {name}"
        assert compiled == bool(re.search(rf"^@\w*kernel\ndef {name}\(", source, re.MULTILINE))


def first_not_met(calls: list[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the first stop that was not called after the one before it; None: all were."""
    at = 0
    for stop in [(file, name) for file, name, compiled in STOPS if not compiled]:
        if stop not in calls[at:]:
            return stop
        at = calls.index(stop, at) + 1
    return None


def test_events_come_by_in_this_order(house: House) -> None:
    with Trace() as trace:
        house.thread.start()
        run_tag = house.begin()
        trace.calls.clear()
        house.send(run_tag)
        with contextlib.suppress(AssertionError):  # the stop that is missing says more
            house.turn_until(lambda: first_not_met(list(trace.calls)) is None)
    assert first_not_met(trace.calls) is None
