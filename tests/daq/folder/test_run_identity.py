"""A run's UIDs are drawn once and kept in its folder; equal names do not make equal studies."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daq.errors import LogError, RunError
from daq.folder.run_config import RunConfig, config_from_args
from daq.folder.run_identity import UIDS_NAME, RunIdentity, draw_uids, is_uid
from daq.service.run import Run

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def run_folder(tmp_path: Path, make_config: MakeConfig) -> Path:
    run = Run(make_config(name="test-1"), tmp_path / "here")
    run.finish()
    return run.folder


def test_uids_are_drawn_when_armed_and_two_runs_of_one_name_differ(
    run_folder: Path, tmp_path: Path, make_config: MakeConfig
) -> None:
    assert (run_folder / UIDS_NAME).exists()
    there = Run(make_config(name="test-1"), tmp_path / "there")
    there.finish()
    one, other = RunIdentity.of(run_folder), RunIdentity.of(there.folder)
    assert is_uid(one.study_uid) and is_uid(one.frame_of_reference_uid)
    drawn = {one.study_uid, one.frame_of_reference_uid}
    assert len(drawn | {other.study_uid, other.frame_of_reference_uid}) == 4
    assert RunIdentity.of(run_folder) == one
    shutil.copytree(run_folder, tmp_path / "copy")
    assert RunIdentity.of(tmp_path / "copy") == one


def test_an_older_run_gets_its_uids_at_first_need_and_keeps_them(run_folder: Path) -> None:
    first = RunIdentity.of(run_folder)
    (run_folder / UIDS_NAME).unlink()
    drawn = RunIdentity.of(run_folder)
    assert drawn.study_uid != first.study_uid
    draw_uids(run_folder)
    assert RunIdentity.of(run_folder) == drawn
    assert not list(run_folder.glob(".part-*"))


@pytest.mark.parametrize("text, words", [
    ("{", "new ones are drawn"), ("[]", "new ones are drawn"), ('{"study": "1.2"}', "sound copy"),
    ('{"study": "1.02", "frame_of_reference": "1.2"}', "no UID"),
])  # fmt: skip
def test_uids_that_are_none_are_refused_in_words(run_folder: Path, text: str, words: str) -> None:
    (run_folder / UIDS_NAME).write_text(text)
    with pytest.raises(LogError, match=words):
        RunIdentity.of(run_folder)


def test_a_run_that_cannot_be_written_to_has_uids_of_its_own_all_the_same(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_folder / UIDS_NAME).unlink()

    def refused(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "link", refused)
    once, again = RunIdentity.of(run_folder), RunIdentity.of(run_folder)
    assert (
        once == again and is_uid(once.study_uid) and once.study_uid != once.frame_of_reference_uid
    )
    assert {path.name for path in run_folder.iterdir()}.isdisjoint({UIDS_NAME})


@pytest.mark.parametrize("text, is_one", [
    ("2.25.123", True), ("1.2.840.10008.1.2", True), ("0.1", True), ("1", False), ("", False),
    ("1.02", False), ("1..2", False), ("1.2a", False), ("1." + "2" * 63, False),
])  # fmt: skip
def test_what_is_a_uid(text: str, is_one: bool) -> None:
    assert is_uid(text) is is_one


def test_the_patients_position_is_a_setting_of_the_run(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    assert make_config().patient_position == "unknown"
    config = config_from_args({"patient_position": "FFP"}, make_config(name="prone"))
    run = Run(config, tmp_path)
    run.finish()
    assert RunIdentity.of(run.folder).patient_position == "FFP"
    head = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert head["config"]["patient_position"] == "FFP"
    with pytest.raises(RunError, match="patient_position"):
        config_from_args({"patient_position": "upside down"}, make_config())
