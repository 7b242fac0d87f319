"""A run takes the factory calibration of the instrument that its source is, whenever it comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daq.folder.run_config import RunConfig
from daq.folder.run_folder import ACTIVITY_NAME, own_calibration, run_config
from daq.replay.sort_again import verify

pytestmark = pytest.mark.processes

OURS = "bench2-0001"


def measure(daq: Any, modules: Any) -> Path:
    """Send a few periods to the armed run and return its folder."""
    modules.wait_for_start()
    modules.send_periods(5)
    modules.finish()
    daq.wait_for_state("closed")
    return Path(daq.control.call("status")["run"])


def journal(folder: Path) -> str:
    return (folder / "journal.jsonl").read_text(encoding="utf-8")


def is_calibrated(folder: Path) -> RunConfig:
    found = own_calibration(folder)
    assert found is not None and found.about.serial == OURS
    assert json.loads((folder / ACTIVITY_NAME).read_text())["scanner"] == "bench2"
    assert verify(folder).identical
    return run_config(folder)


def test_a_source_that_names_its_serial_number_is_calibrated(acquisition, source):
    daq = acquisition()
    modules = source(daq, serial=OURS)
    armed = daq.control.call("arm")
    daq.control.call("start")
    folder = measure(daq, modules)
    assert folder == Path(armed["run"])
    assert is_calibrated(folder).serial == OURS
    assert f"calibration: {OURS}@" in journal(folder)


def test_a_source_that_names_none_stays_uncalibrated_and_the_run_says_why(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    daq.control.call("arm")
    daq.control.call("start")
    folder = measure(daq, modules)
    assert own_calibration(folder) is None
    assert not (folder / ACTIVITY_NAME).exists()
    why = "this source names no serial number"
    assert why in run_config(folder).uncalibrated
    assert why in journal(folder)


def test_a_run_armed_before_its_source_came_is_armed_anew_for_it(acquisition, source):
    daq = acquisition()
    armed = daq.control.call("arm")
    assert own_calibration(Path(armed["run"])) is None
    picture = Path(armed["run"]) / "console.png"  # a console that was opened meanwhile
    picture.write_bytes(b"picture")
    place = picture.parent.stat().st_ino
    modules = source(daq, serial=OURS)
    daq.control.call("start")
    folder = measure(daq, modules)
    assert folder == Path(armed["run"])  # what a client was told stays true
    # never away, or a console that photographs at that moment makes it, and Start is refused
    assert folder.stat().st_ino == place
    assert picture.read_bytes() == b"picture"
    is_calibrated(folder)
    assert json.loads((folder / "summary.json").read_text())["condition"] == "good"


def test_no_calibration_is_applied_where_none_is_wanted(acquisition, source):
    daq = acquisition("--calibration", "none")
    modules = source(daq, serial=OURS)
    daq.control.call("arm")
    daq.control.call("start")
    folder = measure(daq, modules)
    assert own_calibration(folder) is None
    assert run_config(folder).serial == OURS
    assert run_config(folder).uncalibrated == "none was asked for"
