"""A running system's metrics, as Prometheus' own parser reads them."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daq.client.client import DisplayClient
from hw.messages.telemetry import Telemetry
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread

prometheus_client = pytest.importorskip(
    "prometheus_client", reason="prometheus-client is not installed: ./tomoshibi setup lab"
)

from daq.client.prometheus_text import metrics_text  # noqa: E402

SAMPLE = re.compile(r'(tomoshibi_\w+)(\{(?:\w+="(?:[^"\\\n]|\\.)*",?)+\})? (\S+)')


@pytest.fixture
def daq(tmp_path: Path) -> Iterator[DaqInThread]:
    with DaqInThread(tmp_path) as one:
        yield one


def telemetry(daq: DaqInThread) -> Telemetry:
    display = DisplayClient(daq.endpoints)
    try:
        found = display.telemetry(timeout_s=10.0)
    finally:
        display.close()
    assert found is not None
    return found


def samples(text: str) -> dict[str, float]:
    """Return every sample by its name and labels; each line must be one, or a comment."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        made = SAMPLE.fullmatch(line)
        assert made, line
        found[made[1] + (made[2] or "")] = float(made[3])
    return found


def test_what_the_console_shows_prometheus_gets(daq: DaqInThread) -> None:
    now = msgspec.structs.replace(
        telemetry(daq), run="Yamada-1", state="running", rates={"singles": 1234.5},
        counters={"frames.accepted": 77}, module_rates=[10.0, 20.0], module_live=[0.5, 1.0],
        module_states=["live", "silent"], silent={'a "b"\\c': 4.0},
    )  # fmt: skip
    text = metrics_text(now)
    found = samples(text)
    assert found["tomoshibi_up"] == 1
    assert found['tomoshibi_run_state{state="running"}'] == 1
    assert found['tomoshibi_run_state{state="idle"}'] == 0
    assert found['tomoshibi_rate_per_second{kind="singles"}'] == 1234.5
    assert found['tomoshibi_events_total{name="frames.accepted"}'] == 77
    assert found['tomoshibi_module_live{module="1"}'] == 0
    assert found['tomoshibi_module_live_fraction{module="0"}'] == 0.5
    assert found['tomoshibi_alarms{priority="high"}'] >= 0
    assert "Yamada" not in text
    assert samples(metrics_text(None)) == {"tomoshibi_up": 0}


def test_prometheus_own_parser_takes_it(daq: DaqInThread) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    now = msgspec.structs.replace(telemetry(daq), silent={'a "b"\\c': 4.0}, counters={"a.b": 3})
    families = {one.name: one for one in parser.text_string_to_metric_families(metrics_text(now))}
    assert families["tomoshibi_silent_seconds"].samples[0].labels == {"what": 'a "b"\\c'}
    assert families["tomoshibi_events"].type == "counter"
    assert families["tomoshibi_events"].samples[0].value == 3


@pytest.mark.processes
@pytest.mark.timeout(60)
def test_the_command_answers_on_this_machine_alone_and_survives_nonsense(
    daq: DaqInThread, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = (tmp_path / "said").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "daq.cli", "metrics", "--port", str(port),
         "--endpoint", daq.endpoints.base],
        stderr=said, stdout=said,
    )  # fmt: skip

    def answer(path: str = "/metrics") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as found:
            return str(found.read().decode())

    def up() -> bool:
        try:
            return samples(answer())["tomoshibi_up"] == 1
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, Path(said.name).read_text()
            return False

    try:
        wait_until(up, "metrics of a running daq")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            answer("/etc/passwd")
        for nonsense in (b"\x00" * 4096, b"GET " + b"a" * 70000 + b"\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", port), 5.0) as line:
                line.sendall(nonsense)
        assert up()
        daq.close()
        wait_until(lambda: samples(answer())["tomoshibi_up"] == 0, "a daq that is gone")
    finally:
        process.terminate()
        assert process.wait(20) == 0
        said.close()
