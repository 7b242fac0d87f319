"""A signal from outside is recorded into the run that goes on, by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from daq.client.client import ClientError
from daq.folder.signals.signal_file import kept_signal
from recon.core.csv_tables import read_columns
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread

pytestmark = pytest.mark.processes


def test_a_publishers_messages_stand_in_the_run_at_detector_times(
    daq: DaqInThread, source: Callable[..., Any], tmp_path: Path
) -> None:
    publisher = zmq.Context.instance().socket(zmq.PUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    words = ["record-signal", "belt", "--kind", "amplitude", "--zmq", f"tcp://127.0.0.1:{port}",
             "--endpoint", daq.endpoints.base, "--json"]  # fmt: skip
    recorder = subprocess.Popen(
        [sys.executable, "-m", "daq.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        sender = source(daq)
        with pytest.raises(ClientError, match="the run is idle"):
            daq.control.call("signal", name="belt")
        folder = daq.start_run(sender)
        number, deadline = 0, time.monotonic() + 60
        while not (kept := daq.run.signals.summary()) or kept[0]["rows"] < 20:
            assert time.monotonic() < deadline, recorder.poll()
            sender.send_periods(1)
            publisher.send(f"{number}".encode())
            number += 1
            time.sleep(0.01)
        recorder.terminate()
        out, err = recorder.communicate(timeout=30)
        summary = daq.finish(sender, folder)
    finally:
        recorder.kill()
        recorder.communicate()
        publisher.close(linger=0)
    told = json.loads(out)
    assert recorder.returncode == 0, err
    rows = read_columns(kept_signal(folder, "belt"))[1]
    assert summary["signals"] == [
        {"name": "belt", "kind": "amplitude", "rows": len(rows), "left_out": told["between_runs"]}
    ]
    assert told["kept"] == len(rows) >= 20
    assert sorted(rows[:, 1]) == rows[:, 1].tolist()
    assert (rows[:, 0] >= 0).all()
    assert "commands.jsonl" not in {path.name for path in folder.parent.iterdir()} or (
        '"signal"' not in (folder.parent / "commands.jsonl").read_text()
    )
    wait_until(lambda: (folder / "manifest.json").exists(), "the manifest")
    assert "signal_belt.csv" in json.loads((folder / "manifest.json").read_text())["files"]
