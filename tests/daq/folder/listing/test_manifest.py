"""What was changed since a run was closed is found, and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daq.cli import main
from daq.folder.listing.manifest import FILE_NAME, sizes_wrong, verify
from rigs.runs.stored_run import store_run


@pytest.fixture
def folder(tmp_path: Path, make_config: Any) -> Path:
    return store_run(make_config(name="ours"), tmp_path / "runs")


def flip(path: Path, share: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def test_a_run_that_nobody_touched_is_whole(folder: Path) -> None:
    seen = []
    found = verify(folder, progress=lambda done, total: seen.append((done, total)))
    assert found.known and not found.wrong
    assert found.files >= 5
    assert seen[-1] == (found.bytes, found.bytes)
    (folder / "journal.jsonl").write_text("later\n", encoding="utf-8")
    (folder / "regions.json").write_text("{}", encoding="utf-8")
    assert not verify(folder).wrong
    assert sizes_wrong(folder) == []


@pytest.mark.parametrize("name", ["raw.tmraw", "listmode.tmlm", "run.json", "summary.json"])
def test_one_flipped_bit_is_found_and_a_log_says_where(folder: Path, name: str) -> None:
    flip(folder / name, 0.1)
    (words,) = verify(folder).wrong
    assert words.startswith(f"{name} was changed since the run was closed")
    assert ("is damaged at byte" in words) == (name in ("raw.tmraw", "listmode.tmlm"))
    assert sizes_wrong(folder) == []  # that is what only --verify finds


def test_what_is_missing_or_cut_is_found_cheaply_too(folder: Path) -> None:
    (folder / "uids.json").unlink(missing_ok=True)
    (folder / "scanner.toml").unlink()
    log = folder / "raw.tmraw"
    log.write_bytes(log.read_bytes()[:-100])
    wrong = verify(folder).wrong
    assert any("scanner.toml is missing: put it back from a copy" in words for words in wrong)
    assert any("bytes at its end are no whole block" in words for words in wrong)
    assert any("scanner.toml is missing" in words for words in sizes_wrong(folder))
    assert any("raw.tmraw has" in words for words in sizes_wrong(folder))


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"../x": {}}}', "{" * 9000])
def test_a_damaged_manifest_is_told_and_breaks_no_list(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    assert main(["runs", "--runs", str(folder.parent), "--verify"]) == 1
    assert "manifest" in capsys.readouterr().out
    assert main(["runs", "--runs", str(folder.parent)]) == 0
    assert "DAMAGED ours: its manifest cannot be read" in capsys.readouterr().out


def test_the_list_says_what_was_not_verified(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["runs", "--runs", str(folder.parent)]
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "sizes alone were compared: `tomoshibi runs --verify` reads what they hold" in told
    assert "not verified" not in told
    (folder / FILE_NAME).unlink()
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "not verified, for they have no manifest: ours" in told
    assert "sizes alone" not in told


def test_the_command_ends_with_1_where_anything_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["runs", "--runs", str(folder.parent), "--verify"]
    assert main(argv) == 0
    assert "1 runs, 0 of them damaged" in capsys.readouterr().out
    flip(folder / "raw.tmraw", 0.1)
    assert main([*argv, "ours", "--json"]) == 1
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["damaged"] == 1
    assert "frames lost, all others are read" in said["runs"]["ours"]["words"]


def test_a_run_of_an_earlier_release_has_none_and_that_is_said(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    found = verify(folder)
    assert not found.known and not found.wrong
    assert "no manifest" in found.words()
