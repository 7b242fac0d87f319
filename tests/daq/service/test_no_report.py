"""A run whose source never says what it sent closes within a bound, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from daq.folder.journal import read_entries
from daq.folder.run_config import RunConfig
from daq.service.life.closing import REPORTS_S
from daq.service.service import DaqService
from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello
from rigs.acquisition_process import wait_until
from rigs.frames_factory import RUN_TAG, sent_run

SENT = sent_run(n_modules=2, crystals_per_module=64)
TOLD = "the books cannot be closed: 1 of 1 sources made no report"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DaqService]:
    made = DaqService(Endpoints(f"ipc://{tmp_path}/ipc"), runs_root=tmp_path / "runs")
    yield made
    made._sockets.close()


@pytest.fixture
def digitizer(tmp_path: Path, service: DaqService) -> Iterator[zmq.Socket[bytes]]:
    """The source plane of one that has said Hello."""
    with zmq.Context.instance().socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(Endpoints(f"ipc://{tmp_path}/ipc").of("source"))
        socket.send(encode(Hello(kind="digitizer", scanner="bench2", modules=2)))
        wait_until(lambda: service._serve_sources() or service.sources.present, "the digitizer")
        yield socket


@pytest.fixture
def ended(
    service: DaqService, digitizer: zmq.Socket[bytes], make_config: Callable[..., RunConfig]
) -> DaqService:
    """A daq whose run's last frames are in."""
    service.life.arm(make_config(run_tag=RUN_TAG))
    service.life.start()
    service.life.take(SENT.frames)
    service.life.supervise(time.monotonic())
    assert service.life.state == "stopping"
    return service


def close_after(service: DaqService, seconds: float) -> str:
    """Let so much time go by, with all steps that may follow it; return the state."""
    now = time.monotonic() + seconds
    for _ in range(4):
        service.life.supervise(now)
        while service.life.sort(1.0):
            pass
    return service.life.state


def test_it_is_waited_for_no_longer_than_the_bound_and_the_run_says_so(ended: DaqService) -> None:
    assert close_after(ended, REPORTS_S - 1.0) == "stopping"
    assert close_after(ended, REPORTS_S + 1.0) == "closed"
    run = ended.life.run
    assert run is not None
    assert run.conditions == [TOLD]
    assert [e.text for e in read_entries(run.folder) if e.severity == "alarm"] == [TOLD]
    assert run.summary()["frames"]["lost"] == 0


def test_a_report_that_comes_ends_the_wait(ended: DaqService, digitizer: zmq.Socket[bytes]) -> None:
    digitizer.send(encode(SENT.report))
    run = ended.life.run
    assert run is not None
    wait_until(lambda: ended._serve_sources() or run.reports, "the report")
    assert close_after(ended, 0.0) == "closed"
    assert run.conditions == []


def test_a_source_that_ends_before_its_report_is_missed_too(
    ended: DaqService, monkeypatch: pytest.MonkeyPatch
) -> None:
    late_s = time.monotonic() + REPORTS_S
    monkeypatch.setattr(ended.sources, "_clock", lambda: late_s)
    ended._look_after_sources()
    assert ended.sources.present == []
    assert close_after(ended, REPORTS_S + 1.0) == "closed"
    assert ended.life.run is not None
    assert ended.life.run.conditions == [TOLD]
