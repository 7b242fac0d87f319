"""Commands on a run with damaged logs do what can be done, say what is lost, and end with 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daq.cli import main
from daq.folder import listmode_log, raw_log
from daq.folder.blocks import BlockReader
from daq.folder.listmode_log import ListmodeReader
from daq.folder.raw_log import RawLogReader
from daq.path.frame_check import FrameChecker
from daq.replay.raw_log_source import _report
from daq.replay.run_recovery import KEPT, recover
from daq.replay.sort_again import resort, verify
from daq.service.run import Run
from hw.wire.block_layout import BlockKind
from rigs.frames_factory import sent_run

FRAMES = sent_run(n_modules=2, crystals_per_module=64, periods=40)
BATCH = 4


@pytest.fixture
def run(tmp_path: Path, make_config: Any) -> Run:
    run = Run(make_config(name="ours", run_tag=FRAMES.report.run_tag), tmp_path / "runs")
    for k in range(0, len(FRAMES.frames), BATCH):
        run.process(FRAMES.frames[k : k + BATCH])
    run.reports.append(FRAMES.report)
    return run


@pytest.fixture
def closed(run: Run) -> Path:
    run.finish()
    run.write_summary()
    return run.folder


def flip(path: Path, block: int) -> None:
    """Flip a bit in the payload of a data block."""
    place = list(BlockReader(path).places())[block]
    content = bytearray(path.read_bytes())
    content[place.position + 32 + place.length // 2] ^= 1
    path.write_bytes(content)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_a_flipped_bit_in_the_raw_log_costs_one_batch_of_frames(closed: Path) -> None:
    whole = resort(closed)
    flip(closed / raw_log.FILE_NAME, 3)
    log = RawLogReader(closed / raw_log.FILE_NAME)
    assert sum(map(len, log)) == len(FRAMES.frames) - BATCH
    assert log.end is not None
    found = resort(closed)
    assert found.frames["received"] == whole.frames["received"] - BATCH
    assert found.frames["lost"] == BATCH  # the gap in the modules' numbers
    assert f"raw.tmraw is damaged at byte {log.damage.places[0][0]}" in found.trouble
    assert f"1 block with {BATCH} frames lost" in found.trouble


def test_sort_says_what_is_damaged(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sort", str(closed), "--threads", "1"]) == 0
    assert "note" not in capsys.readouterr().out
    flip(closed / raw_log.FILE_NAME, 3)
    assert main(["sort", str(closed), "--threads", "1"]) == 1
    assert "note: raw.tmraw is damaged at byte" in capsys.readouterr().out
    assert main(["sort", str(closed), "--threads", "2", "--json"]) == 1
    result = said(capsys)
    assert result["damage"]["items"] == BATCH
    assert len(result["notes"]) == 1


def test_sort_says_that_a_log_was_cut_off(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.abandon()
    path = run.folder / raw_log.FILE_NAME
    path.write_bytes(path.read_bytes()[:-7])
    assert main(["sort", str(run.folder), "--threads", "1"]) == 0
    assert "are no whole block: it was cut off" in capsys.readouterr().out


def test_verify_names_the_damaged_log(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(closed / listmode_log.FILE_NAME, 0)
    found = verify(closed)
    assert not found.identical
    assert "listmode.tmlm is damaged" in found.trouble
    flip(closed / raw_log.FILE_NAME, 2)
    assert main(["replay", str(closed), "--verify"]) == 1
    told = capsys.readouterr().out
    assert "raw.tmraw is damaged" in told
    assert "listmode.tmlm is damaged" in told


def test_a_damaged_log_that_is_replayed_makes_the_new_run_incomplete(closed: Path) -> None:
    flip(closed / raw_log.FILE_NAME, 3)
    log = RawLogReader(closed / raw_log.FILE_NAME)
    frames = [frame for batch in log for frame in batch]
    checker = FrameChecker(n_modules=2, run_tag=FRAMES.report.run_tag)
    checker.check(frames)
    assert _report(checker, FRAMES.report.run_tag, log.trouble).failed == log.trouble != ""


def test_export_says_what_is_damaged(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = ListmodeReader(closed / listmode_log.FILE_NAME).read_all(BlockKind.PROMPTS)
    flip(closed / listmode_log.FILE_NAME, 0)
    output = closed.parent.parent / "out.petsird"
    asked = ["export", str(closed), "--format", "petsird", "--output", str(output), "--json"]
    assert main(asked) == 1
    result = said(capsys)
    assert result["damaged"] is True
    assert 0 < result["prompts"] < len(whole)
    assert "listmode.tmlm is damaged at byte" in result["notes"][0]


def test_a_recovered_run_says_what_is_damaged_and_loses_nothing_else(run: Run) -> None:
    """A bit that flips in a run that died must not cost what lies behind it."""
    run.abandon()
    path = run.folder / raw_log.FILE_NAME
    live = (run.folder / listmode_log.FILE_NAME).read_bytes()
    flip(path, 2)
    with path.open("ab") as file:
        file.write(b"torn")
    done = recover(run.folder)
    assert done.torn_bytes == 4
    assert "raw.tmraw is damaged" in done.words()
    assert any("raw.tmraw is damaged" in words for words in done.summary["conditions"])
    assert done.summary["condition"] == "incomplete"
    log = RawLogReader(path)
    assert sum(map(len, log)) == len(FRAMES.frames) - BATCH
    assert log.end is not None
    kept = run.folder / f"{KEPT}{listmode_log.FILE_NAME}"
    assert kept.read_bytes() == live  # which has the pairs of the lost frames
