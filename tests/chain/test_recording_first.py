"""Nothing behind the raw log ends the recording: not a full disk, an error, or slow sorting."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daq.errors import StorageError
from daq.replay.run_recovery import needs_recovery, open_runs, recover
from daq.replay.sort_again import verify
from daq.service import load
from daq.service.run import Run
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread, frames_in

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def refuse(error: Exception) -> Callable[..., Any]:
    def refused(*_: object, **__: object) -> Any:
        raise error

    return refused


@pytest.mark.parametrize(
    ("part", "name", "error", "words"),
    [
        ("takers", "take", StorageError("cannot write to listmode.tmlm"), "listmode.tmlm"),
        ("pipeline", "sort", MemoryError(), "internal error in sorting, please report: MemoryErr"),
    ],
)
def test_an_error_in_sorting_ends_the_sorting_alone(
    daq: DaqInThread, source: Any, monkeypatch: pytest.MonkeyPatch,
    part: str, name: str, error: Exception, words: str,
) -> None:  # fmt: skip
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    daq.recorded(40)
    monkeypatch.setattr(getattr(daq.run, part), name, refuse(error))
    modules.send_periods(30)
    summary = daq.finish(modules, folder)
    assert daq.service.life.state == "closed"
    assert frames_in(folder) == summary["frames"]["received"] == 102
    assert summary["condition"] == "incomplete"
    assert words in summary["conditions"][0]
    assert daq.journal(folder).count("sorting ended") == 1
    daq.control.call("reset")
    assert needs_recovery(folder) == "not all of it is sorted"
    done = recover(folder)
    assert done.summary["condition"] == "good"
    assert done.summary["conserved"] is True
    assert done.added > 0
    assert verify(folder).identical


def test_a_run_that_a_broken_disk_ended_is_sorted_and_closed_by_recover(
    daq: DaqInThread, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    daq.recorded(40)
    broken = StorageError("cannot write to raw.tmraw: Input/output error")
    with monkeypatch.context() as patch:
        patch.setattr(daq.run._raw, "append", refuse(broken))
        modules.send_periods(1)
        wait_until((folder / "summary.json").exists, "the end")
    before = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert before["condition"] == "incomplete"
    assert needs_recovery(folder) == "not all of it is sorted"
    assert open_runs(folder.parent) == {}  # it was ended: no daq goes on with it
    summary = recover(folder).summary
    assert summary["condition"] == "incomplete"
    assert "Input/output error" in summary["conditions"][0]
    assert frames_in(folder) == summary["frames"]["received"] == 40
    found = verify(folder)
    assert (found.identical, found.complete) == (True, True)
    assert needs_recovery(folder) == ""


def test_a_disk_that_once_failed_to_sync_taints_the_run_and_does_not_keep_it_from_closing(
    daq: DaqInThread, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse(OSError(errno.EIO, "Input/output error")))
        modules.send_periods(20)
        wait_until(lambda: "not safe on the disk" in daq.journal(folder), "the alarm")
    modules.send_periods(30)
    summary = daq.finish(modules, folder)
    assert daq.service.life.state == "closed"
    assert summary["condition"] == "tainted"
    assert "the disk failed" in summary["conditions"]
    assert frames_in(folder) == summary["frames"]["received"] == 102
    assert verify(folder).complete
    told = [line for line in daq.journal(folder).splitlines() if "raw.tmraw is not safe" in line]
    assert len(told) == 1


def test_slow_sorting_loses_nothing_and_says_that_it_lags(
    daq: DaqInThread, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    monkeypatch.setattr(load, "FROM_BYTES", (10_000, 50_000, 200_000))
    daq.run.backlog._most_bytes = 200_000
    sort, released = daq.service.life.sort, threading.Event()
    monkeypatch.setattr(daq.service.life, "sort", lambda s: released.is_set() and sort(s))
    modules.send_periods(300, events=60)
    daq.recorded(600)
    wait_until(lambda: "sorting goes on from the disk" in daq.journal(folder), "the warning")
    released.set()
    wait_until(lambda: "displays are updated as usual again" in daq.journal(folder), "its end")
    summary = daq.finish(modules, folder)
    assert summary["condition"] == "good"
    assert [step["times"] for step in summary["load"].values()] == [1, 1, 1]
    assert list(summary["load"]) == ["display", "image", "sorting"]
    assert 0 < summary["undelivered_to_imager"] <= summary["prompts"]
    assert summary["conserved"] is True
    assert frames_in(folder) == 602
    assert verify(folder).identical


def test_data_that_still_flow_are_waited_for(
    daq: DaqInThread, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk at the end: 15 s after the stop, frames were thrown away while they came."""
    modules = source(daq)
    folder = daq.start_run(modules)
    clock_s = [0.0]
    clock, clock_ns = time.monotonic, time.monotonic_ns
    monkeypatch.setattr(time, "monotonic", lambda: clock() + clock_s[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock_ns() + int(clock_s[0] * 1e9))
    daq.control.send("stop")
    for period in range(60):
        modules.send_periods(1)
        daq.recorded(2 * period + 2)
        clock_s[0] += 0.5
    summary = daq.finish(modules, folder)
    assert summary["frames"]["received"] == 122
    assert summary["condition"] == "good"
    daq.close()  # before the clock goes back: it would wait until it is where it was


def test_a_slow_disk_is_told_as_such(
    daq: DaqInThread, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    clock_s = [0.0]
    clock, write = time.monotonic, os.writev
    monkeypatch.setattr(time, "monotonic", lambda: clock() + clock_s[0])

    def slow(number: int, parts: Any) -> int:
        clock_s[0] += 2.0
        return write(number, parts)

    monkeypatch.setattr(os, "writev", slow)
    modules.send_periods(3)
    daq.recorded(6)
    monkeypatch.setattr(os, "writev", write)
    summary = daq.finish(modules, folder)
    assert "the disk is slow: it took" in daq.journal(folder)
    assert summary["frames"]["lost"] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_a_full_disk_is_waited_for_and_nothing_is_lost(
    acquisition: Any, source: Any, small_disk: Path
) -> None:
    daq = acquisition("--runs", str(small_disk), "--min-free-MB", "0")
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(100, events=60)
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):  # another program fills the disk
            pass
    modules.send_periods(100, events=60)
    wait_until(lambda: "No space left" in daq.journal_tail(), "the alarm")
    assert daq.state() == "running"
    os.truncate(hog, 0)
    modules.send_periods(100, events=60)
    modules.finish()
    daq.wait_for_state("closed")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["frames"] == {**summary["frames"], "received": 602, "lost": 0}
    assert summary["conserved"] is True
    assert summary["conditions"] == ["the disk was full for a while"]
    assert frames_in(folder) == 602
    assert verify(folder).identical
    assert "the disk has room again" in daq.journal_tail()


def test_a_hang_in_sorting_shows_in_the_signs_of_life_and_loses_nothing(
    tmp_path, source, monkeypatch
) -> None:
    """The service manager ends a daq that is silent, and starts another (test_watchdog.py)."""
    hung, go_on = threading.Event(), threading.Event()
    sort_next = Run.sort_next

    def hang(run: Run):
        hung.set()
        assert go_on.wait(60)
        return sort_next(run)

    signs: list[float] = []
    with DaqInThread(tmp_path) as daq:
        monkeypatch.setattr(daq.service._manager, "alive", signs.append)
        modules = source(daq)
        folder = daq.start_run(modules)
        wait_until(lambda: len(signs) > 1, "signs of life")
        monkeypatch.setattr(Run, "sort_next", hang)
        try:
            modules.send_periods(3)
            assert hung.wait(20)
            before = len(signs)
            time.sleep(0.1)  # ten turns of a loop that goes round
            assert len(signs) == before
            recorded = frames_in(folder)
            assert recorded >= 1  # it was recorded before it was sorted
            left = tmp_path / "left" / folder.name
            shutil.copytree(folder, left)  # what a daq that is killed now leaves
        finally:
            go_on.set()
            monkeypatch.setattr(Run, "sort_next", sort_next)
        daq.finish(modules, folder)
    resumed = Run.resumed(left)
    try:
        assert int(resumed.next_sequences.sum()) == recorded
        while resumed.backlog:
            resumed.sort_next()
        assert int(resumed.pipeline.links["received"].sum()) == recorded
    finally:
        resumed.put_away()
