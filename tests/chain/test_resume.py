"""A daq that is killed in a run comes back into it: nothing that the source kept is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daq.client.client import DisplayClient
from daq.folder.raw_log import RawLogReader
from daq.replay.sort_again import verify
from daq.service.service import RESUME_S
from hw.wire.protocol import HEADER_DTYPE
from rigs.acquisition_process import Acquisition, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start emulator processes; all are ended at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(daq: Acquisition, *options: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "daq.cli", "emulate", "--preset", "bench2"]
        argv += ["--phantom", "point", "--activity-MBq", "0.3"]
        argv += ["--endpoint", daq.endpoints.base, *options]
        with (tmp_path / f"emulator{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(argv, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(20)


def begun(daq: Acquisition) -> Path:
    """Start a run as soon as the source is there; return its folder."""
    wait_until(lambda: bool(daq.control.call("status")["sources"]), "the source", timeout_s=60)
    folder = Path(daq.control.call("arm")["run"])
    daq.control.call("start")
    return folder


def recorded_s(folder: Path) -> float:
    """Return how far the raw log goes."""
    blocks = list(RawLogReader(folder / "raw.tmraw"))
    if not blocks:
        return 0.0
    last = blocks[-1]
    return float(np.frombuffer(last[-1], HEADER_DTYPE, 1)["frame_id"][0]) * 5.24288e-3


def wait_for_data(folder: Path, until_s: float) -> None:
    """Wait until so much detector time is recorded."""
    wait_until(lambda: recorded_s(folder) > until_s, f"{until_s} s of data")


def silent(daq: Acquisition) -> dict[str, float]:
    """Return what the daq tells displays that it should hear and does not, with for how long."""
    display = DisplayClient(daq.endpoints)
    try:
        telemetry = display.telemetry(timeout_s=5.0)
    finally:
        display.close()
    assert telemetry is not None, "no telemetry came"
    return telemetry.silent


def first_silence(daq: Acquisition, names: set[str]) -> dict[str, float]:
    """Wait until the daq tells that all of them are silent; return for how long."""
    found: dict[str, float] = {}

    def told() -> bool:
        for name, seconds in silent(daq).items():
            found.setdefault(name, seconds)
        return names <= set(found)

    wait_until(told, f"{names} silent")
    return {name: found[name] for name in names}


def numbers_of(folder: Path) -> dict[int, list[int]]:
    """Return the numbers of each module's frames, in the order in which they were recorded."""
    found: dict[int, list[int]] = {0: [], 1: []}
    for frames in RawLogReader(folder / "raw.tmraw"):
        for frame in frames:
            header = np.frombuffer(frame, HEADER_DTYPE, 1)[0]
            found[int(header["module"])].append(int(header["sequence"]))
    return found


def spoil(journal: Path) -> None:
    """Flip a bit of the first entry's text, as a disk may: it is no UTF-8 then."""
    data = bytearray(journal.read_bytes())
    data[data.index(b'"text":"') + 9] ^= 0x80
    journal.write_bytes(data)


def ready_to_recording_s(daq: Acquisition, folder: Path) -> float:
    """Return how long after it was ready a daq went on with the run, by its journal's clock."""
    display = DisplayClient(daq.endpoints)
    try:
        telemetry = display.telemetry(timeout_s=20.0)
    finally:
        display.close()
    assert telemetry is not None, "no telemetry came"
    walls = {entry.text.split(" after")[0]: entry.wall for entry in telemetry.journal}
    ready = next(wall for text, wall in walls.items() if text.startswith("daq ready"))
    resumed = datetime.fromisoformat(walls[f"resumed {folder.name}"])
    return (resumed - datetime.fromisoformat(ready)).total_seconds()


@pytest.mark.parametrize(("kills", "damaged"), [(1, True), (3, False)])
def test_a_killed_daq_comes_back_into_its_run_and_nothing_is_lost(
    tmp_path: Path, emulator: Any, kills: int, damaged: bool
) -> None:
    daq = Acquisition(tmp_path)
    try:
        emulator(daq)
        folder = begun(daq)
        for _ in range(kills):
            wait_for_data(folder, 0.3)
            before_s = recorded_s(folder)
            daq.process.kill()
            daq.process.wait(5)
            daq.control.close()
            if damaged:
                spoil(folder / "journal.jsonl")
            daq = Acquisition(tmp_path)
            daq.wait_for_state("running")
            wait_for_data(folder, before_s + 0.5)
            assert ready_to_recording_s(daq, folder) < RESUME_S
        daq.control.call("stop", timeout_s=40)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    finally:
        daq.end()
    assert [path for path in daq.runs.iterdir() if path.is_dir()] == [folder]
    assert summary["condition"] == "tainted"
    assert summary["conditions"] == ["the daq was restarted in the run"]
    assert [gap["why"] for gap in summary["interruptions"]] == ["the daq was restarted"] * kills
    assert all(gap["away_s"] > 0 for gap in summary["interruptions"])
    assert summary["conserved"] is True
    assert summary["frames"]["lost"] == 0
    assert summary["frames"]["sent"] == summary["frames"]["received"]
    for numbers in numbers_of(folder).values():
        assert numbers == list(range(len(numbers)))
    found = verify(folder)
    assert found.identical
    assert found.complete
    journal = (folder / "journal.jsonl").read_text(encoding="utf-8", errors="replace")
    assert journal.count(f"resumed {folder.name} after") == kills


def test_a_source_that_ended_while_the_daq_was_away_still_delivers_all(
    tmp_path: Path, emulator: Any
) -> None:
    daq = Acquisition(tmp_path, "--duration", "1.5")
    try:
        emulator(daq)
        folder = begun(daq)
        wait_for_data(folder, 0.3)
        daq.process.kill()
        daq.process.wait(5)
        daq.control.close()
        time.sleep(2.0)  # the source comes to its end: 96 frames wait in each queue, the rest not
        daq = Acquisition(tmp_path, "--duration", "1.5")
        wait_until(lambda: (folder / "summary.json").exists(), "the end", timeout_s=60)
        daq.wait_for_state("closed")
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    finally:
        daq.end()
    assert summary["conserved"] is True
    assert summary["frames"]["lost"] == 0
    assert summary["detector_time_s"] == pytest.approx(1.5, abs=0.01)
    assert verify(folder).identical


def test_a_run_that_nobody_sends_any_more_is_recovered_instead(
    tmp_path: Path, emulator: Any
) -> None:
    daq = Acquisition(tmp_path)
    try:
        source = emulator(daq)
        folder = begun(daq)
        wait_for_data(folder, 0.3)
        source.kill()
        daq.process.kill()
        daq.process.wait(5)
        daq.control.close()
        daq = Acquisition(tmp_path)
        recovered = f"recovered: {folder.name}"
        wait_until(lambda: recovered in daq.journal_tail(), recovered, timeout_s=60)
        assert daq.state() == "idle"
        assert recovered in daq.control.call("status")["reason"]
    finally:
        daq.end()
    assert verify(folder).complete


def in_run(daq: Acquisition, folder: Path) -> bool:
    """Whether an imager makes the images of this run."""
    return bool(daq.control.call("status")["imager_run"] == folder.name)


def test_a_live_imager_goes_on_with_what_it_had_when_the_daq_comes_back(
    tmp_path: Path, emulator: Any
) -> None:
    daq = Acquisition(tmp_path)
    argv = [sys.executable, "-m", "daq.cli", "imager", "--endpoint", daq.endpoints.base]
    imager = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        emulator(daq)
        folder = begun(daq)
        wait_until(lambda: in_run(daq, folder), "the imager in the run", timeout_s=60)
        wait_for_data(folder, 2.0)
        daq.process.kill()
        daq.process.wait(5)
        daq.control.close()
        daq = Acquisition(tmp_path)
        daq.wait_for_state("running")
        wait_until(lambda: in_run(daq, folder), "the imager back in the run", timeout_s=60)
        wait_for_data(folder, 4.0)
        daq.control.call("stop", timeout_s=80)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    finally:
        daq.end()
        imager.terminate()
        imager.wait(20)
    assert summary["images"]["prompts_used"] <= summary["prompts"]
    assert summary["images"]["fraction_used"] == pytest.approx(1.0, abs=0.02)
    assert summary["images"]["final"]


def test_an_imager_that_dies_in_mid_run_is_told(tmp_path: Path, emulator: Any) -> None:
    daq = Acquisition(tmp_path)
    argv = [sys.executable, "-m", "daq.cli", "imager", "--endpoint", daq.endpoints.base]
    imager = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        emulator(daq)
        begun(daq)
        wait_until(lambda: daq.control.call("status")["imager"], "the imager", timeout_s=60)
        assert "imager" not in silent(daq)
        imager.kill()
        assert first_silence(daq, {"imager"})["imager"] < 3.0
    finally:
        imager.kill()
        daq.end()


def test_a_source_that_is_restarted_comes_back_into_the_run_and_the_gap_is_told(
    tmp_path: Path, emulator: Any
) -> None:
    daq = Acquisition(tmp_path)
    try:
        source = emulator(daq)
        folder = begun(daq)
        wait_for_data(folder, 0.5)
        source.kill()
        source.wait(5)
        before = len(numbers_of(folder)[0])
        told = first_silence(daq, {"source emulator", "data"})
        assert max(told.values()) < 3.0  # told once 1.5 s old; the rest is this machine's load
        emulator(daq)
        wait_until(lambda: "source restarted" in daq.journal_tail(), "its return", timeout_s=60)
        wait_until(lambda: len(numbers_of(folder)[0]) > before + 100, "new data")
        daq.control.call("stop", timeout_s=40)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    finally:
        daq.end()
    gap_s = summary["detector_time_s"] - summary["frames"]["received"] / 2 * 5.24288e-3
    assert gap_s > 1.0
    for numbers in numbers_of(folder).values():
        begin = numbers.index(0, 1)
        assert numbers == [*range(begin), *range(len(numbers) - begin)]
    assert summary["condition"] == "incomplete"
    assert "a source was restarted" in str(summary["conditions"])
    assert summary["frames"]["module_resets"] == 2
    assert summary["prompts"] > 0
    assert verify(folder).identical
