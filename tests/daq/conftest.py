"""The daq's tests: kernels compiled once, the bench scanner, runs made of its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from daq.folder.run_config import RunConfig, default_settings
from daq.service.warm_up import warm_kernels
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from rigs.calibration_runs import BenchRun, emulate_bench
from rigs.frames_factory import RUN_TAG


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    warm_kernels()


@pytest.fixture(scope="session")
def bench() -> Scanner:
    """The two-module bench: 2 × 64 crystals."""
    return load_scanner("bench2")


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> BenchRun:
    """Three seconds of the bench before a small water cylinder: to be read, never changed."""
    return emulate_bench(tmp_path_factory.mktemp("measured"), periods=600)


@pytest.fixture
def make_config(bench: Scanner) -> Callable[..., RunConfig]:
    """Make configurations of runs on the bench."""

    def make(**changes: object) -> RunConfig:
        values: dict[str, object] = {
            "scanner_toml": scanner_to_toml_text("bench2"),
            "settings": default_settings(bench),
            "run_tag": RUN_TAG,
            "labels": {"scanner": "bench2"},
        }
        return RunConfig(**{**values, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def sockets() -> Iterator[Callable[[int, int], tuple[zmq.Socket, zmq.Socket]]]:
    """Make connected pairs of sockets (first kind bound, second connected), closed afterwards."""
    context = zmq.Context()
    opened: list[zmq.Socket] = []

    def pair(bound: int, connected: int, *, queue: int = 1000) -> tuple[zmq.Socket, zmq.Socket]:
        first, second = context.socket(bound), context.socket(connected)
        for socket in (first, second):
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, queue)
            socket.setsockopt(zmq.RCVHWM, queue)
            opened.append(socket)
        address = f"inproc://{len(opened)}"
        first.bind(address)
        second.connect(address)
        return first, second

    yield pair
    for socket in opened:
        socket.close(linger=0)
    context.term()


@pytest.fixture
def ipc_base(tmp_path: Path) -> str:
    """An endpoint base of this test's own; socket paths must be short."""
    return f"ipc://{tmp_path}" if len(str(tmp_path)) < 80 else "ipc:///tmp/tomoshibi-test"
