"""The command that changes how a run is imaged: checked, passed on at once, kept for later runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from daq.client.client import ControlClient
from daq.folder.run_config import RunConfig
from daq.service.service import DaqService
from hw.messages.codec import decode
from hw.messages.commands import Reply
from hw.messages.endpoints import Endpoints
from hw.messages.imager import RunBegin
from hw.messages.live_settings import LiveSettings

pytestmark = pytest.mark.processes


class Stage:
    """A service that turns when told, a client, and the imager's end of the stream."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        endpoints = Endpoints(f"ipc://{folder}/s")
        self.service = DaqService(endpoints, runs_root=folder / "runs", template=config)
        self.client = ControlClient(endpoints)
        self.imager: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        self.imager.connect(endpoints.of("coincidences"))

    def call(self, name: str, **args: Any) -> Reply:
        number = self.client.send(name, **args)
        for _ in range(500):
            self.service.turn()
            for reply in self.client.poll(0.02):
                if reply.id == number:
                    return reply
        raise AssertionError(f"no reply to {name}")

    def announced(self) -> LiveSettings:
        """Return how the newest announcement says that the run is to be imaged."""
        found = None
        while self.imager.poll(200 if found else 5000):
            message = decode(self.imager.recv_multipart()[0])
            found = message.live if isinstance(message, RunBegin) else found
        assert found is not None, "no announcement"
        return found

    def close(self) -> None:
        self.service.leave()
        self.service.serve()
        self.client.close()
        self.imager.close(linger=0)


@pytest.fixture
def stage(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Iterator[Stage]:
    stage = Stage(tmp_path, make_config())
    yield stage
    stage.close()


def test_another_window_is_announced_at_once_and_kept_for_the_next_run(stage: Stage) -> None:
    assert stage.call("arm").status == "done"
    assert stage.announced().window == "grow"
    reply = stage.call("live", window="slide:60s", off=["scatter"])
    assert reply.status == "done" and reply.result["window"] == "slide:60s"
    assert stage.announced() == LiveSettings(window="slide:60s", off=("scatter",))
    stage.call("reset")
    stage.call("arm")
    assert stage.announced().window == "slide:60s"


def test_nonsense_is_refused_with_the_way_to_write_it(stage: Stage) -> None:
    stage.call("arm")
    for args in ({"window": "slide"}, {"off": ["everything"]}, {"frame_s": -1}, {"colour": "red"}):
        reply = stage.call("live", **args)
        assert reply.status == "failed" and reply.reason.startswith("live: ")
    assert stage.announced() == LiveSettings()
