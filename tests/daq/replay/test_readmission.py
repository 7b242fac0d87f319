"""Refused frames that were right are sorted after all, when they are asked for; others never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daq.cli import main
from daq.folder.listmode_log import ListmodeReader
from daq.replay.readmission import Readmission
from daq.replay.sort_again import resort, verify
from daq.service.run import Run
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

LEAPT = 10**6


@pytest.fixture
def folder(tmp_path: Path, make_config: Any) -> Path:
    """Two modules in coincidence that are away together for 0.9 s; one leaps before."""
    run = Run(make_config(name="ours", run_tag=RUN_TAG), tmp_path / "runs")
    senders = [ModuleSender(m) for m in range(2)]
    for period in range(40):
        if period == 20:
            for sender in senders:
                sender.restart()
                sender.frame_id += 170  # more than is harmless, and less than others are waited for
        run.process([sender.frame(single_words([7 + k for k in range(5)])) for sender in senders])
        if period == 10:
            run.process([senders[0].frame(single_words([1]), frame_id=LEAPT)])
            senders[0].frame_id -= LEAPT - 10
            senders[0].frame_id = 11
            senders[1].frame_id = 11
    run.finish()
    run.write_summary()
    return run.folder


def test_frames_that_were_right_are_readmitted_and_no_others(folder: Path) -> None:
    refused = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["refused_kept"]
    readmission = Readmission(folder)
    assert readmission.count.total() == refused - 1 > 0  # all but the one that leapt
    plain, more = resort(folder), resort(folder, readmission=readmission)
    assert more.counts.prompts > plain.counts.prompts
    assert more.frames["received"] == plain.frames["received"] + readmission.count.total()
    assert verify(folder).identical  # the run itself is as it was


def test_the_command_writes_a_new_list_and_says_what_changed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    output = folder.parent / "new.tmlm"
    assert main(["sort", str(folder), "--readmit", "--output", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["prompts"] > said["prompts_without_them"]
    assert sum(said["readmitted"].values()) == Readmission(folder).count.total()
    assert ListmodeReader(output).head["readmitted"] == said["readmitted"]
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert main(["sort", str(folder), "--readmit"]) == 0
    assert "frames readmitted (" in capsys.readouterr().out


def test_a_run_without_refused_frames_is_not_changed(
    tmp_path: Path, make_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(make_config(name="good", run_tag=RUN_TAG), tmp_path / "runs")
    senders = [ModuleSender(m) for m in range(2)]
    run.process([sender.frame(single_words([7])) for _ in range(9) for sender in senders])
    run.finish()
    assert main(["sort", str(run.folder), "--readmit"]) == 0
    assert "nothing is changed" in capsys.readouterr().out
