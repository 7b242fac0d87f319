"""A raw log as a source stays in touch with the daq, also where it takes frames without a pause."""

from __future__ import annotations

import itertools
import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from daq.cli import main
from daq.folder.run_folder import run_config
from daq.replay import paced_source
from daq.replay.raw_log_source import ReplaySource
from hw.messages.codec import decode, encode
from hw.messages.endpoints import Endpoints
from hw.messages.source import Heartbeat, Hello, Shutdown, SourceReport, Start, Welcome
from hw.wire.protocol import FRAME_PERIOD_PS
from rigs.runs.stored_run import FRAMES, store_run


@pytest.mark.timeout(60)
def test_a_source_that_is_never_held_back_says_all_the_time_that_it_lives(
    tmp_path: Path, make_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_run(make_config(), tmp_path / "runs")
    endpoints = Endpoints(f"ipc://{tmp_path}/ipc")
    daq = zmq.Context.instance().socket(zmq.ROUTER)
    data = zmq.Context.instance().socket(zmq.PULL)
    endpoints.bind(daq, "source")
    endpoints.bind(data, "data")
    source = ReplaySource(folder, run_config(folder), endpoints, speed=math.inf)
    slow = itertools.count(0.0, 0.05)  # so much passes from look to look: a long log
    monkeypatch.setattr(paced_source, "time", SimpleNamespace(monotonic=lambda: next(slow)))
    monkeypatch.setattr(source._link, "_clock", lambda: next(slow))
    thread = threading.Thread(target=source.serve, daemon=True)
    thread.start()
    beats = conversation(daq)
    thread.join(20)
    daq.close()
    data.close()
    assert beats > 5


def conversation(daq: zmq.Socket[bytes]) -> int:
    """Welcome the source, start it, count its heartbeats until it reports; then shut it down."""
    beats, started, deadline = 0, False, time.monotonic() + 30
    while time.monotonic() < deadline:
        if not daq.poll(1000):
            continue
        identity, message = daq.recv_multipart()
        match decode(message):
            case Hello() if not started:
                started = True
                daq.send_multipart([identity, encode(Welcome())])
                daq.send_multipart([identity, encode(Start(run_tag=FRAMES.report.run_tag))])
            case Heartbeat(running=True):
                beats += 1
            case SourceReport():
                daq.send_multipart([identity, encode(Shutdown())])
                return beats
    raise AssertionError("no report came")


@pytest.mark.parametrize("speed", [0.5, 1.0, 8.0])
def test_a_run_takes_its_length_over_the_speed(
    tmp_path: Path, make_config: Any, monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    """The clock of this test goes on only while the source waits."""
    folder = store_run(make_config(), tmp_path / "runs")
    endpoints = Endpoints(f"ipc://{tmp_path}/ipc")
    data = zmq.Context.instance().socket(zmq.PULL)
    endpoints.bind(data, "data")
    source = ReplaySource(folder, run_config(folder), endpoints, speed=speed)
    now_s = 100.0

    def wait(timeout_s: float) -> list[object]:
        nonlocal now_s
        now_s += timeout_s
        return []

    monkeypatch.setattr(paced_source, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(source._link, "poll", wait)
    source.play(Start(run_tag=FRAMES.report.run_tag))
    source._data.close()
    source._link.close()
    data.close()
    length_s = 40 * FRAME_PERIOD_PS * 1e-12
    assert now_s - 100.0 == pytest.approx(length_s / speed, rel=1e-9)
    assert source._link.beat.lag_s == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1000", "fast"])
def test_a_speed_that_cannot_be_is_refused(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "RUN", "--speed", speed])
    assert "--speed" in capsys.readouterr().err
