"""A run that died is repaired: to the bits, counts and tables that it would have had."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from daq.errors import LogError, RunError
from daq.folder import listmode_log, raw_log
from daq.folder.blocks import BlockWriter
from daq.folder.listmode_log import ListmodeReader
from daq.folder.raw_log import RawLogReader
from daq.path.run_summary import UNSORTED
from daq.replay import run_recovery
from daq.replay.run_recovery import CUT_OFF, needs_recovery, recover, unfinished
from daq.replay.sort_again import sort_log, verify
from daq.service.run import Run
from rigs.frames_factory import sent_run

FRAMES = sent_run(n_modules=2, crystals_per_module=64, periods=40)
SAME = ("prompts", "delayeds", "frames", "singles", "randoms", "live_time", "hash", "modules")


def new_run(runs: Path, make_config: Any, name: str) -> Run:
    return Run(make_config(name=name, run_tag=FRAMES.report.run_tag), runs)


def whole(runs: Path, make_config: Any) -> dict[str, Any]:
    """Return the summary of a run of these frames that ended well, without a report."""
    run = new_run(runs, make_config, "whole")
    for k in range(0, len(FRAMES.frames), 7):
        run.process(FRAMES.frames[k : k + 7])
    run.finish()
    return run.write_summary()


def died(runs: Path, make_config: Any, *, sort: bool = True, without: int = -1) -> Path:
    """Return the folder of a run whose process died after the last frame.

    without : the frame that never came
    """
    run = new_run(runs, make_config, "died")
    frames = [frame for k, frame in enumerate(FRAMES.frames) if k != without]
    for k in range(0, len(frames), 7):
        run.record(frames[k : k + 7])
        if sort and k < 50:
            run.sort_next()
    run.abandon()  # what the system does with a dead process's files
    return run.folder


def test_two_recoveries_at_once_do_not_spoil_each_other(
    tmp_path: Path, make_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one is told to wait, and what the first one makes is left alone."""
    folder = died(tmp_path, make_config)
    inner: list[RunError] = []

    def sort_and_meet(*args: Any, **options: Any) -> Any:
        with pytest.raises(RunError) as met:
            recover(folder)
        inner.append(met.value)
        return sort_log(*args, **options)

    monkeypatch.setattr(run_recovery, "sort_log", sort_and_meet)
    recover(folder)
    assert "is being recovered by another process" in str(inner[0])
    assert verify(folder).complete
    assert unfinished(tmp_path) == []


def test_a_run_that_died_is_what_it_would_have_been(tmp_path: Path, make_config: Any) -> None:
    expected, folder = whole(tmp_path, make_config), died(tmp_path, make_config)
    assert needs_recovery(folder) == "it was never closed"
    assert unfinished(tmp_path) == [folder]
    done = recover(folder)
    assert done.torn_bytes == 0
    assert done.added > 0
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert {key: summary[key] for key in SAME} == {key: expected[key] for key in SAME}
    assert summary["conditions"] == [CUT_OFF]
    assert summary["condition"] == "incomplete"
    assert ListmodeReader(folder / listmode_log.FILE_NAME).digest()[0] == expected["hash"]
    assert verify(folder).identical
    assert verify(folder).complete
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*(p.name for p in (tmp_path / "whole").iterdir()), "journal.jsonl", "manifest.json"]
    )
    journal = (folder / "journal.jsonl").read_text(encoding="utf-8")
    assert "the run was never closed: its record ends at" in journal
    assert "recovered: " in journal
    assert unfinished(tmp_path) == []
    with pytest.raises(RunError, match="nothing to recover"):
        recover(folder)


def test_frames_that_were_lost_in_the_last_second_are_told(
    tmp_path: Path, make_config: Any
) -> None:
    """The daq looks once a second: what was lost after its last look, nobody had said."""
    folder = died(tmp_path, make_config, without=5)
    done = recover(folder)
    assert done.summary["frames"]["lost"] == 1
    assert "1 data frames lost in the whole run" in (folder / "journal.jsonl").read_text()


@pytest.mark.parametrize("cut", [1, 40, 4000])
def test_a_torn_tail_is_cut_off_and_all_before_it_kept(
    tmp_path: Path, make_config: Any, cut: int
) -> None:
    folder = died(tmp_path, make_config)
    path = folder / raw_log.FILE_NAME
    frames = sum(map(len, RawLogReader(path)))
    os.truncate(path, path.stat().st_size - cut)
    done = recover(folder)
    assert done.torn_bytes > 0
    reader = RawLogReader(path)
    kept = sum(map(len, reader))
    assert frames - 14 <= kept < frames
    assert (reader.torn_bytes, reader.end is not None) == (0, True)
    assert done.summary["frames"]["received"] == kept
    assert verify(folder).identical


def test_zeros_at_the_end_as_after_a_power_cut_are_no_data(
    tmp_path: Path, make_config: Any
) -> None:
    folder = died(tmp_path, make_config)
    with (folder / raw_log.FILE_NAME).open("r+b") as file:
        file.seek(-3000, os.SEEK_END)
        file.write(bytes(9000))
    assert recover(folder).torn_bytes > 3000
    assert verify(folder).identical


def test_a_run_that_was_recorded_and_not_sorted_is_sorted(tmp_path: Path, make_config: Any) -> None:
    expected = whole(tmp_path, make_config)
    run = new_run(tmp_path, make_config, "unsorted")
    run.record(FRAMES.frames[:20])
    run.sort_next()
    run.leave_unsorted("the list-mode log cannot be written")
    run.record(FRAMES.frames[20:])
    assert run.finish() is None
    before = run.write_summary()
    assert before["condition"] == "incomplete"
    assert before["conditions"][0].startswith(UNSORTED)
    assert needs_recovery(run.folder) == "not all of it is sorted"
    summary = recover(run.folder).summary
    assert {key: summary[key] for key in SAME} == {key: expected[key] for key in SAME}
    assert summary["condition"] == "good"


def test_a_recovery_that_was_killed_can_be_repeated(tmp_path: Path, make_config: Any) -> None:
    expected, folder = whole(tmp_path, make_config), died(tmp_path, make_config)
    left = folder / ".recover-1"
    left.mkdir()
    shutil.copyfile(folder / listmode_log.FILE_NAME, left / listmode_log.FILE_NAME)
    recover(folder)
    (folder / "summary.json").unlink()  # killed after the logs were replaced
    summary = recover(folder).summary
    assert summary["hash"] == expected["hash"]
    assert summary["conditions"] == [CUT_OFF]
    assert not left.exists()


def test_a_run_that_is_being_recorded_is_left_alone(tmp_path: Path, make_config: Any) -> None:
    run = new_run(tmp_path, make_config, "open")
    run.process(FRAMES.frames[:20])
    assert unfinished(tmp_path) == []
    with pytest.raises(RunError, match="is being recorded"):
        recover(run.folder)
    run.abandon()
    assert unfinished(tmp_path) == [run.folder]


def test_a_log_that_was_closed_is_not_opened_again(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "log", {})
    writer.close({})
    with pytest.raises(LogError, match="closed properly"):
        BlockWriter.reopened(tmp_path / "log")
