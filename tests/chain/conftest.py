"""A real acquisition process and a source made of plain frames, joined by real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from daq.service.warm_up import warm_kernels
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, SourceReport, Start, Stop
from hw.messages.source_link import SourceLink
from hw.scanner.preset_file import load_scanner
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST, FRAME_PERIOD_TICKS, pack_words
from rigs.acquisition_process import WAIT_S, Acquisition, wait_until
from rigs.daq_in_thread import DaqInThread


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    """Compile here, once, what every acquisition would compile before it answers."""
    warm_kernels()


class PlainSource:
    """Modules, two of the bench or others, that send the frames a test asks for over real links."""

    def __init__(
        self, endpoints: Endpoints, *, scanner: str = "bench2", modules: int = 2, serial: str = ""
    ) -> None:
        self.modules = modules
        hello = Hello(kind="test", scanner=scanner, modules=modules, serial=serial)
        self.link = SourceLink(endpoints, hello)
        self.sockets = []
        for _ in range(modules):
            socket = zmq.Context.instance().socket(zmq.PUSH)
            socket.setsockopt(zmq.LINGER, 500)
            socket.connect(endpoints.of("data"))
            self.sockets.append(socket)
        self.run_tag = 0
        self.sequence = [0] * modules
        self.emitted = [0] * modules

    def attach(self) -> None:
        """Say hello until welcomed."""
        wait_until(self._welcomed, "the daq's welcome")

    def _welcomed(self) -> bool:
        self.link.poll(0.05)
        return self.link.welcomed

    def wait_for(self, kind: type[Any]) -> Any:
        """Return the daq's next order of a kind."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for order in self.link.poll(0.05):
                if isinstance(order, kind):
                    return order
        raise AssertionError(f"no {kind.__name__} came")

    def wait_for_start(self) -> None:
        """Take the run's tag from the Start order and begin counting anew."""
        self.run_tag = self.wait_for(Start).run_tag
        self.sequence = [0] * self.modules
        self.emitted = [0] * self.modules

    def frame(self, sender: int, n_events: int, *, last: bool = False, **header: int) -> bytes:
        """Make the module's next frame with n events at even times, 511 keV."""
        sequence = self.sequence[sender]
        step = FRAME_PERIOD_TICKS // (n_events + 1)
        words = pack_words(
            time_ticks=(np.arange(n_events) + 1) * step,
            crystal=np.arange(n_events) % 64,
            energy_dkeV=np.full(n_events, 5110),
        )
        fields = {
            "run_tag": self.run_tag,
            "events_before": self.emitted[sender],
            "flags": (FLAG_FIRST if sequence == 0 else 0) | (FLAG_LAST if last else 0),
            **header,
        }
        self.sequence[sender] += 1
        self.emitted[sender] += n_events
        module = fields.pop("module", sender)
        return seal_frame(new_header(module, sequence, sequence, **fields), words)

    def send(self, module: int, frame: bytes) -> None:
        """Send a frame on the module's own link."""
        assert self.sockets[module].poll(5000, zmq.POLLOUT), "the daq takes no data"
        self.sockets[module].send(frame)

    def send_periods(self, count: int, *, events: int = 20, last: bool = False) -> None:
        """Send whole periods of all modules."""
        for k in range(count):
            for module in range(self.modules):
                is_last = last and k == count - 1
                self.send(module, self.frame(module, events, last=is_last))

    def report(self) -> None:
        """Send the final report."""
        self.link.report(
            SourceReport(
                run_tag=self.run_tag,
                singles_emitted=self.emitted,
                frames_sent=self.sequence,
                dead_events=[0] * self.modules,
            )
        )

    def finish(self) -> None:
        """Send LAST frames and the report."""
        self.send_periods(1, last=True)
        self.report()

    def obey_stop(self) -> None:
        """Wait for Stop, then finish."""
        self.wait_for(Stop)
        self.finish()

    def close(self) -> None:
        """Close all sockets."""
        for socket in self.sockets:
            socket.close()
        self.link.close()


@pytest.fixture
def acquisition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Acquisition]]:
    """Start acquisition processes; all are stopped at the end of the test."""
    started: list[Acquisition] = []

    def start(*options: str, **more: Any) -> Acquisition:
        started.append(Acquisition(tmp_path_factory.mktemp("q"), *options, **more))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture(scope="module")
def _one_for_many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acquisition]:
    process = Acquisition(tmp_path_factory.mktemp("q"))
    yield process
    process.end()


@pytest.fixture
def idle_daq(_one_for_many: Acquisition) -> Iterator[Acquisition]:
    """An acquisition without a source that all tests of a file share: idle before and after."""
    assert _one_for_many.state() == "idle"
    yield _one_for_many
    if _one_for_many.state() != "idle":
        _one_for_many.control.call("reset")


@pytest.fixture
def source() -> Iterator[Callable[[Acquisition], PlainSource]]:
    """Attach sources; all are closed at the end of the test."""
    made: list[PlainSource] = []

    def attach(daq: Acquisition, **options: Any) -> PlainSource:
        made.append(PlainSource(daq.endpoints, **options))
        made[-1].attach()
        return made[-1]

    yield attach
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def bench_scanner() -> Any:
    """The bench-top preset."""
    return load_scanner("bench2")


@pytest.fixture
def daq(tmp_path: Path) -> Iterator[DaqInThread]:
    """A daq in a thread of this process, whose parts can be spoilt."""
    process = DaqInThread(tmp_path)
    yield process
    process.close()
