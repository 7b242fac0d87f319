"""Logs, or a whole run folder, that somebody deletes in mid-run: brought back, and told."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from daq.folder.raw_log import RawLogReader
from daq.replay.run_recovery import recover
from daq.replay.sort_again import verify
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread, frames_in

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


@pytest.mark.parametrize("name", ["raw.tmraw", "listmode.tmlm", "journal.jsonl"])
def test_a_log_that_is_deleted_in_mid_run_is_brought_back_whole(
    daq: DaqInThread, source: Any, name: str
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    daq.recorded(40)
    (folder / name).unlink()
    wait_until((folder / name).exists, "the log")
    modules.send_periods(30)
    summary = daq.finish(modules, folder)
    assert frames_in(folder) == summary["frames"]["received"] == 102
    assert summary["conditions"] == ["somebody deleted, moved or cut its logs in mid-run"]
    journal = daq.journal(folder)
    assert f"{name} was deleted in mid-run" in journal
    assert "brought back, whole" in journal
    assert "started, source" in journal  # what was written before is there, too
    assert verify(folder).identical


def test_a_folder_that_is_deleted_in_mid_run_is_made_again(daq: DaqInThread, source: Any) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    daq.recorded(40)
    before = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    wait_until((folder / "journal.jsonl").exists, "the last of the logs")
    modules.send_periods(30)
    summary = daq.finish(modules, folder)
    assert frames_in(folder) == summary["frames"]["received"] == 102
    assert before <= {path.name for path in folder.iterdir()}
    assert summary["condition"] == "tainted"
    assert "deleted or changed in mid-run, and made again:" in daq.journal(folder)
    assert verify(folder).identical


def test_a_list_mode_log_that_is_cut_is_made_again_by_recover(
    daq: DaqInThread, source: Any
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    daq.recorded(40)
    (folder / "listmode.tmlm").write_bytes(b"")
    wait_until(lambda: "was cut in mid-run" in daq.journal(folder), "the alarm")
    modules.send_periods(30)
    summary = daq.finish(modules, folder)
    assert summary["condition"] == "incomplete"
    assert "`tomoshibi recover` sorts it" in str(summary["conditions"])
    recovered = recover(folder).summary
    assert recovered["conditions"] == ["somebody deleted, moved or cut its logs in mid-run"]
    assert recovered["frames"]["received"] == 102
    assert verify(folder).identical


def test_a_log_that_is_replaced_goes_on_beside_the_other_file(
    daq: DaqInThread, source: Any
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    daq.recorded(40)
    (folder / "other").write_bytes(b"of somebody else")
    (folder / "other").replace(folder / "raw.tmraw")
    rescued = folder / "rescued-raw.tmraw"
    wait_until(rescued.exists, "the log")
    modules.send_periods(30)
    summary = daq.finish(modules, folder)
    assert (folder / "raw.tmraw").read_bytes() == b"of somebody else"
    assert sum(len(frames) for frames in RawLogReader(rescued)) == summary["frames"]["received"]
    assert "was replaced by another file" in daq.journal(folder)
    assert summary["condition"] == "tainted"


def test_a_configuration_that_is_deleted_alone_is_made_again(daq: DaqInThread, source: Any) -> None:
    """Without it `tomoshibi runs` no longer lists the run."""
    modules = source(daq)
    folder = daq.start_run(modules)
    config, uids = (folder / "run.json").read_bytes(), (folder / "uids.json").read_bytes()
    (folder / "run.json").unlink()
    wait_until((folder / "run.json").exists, "the configuration")
    modules.send_periods(10)
    summary = daq.finish(modules, folder)
    assert (folder / "run.json").read_bytes() == config
    assert (folder / "uids.json").read_bytes() == uids
    assert "deleted or changed in mid-run, and made again: run.json" in daq.journal(folder)
    assert summary["conditions"] == ["somebody deleted, moved or cut its logs in mid-run"]


@pytest.mark.parametrize("name", ["scanner.toml", "run.json"])
def test_a_file_that_is_changed_in_mid_run_is_as_it_was(
    daq: DaqInThread, source: Any, name: str
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(before[:-20] + bytes(20))
    wait_until(lambda: (folder / name).read_bytes() == before, "the file as it was")
    modules.send_periods(10)
    summary = daq.finish(modules, folder)
    assert f"deleted or changed in mid-run, and made again: {name}" in daq.journal(folder)
    assert summary["condition"] == "tainted"
