"""The service against a daq of two sockets: orders, frames, report, faults, leaving."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from emulator.fault_kinds import FaultPlan
from emulator.process.service import EmulatorService
from hw.messages.base import Message
from hw.messages.codec import decode, encode
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, Shutdown, SourceReport, Start, Stop, Welcome
from oracles.emulation import decode_frame

BOUND_S = 20.0
PERIOD_S = 0.00524288
ANGLE = 4
"""The kind of word that has an angle."""


class FakeDaq:
    """Welcomes the emulator, gives orders, keeps frames and messages."""

    def __init__(self, base: str, *, queue: int = 10_000) -> None:
        endpoints = Endpoints(base)
        self.context = zmq.Context()
        self.data = self.context.socket(zmq.PULL)
        self.data.setsockopt(zmq.RCVHWM, queue)
        self.data.bind(endpoints.of("data"))
        self.source = self.context.socket(zmq.ROUTER)
        self.source.bind(endpoints.of("source"))
        self.identity = b""
        self.frames: list[bytes] = []
        self.messages: list[Message] = []

    def order(self, message: Message) -> None:
        self.source.send_multipart([self.identity, encode(message)])

    def take(self, timeout_s: float = 0.01, *, frames: bool = True) -> None:
        if self.source.poll(timeout_s * 1000):
            self.identity, data = self.source.recv_multipart()
            self.messages.append(decode(data))
            if isinstance(self.messages[-1], Hello):
                self.order(Welcome())
        while frames and self.data.poll(0):
            self.frames.append(self.data.recv())

    def until(self, kind: type[Message], *, frames: bool = True) -> Message:
        limit = time.monotonic() + BOUND_S
        while time.monotonic() < limit:
            self.take(frames=frames)
            found = [m for m in self.messages if isinstance(m, kind)]
            if found:
                self.messages.remove(found[0])
                self.take(0.1)
                return found[0]
        raise AssertionError(f"no {kind.__name__} within {BOUND_S} s")

    def close(self) -> None:
        self.context.destroy(linger=0)


class Bench:
    """An emulator in a thread, and its daq."""

    def __init__(self, base: str, *, queue: int = 10_000, **settings: object) -> None:
        self.config = EmulatorConfig(
            **{  # type: ignore[arg-type]
                "scanner": "bench2",
                "phantom": "point",
                "activity_Bq": 2e5,
                "pace": "fast",
                "endpoint": base,
            }
            | settings
        )
        self.daq = FakeDaq(base, queue=queue)
        self.service = EmulatorService(self.config, prepare(self.config))
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()
        self.daq.until(Hello)

    def ended(self) -> bool:
        self.thread.join(5.0)
        return not self.thread.is_alive()

    def close(self) -> None:
        self.service.leave()
        self.ended()
        self.daq.close()


@pytest.fixture
def bench(tmp_path) -> Iterator[type[Bench]]:
    made: list[Bench] = []

    def make(**settings: object) -> Bench:
        made.append(Bench(f"ipc://{tmp_path}/e{len(made)}", **settings))
        return made[-1]

    yield make  # type: ignore[misc]
    for one in made:
        one.close()


def by_module(frames: list[bytes]) -> dict[int, list[dict]]:
    modules: dict[int, list[dict]] = {}
    for frame in frames:
        decoded = decode_frame(frame)
        modules.setdefault(decoded["module"], []).append(decoded)
    return modules


def test_run_of_given_duration_ends_by_itself_with_last_frames_and_a_true_report(bench):
    one = bench()
    one.daq.order(Start(run_tag=7, duration_s=0.1))
    report = one.daq.until(SourceReport)
    assert isinstance(report, SourceReport)
    modules = by_module(one.daq.frames)
    assert sorted(modules) == [0, 1]
    for module, frames in modules.items():
        assert [f["sequence"] for f in frames] == list(range(20))  # 0.1 s are 19.1 periods
        assert {f["run_tag"] for f in frames} == {7}
        assert [f["flags"] for f in frames] == [1, *[0] * 18, 2]
        assert report.singles_emitted[module] == sum(f["event_count"] for f in frames)
        assert report.dead_events[module] == sum(f["dead_events"] for f in frames)
    assert report.frames_sent == [20, 20]
    assert report.truth["emitted"] == sum(report.singles_emitted)
    assert report.run_tag == 7


def test_what_is_sent_is_what_the_emulation_makes(bench):
    one = bench(threads=2)
    one.daq.order(Start(run_tag=7, duration_s=0.05))
    one.daq.until(SourceReport)
    made = [
        frame
        for frames in frames_of_run(prepare(one.config), one.config, periods=10, run_tag=7)
        for frame in frames
    ]
    assert sorted(one.daq.frames) == sorted(made)


def test_stop_ends_an_endless_run_with_last_frames(bench):
    one = bench(pace="real-time")
    one.daq.order(Start(run_tag=1))
    while len(one.daq.frames) < 20:
        one.daq.take()
    one.daq.order(Stop())
    one.daq.until(SourceReport)
    for frames in by_module(one.daq.frames).values():
        assert [bool(f["flags"] & 2) for f in frames] == [False] * (len(frames) - 1) + [True]


def test_second_run_starts_from_zero_with_another_seed(bench):
    one = bench()
    runs = []
    for tag in (1, 2):
        one.daq.frames.clear()
        one.daq.order(Start(run_tag=tag, duration_s=0.02))
        report = one.daq.until(SourceReport)
        runs.append(by_module(one.daq.frames)[0])
        assert report.truth["seed"] == one.config.seed + tag - 1
    assert [f["sequence"] for f in runs[0]] == [f["sequence"] for f in runs[1]]
    assert runs[0][0]["events"] != runs[1][0]["events"]
    assert {f["run_tag"] for f in runs[1]} == {2}


def test_a_runs_orbit_is_taken_and_an_impossible_one_told(bench):
    one = bench(scanner="gamma_head_lehr", nuclide="Tc-99m", activity_Bq=1e5)
    angles = {}
    for tag, orbit in ((1, "fixed:30"), (2, "")):
        one.daq.frames.clear()
        one.daq.order(Start(run_tag=tag, duration_s=0.02, orbit=orbit))
        assert one.daq.until(SourceReport).failed == ""
        frames = by_module(one.daq.frames)[0]
        events = [event for frame in frames for event in frame["events"]]
        words = [(one["crystal"] << 14) + one["energy"] for one in events if one["kind"] == ANGLE]
        angles[tag] = set(words)
    one.daq.order(Start(run_tag=3, duration_s=0.02, orbit="fixed:999"))
    assert "gantry 'fixed:999': 999° is outside" in one.daq.until(SourceReport).failed
    assert angles == {1: {30_000}, 2: {0}}  # in thousandths of a degree


def test_shutdown_ends_the_process_while_a_run_is_on(bench):
    one = bench(pace="real-time")
    one.daq.order(Start(run_tag=1))
    while len(one.daq.frames) < 4:
        one.daq.take()
    one.daq.order(Shutdown())
    one.daq.until(SourceReport)
    assert one.ended()


def test_leaving_does_not_wait_for_a_daq_that_takes_nothing(tmp_path):
    base = f"ipc://{tmp_path}/e"
    config = EmulatorConfig(
        scanner="bench2", phantom="point", activity_Bq=1e5, pace="fast", endpoint=base
    )
    service = EmulatorService(config, prepare(config))
    daq = FakeDaq(base, queue=1)
    thread = threading.Thread(target=service.serve)
    thread.start()
    try:
        daq.until(Hello, frames=False)
        daq.order(Start(run_tag=1))
        daq.take(0.3, frames=False)
        assert thread.is_alive()
    finally:
        service.leave()
        thread.join(3.0)
        daq.close()
    assert not thread.is_alive()


def test_slow_receiver_loses_nothing(bench):
    one = bench()
    one.daq.order(Start(run_tag=1, duration_s=2.0))
    for _ in range(5):
        one.daq.take(0.05, frames=False)
    report = one.daq.until(SourceReport)
    modules = by_module(one.daq.frames)
    assert [len(modules[m]) for m in (0, 1)] == report.frames_sent
    assert report.frames_sent[0] == 382


def test_receiver_that_wakes_after_the_end_of_the_run_loses_nothing(bench):
    one = bench(queue=4)
    one.daq.order(Start(run_tag=1, duration_s=0.5))
    report = one.daq.until(SourceReport, frames=False)
    one.daq.take(1.0, frames=False)  # beyond the senders' linger
    for _ in range(100):
        one.daq.take(0.01)
    modules = by_module(one.daq.frames)
    assert [len(modules[m]) for m in (0, 1)] == report.frames_sent
    assert modules[0][-1]["flags"] == 2


def test_faults_are_done_and_reported(bench):
    plan = FaultPlan(exact={"drop": ((0, 2), (1, 3)), "duplicate": ((1, 5),)})
    one = bench(faults=plan)
    one.daq.order(Start(run_tag=1, duration_s=0.05))
    report = one.daq.until(SourceReport)
    assert report.faults == {"drop": 2, "duplicate": 1}
    modules = by_module(one.daq.frames)
    assert [f["sequence"] for f in modules[0]] == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert [f["sequence"] for f in modules[1]] == [0, 1, 2, 4, 5, 5, 6, 7, 8, 9]
    assert report.frames_sent == [10, 10]


@pytest.mark.processes
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_running_process_cleanly(tmp_path, signum):
    base = f"ipc://{tmp_path}/p"
    daq = FakeDaq(base)
    code = (
        "from emulator.config import EmulatorConfig\n"
        "from emulator.process.service import run_emulator\n"
        "run_emulator(EmulatorConfig(scanner='bench2', phantom='point', activity_Bq=1e5,"
        f" endpoint={base!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        daq.until(Hello)
        daq.order(Start(run_tag=1))
        while len(daq.frames) < 20:
            daq.take()
        process.send_signal(signum)
        daq.until(SourceReport)
        assert process.wait(3.0) == 0
    finally:
        process.kill()
        process.wait(3.0)
        daq.close()
    for frames in by_module(daq.frames).values():
        assert frames[-1]["flags"] & 2
