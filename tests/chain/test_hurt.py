"""The acquisition is hurt: killed, silenced, out of disk. What was acknowledged stays."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from daq.client.client import ClientError, DisplayClient
from daq.folder.raw_log import RawLogReader
from daq.replay.sort_again import verify
from hw.messages.source import Resume, Shutdown
from rigs.acquisition_process import wait_until
from rigs.host_pace import in_time

pytestmark = pytest.mark.processes


def received_frames(daq, count: int) -> None:
    """Wait until the daq shows that it has received so many frames: they are acknowledged."""
    display = DisplayClient(daq.endpoints)
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            telemetry = display.telemetry(timeout_s=0.2)
            if telemetry and telemetry.counters.get("frames.received", 0) >= count:
                return
    finally:
        display.close()
    raise AssertionError(f"{count} frames were not received")


def frames_in(folder: Path) -> int:
    return sum(len(frames) for frames in RawLogReader(folder / "raw.tmraw"))


def test_killing_the_daq_loses_nothing_that_was_acknowledged(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(50)
    received_frames(daq, 100)
    daq.process.kill()
    daq.process.wait(5)
    assert frames_in(folder) == 100
    found = verify(folder)
    assert found.identical
    assert not found.complete


def test_the_next_daq_recovers_what_a_killed_one_left(acquisition, source, tmp_path):
    runs = str(tmp_path / "runs")
    daq = acquisition("--runs", runs)
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(50)
    received_frames(daq, 100)
    daq.process.kill()
    daq.process.wait(5)
    assert not (folder / "summary.json").exists()
    again = acquisition("--runs", runs)
    wait_until(lambda: f"recovering: {folder.name}" in again.journal_tail(), "the start of it")
    wait_until(lambda: f"recovered: {folder.name}" in again.journal_tail(), "it", timeout_s=60)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["frames"]["received"] == 100
    assert summary["condition"] == "incomplete"
    assert verify(folder).complete
    assert "recovered" in (folder / "journal.jsonl").read_text(encoding="utf-8")


def test_sigterm_in_mid_run_closes_the_run_within_three_seconds(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(5)
    received_frames(daq, 10)
    began = time.monotonic()
    daq.process.send_signal(signal.SIGTERM)
    modules.obey_stop()
    assert daq.process.wait(30) == 0
    assert in_time(time.monotonic() - began, 3.0)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["condition"] == "good"
    assert summary["conserved"] is True


def test_an_armed_run_that_is_told_to_leave_keeps_a_whole_folder_that_says_so(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = Path(daq.control.call("arm")["run"])
    began = time.monotonic()
    daq.process.send_signal(signal.SIGTERM)
    assert daq.process.wait(30) == 0
    assert in_time(time.monotonic() - began, 1.0)
    modules.wait_for(Shutdown)
    assert [path for path in daq.runs.iterdir() if path.is_dir()] == [folder]
    logs, tables = {"raw.tmraw", "listmode.tmlm", "journal.jsonl"}, {"randoms.npz"}
    described = {"run.json", "uids.json", "scanner.toml", "summary.json"}
    assert {path.name for path in folder.iterdir()} == logs | tables | described
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["condition"] == "incomplete"
    assert summary["conditions"] == ["incomplete: never started (the daq was told to leave)"]
    assert summary["frames"]["received"] == summary["prompts"] == 0
    found = verify(folder)
    assert (found.identical, found.complete) == (True, True)
    assert "was never started" in (folder / "journal.jsonl").read_text(encoding="utf-8")


def test_a_source_that_vanishes_leaves_an_incomplete_run_that_can_be_verified(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    received_frames(daq, 40)
    modules.close()
    daq.control.call("stop", timeout_s=20)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["condition"] == "incomplete"
    assert summary["conserved"] is False
    assert any("last frames never came" in words for words in summary["conditions"])
    assert frames_in(folder) == 40
    assert verify(folder).identical
    daq.end()
    said = daq.log.read_text(encoding="utf-8")
    assert "incomplete, the books do NOT close" in said
    assert all(f"  ! {cause}" in said for cause in summary["conditions"])


def test_a_source_that_falls_silent_and_comes_back_with_all_its_frames_leaves_a_good_run(
    acquisition, source
):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    hello = msgspec.structs.replace(modules.link.hello, keeps=True, run_tag=modules.run_tag)
    modules.link.introduce(hello)
    modules.send_periods(5)
    wait_until(lambda: "alarm: source lost" in daq.journal_tail(), "the loss")
    modules.send_periods(5)
    modules.link.poll()  # which says that it lives
    wait_until(lambda: "source back" in daq.journal_tail(), "its return")
    orders = modules.link.poll(0.5)
    assert not [order for order in orders if isinstance(order, Resume)], "it would all come twice"
    modules.finish()
    daq.wait_for_state("closed")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["condition"], summary["conditions"]) == ("good", [])
    assert (summary["frames"]["received"], summary["conserved"]) == (22, True)


def test_a_stranger_that_came_in_mid_run_and_went_again_takes_nothing_from_the_run(
    acquisition, source
):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    stranger = source(daq)
    wait_until(lambda: len(daq.control.call("status")["sources"]) == 2, "both sources")
    stranger.close()

    def alone() -> bool:
        modules.link.poll()  # which says that it lives
        return len(daq.control.call("status")["sources"]) == 1

    wait_until(alone, "the loss")
    modules.send_periods(5)
    modules.finish()
    daq.wait_for_state("closed")
    summary = json.loads((folder / "summary.json").read_text())
    journal = (folder / "journal.jsonl").read_text()
    assert "the run began without it, so it takes part from the next one on" in journal
    assert "source lost" in journal
    assert (summary["condition"], summary["conserved"]) == ("good", True)


def test_a_full_disk_latches_an_error_and_keeps_what_was_written(acquisition, source):
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    daq = acquisition(preexec=limit_files)
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(30, events=60)
    received_frames(daq, 60)
    for _ in range(40):
        modules.send_periods(5, events=60)
        if daq.state() == "error":
            break
    daq.wait_for_state("error")
    kept = frames_in(folder)
    assert kept > 50
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["condition"] == "incomplete"
    assert any("cannot write to" in words for words in summary["conditions"])
    assert summary["frames"]["received"] >= kept
    assert verify(folder).identical
    daq.control.call("reset")
    assert daq.state() == "idle"


def test_too_little_disk_space_is_refused_before_the_run(acquisition):
    daq = acquisition("--min-free-MB", "1e9")
    with pytest.raises(ClientError, match="MiB free"):
        daq.control.call("arm")
    assert daq.state() == "idle"


def test_a_second_daq_at_the_same_address_is_refused_and_the_first_lives_on(acquisition):
    daq = acquisition()
    argv = [sys.executable, "-m", "daq.cli", "acquire", "--endpoint", daq.endpoints.base]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"pid {daq.process.pid}" in second.stderr
    assert daq.answers()


def test_a_taken_tcp_port_is_told_with_the_remedy(tmp_path):
    import zmq

    blocker = zmq.Context.instance().socket(zmq.PULL)
    port = blocker.bind_to_random_port("tcp://127.0.0.1", min_port=20000, max_port=60000)
    argv = [sys.executable, "-m", "daq.cli", "acquire", "--endpoint", f"tcp://127.0.0.1:{port}"]
    argv += ["--runs", str(tmp_path)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    finally:
        blocker.close(linger=0)
    assert done.returncode == 1
    assert "Another daq may own it" in done.stderr
    assert "--endpoint" in done.stderr


def test_garbage_on_every_plane_harms_nothing(acquisition, source):
    import zmq

    daq = acquisition()
    for plane, kind in (("control", zmq.DEALER), ("source", zmq.DEALER), ("reports", zmq.PUSH)):
        socket = zmq.Context.instance().socket(kind)
        socket.connect(daq.endpoints.of(plane))
        for garbage in (b"", b"\xff" * 100, b"\x81\xa1a\x01"):
            socket.send(garbage)
        socket.close(linger=500)
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.finish()
    daq.wait_for_state("closed")
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["conserved"] is True
