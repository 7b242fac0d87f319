"""Markers set in a run that goes on: kept, journalled, listed; none without a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daq.cli import main
from daq.client.client import ClientError, ControlClient
from daq.folder.markers import read_markers
from daq.replay.sort_again import verify
from hw.wire.protocol import FRAME_PERIOD_PS
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread

pytestmark = pytest.mark.processes


def test_markers_have_the_detector_time_and_are_listed(
    daq: DaqInThread, source: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sender = source(daq)
    with pytest.raises(ClientError, match="the run is idle: arm a run first"):
        daq.control.call("mark", text="too early")
    identity = {"patient_id": "P-0042"}
    folder = Path(daq.control.call("arm", identity=identity)["run"])
    daq.control.call("start")
    sender.wait_for_start()
    sender.send_periods(3)
    daq.recorded(6)
    with pytest.raises(ClientError, match="the marker contains the patient_id"):
        daq.control.call("mark", text="P-0042 moved")
    assert main(["mark", "second", "injection", "--endpoint", daq.endpoints.base]) == 0
    at_s = 3 * FRAME_PERIOD_PS * 1e-12
    assert capsys.readouterr().out == f"{at_s:.3f} s: second injection\n"
    with ControlClient(daq.endpoints, name="another console") as console:
        console.call("control", action="ask")
        daq.control.call("mark", text="free for all")  # whoever holds control
    summary = daq.finish(sender, folder)
    assert [one["text"] for one in summary["markers"]] == ["second injection", "free for all"]
    assert [one.at_s for one in read_markers(folder)] == pytest.approx([at_s, at_s])
    assert f"marker at {at_s:.3f} s: second injection" in daq.journal(folder)
    assert verify(folder).identical
    wait_until(lambda: (folder / "manifest.json").exists(), "the manifest")
    assert "markers.json" in json.loads((folder / "manifest.json").read_text())["files"]
    assert main(["runs", "--show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "ended: " in shown
    assert shown.endswith(f"{at_s:10.3f} s  free for all\n")
