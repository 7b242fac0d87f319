"""What a power cut leaves of a run: all that was told to be on the disk, and a run to recover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daq.folder.listing.manifest import verify as check_manifest
from daq.folder.run_folder import run_config
from daq.replay.run_recovery import needs_recovery, recover
from daq.replay.sort_again import verify
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread, frames_in
from rigs.forgetful_disk import ForgetfulDisk

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForgetfulDisk:
    return ForgetfulDisk(tmp_path, monkeypatch)


@pytest.fixture
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("left")


def journal_of(folder: Path) -> list[str]:
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def wait_for_the_journal(daq: DaqInThread) -> None:
    """Its entries are on the disk after half a second at most, which no answer promises."""
    journal = daq.service.life.journal.file
    assert journal is not None
    wait_until(lambda: journal.synced_bytes == journal.size, "the journal's sync")


def test_a_run_that_was_just_armed_is_there_with_its_configuration(
    disk: ForgetfulDisk, daq: DaqInThread, left: Path
) -> None:
    folder = Path(daq.control.call("arm")["run"])
    wait_for_the_journal(daq)
    disk.cut().write_to(left)
    copy = left / "runs" / folder.name
    assert run_config(copy) == run_config(folder)
    assert (copy / "uids.json").read_bytes() == (folder / "uids.json").read_bytes()
    assert (copy / "scanner.toml").read_bytes() == (folder / "scanner.toml").read_bytes()
    assert any("armed" in text for text in journal_of(copy))


@pytest.mark.parametrize("periods", [20, 200])
def test_in_mid_run_all_that_is_told_as_safe_is_there_and_recovers(
    disk: ForgetfulDisk, daq: DaqInThread, source: Any, left: Path, periods: int
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(periods)
    daq.recorded(2 * periods)
    wait_until(lambda: daq.run.disk.synced_bytes == daq.run.bytes_written, "the sync")
    wait_for_the_journal(daq)
    modules.send_periods(3)  # these are on no disk yet, or just so
    told_bytes = daq.run.disk.synced_bytes
    disk.cut().write_to(left)
    copy = left / "runs" / folder.name
    assert (copy / "raw.tmraw").stat().st_size >= told_bytes
    assert frames_in(copy) >= 2 * periods
    assert any("started" in text for text in journal_of(copy))
    assert needs_recovery(copy) == "it was never closed"
    done = recover(copy)
    assert done.summary["frames"]["received"] == frames_in(copy)
    assert verify(copy).identical
    daq.finish(modules, folder)


def test_a_run_whose_stop_was_answered_is_there_complete(
    disk: ForgetfulDisk, daq: DaqInThread, source: Any, left: Path
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(50)
    daq.recorded(100)
    number = daq.control.send("stop")
    modules.finish()
    replies: list[Any] = []

    def is_done() -> bool:
        replies.extend(daq.control.poll(0.01))
        return any(reply.id == number and reply.status == "done" for reply in replies)

    wait_until(is_done, "the answer")
    disk.cut().write_to(left)
    copy = left / "runs" / folder.name
    expected = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert json.loads((copy / "summary.json").read_text(encoding="utf-8")) == expected
    for name in ("run.json", "raw.tmraw", "listmode.tmlm", "scanner.toml", "randoms.npz"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name
    assert any("closed" in text for text in journal_of(copy))
    assert needs_recovery(copy) == ""
    assert verify(copy).identical


def test_the_manifest_is_there_a_moment_later(
    disk: ForgetfulDisk, daq: DaqInThread, source: Any, left: Path
) -> None:
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(10)
    daq.recorded(20)
    daq.finish(modules, folder)
    wait_until((folder / "manifest.json").exists, "the manifest")
    daq.service.life.manifests.end()
    disk.cut().write_to(left)
    found = check_manifest(left / "runs" / folder.name)
    assert found.known and not found.wrong
