"""The catalogue is a cache: whatever happens to it, the run folders are what is listed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.folder.listing.archive_record import Copy, add_copy
from daq.folder.listing.catalogue import FILE_NAME, Catalogue, is_found


def make_run(root: Path, name: str, *, number: int = 1, summary: object = ...) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    config = {
        "created": f"2026-11-0{number}T10:00:00+00:00",
        "config": {"labels": {"scanner": "bench2"}},
    }
    (folder / "run.json").write_text(json.dumps(config))
    if summary is ...:
        summary = {
            "condition": "good",
            "detector_time_s": 2.5,
            "singles": {"received": 100 * number},
            "prompts": 10 * number,
            "delayeds": number,
            "images": {"count": 3},
            "conserved": True,
        }
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_run(tmp_path, "a", number=1)
    make_run(tmp_path, "b", number=2)
    make_run(tmp_path, "c", number=3, summary=None)
    (tmp_path / "no run").mkdir()
    return tmp_path


def test_runs_are_listed_newest_first_with_what_their_summaries_say(root: Path) -> None:
    rows = Catalogue(root).rows()
    assert [row.name for row in rows] == ["c", "b", "a"]
    b = rows[1]
    assert (b.scanner, b.condition, b.detector_time_s) == ("bench2", "good", 2.5)
    assert (b.singles, b.prompts, b.delayeds, b.images, b.conserved) == (200, 20, 2, 3, True)
    assert b.bytes == sum(path.stat().st_size for path in (root / "b").iterdir())


def test_an_open_run_is_listed_as_open_until_its_summary_is_there(root: Path) -> None:
    catalogue = Catalogue(root)
    assert catalogue.rows()[0].condition == "open"
    shutil.rmtree(root / "c")
    make_run(root, "c", number=3)
    newer = (root / "c" / "run.json").stat().st_mtime + 5
    os.utime(root / "c" / "summary.json", (newer, newer))
    assert catalogue.rows()[0].condition == "good"


def test_folders_removed_or_copied_in_by_hand_are_noticed(root: Path) -> None:
    catalogue = Catalogue(root)
    catalogue.rows()
    shutil.rmtree(root / "b")
    make_run(root, "d", number=4)
    assert [row.name for row in catalogue.rows()] == ["d", "c", "a"]


def test_a_deleted_index_is_made_anew(root: Path) -> None:
    before = Catalogue(root).rows()
    (root / FILE_NAME).unlink()
    assert Catalogue(root).rows() == before
    assert (root / FILE_NAME).exists()


@pytest.mark.parametrize("rubbish", [b"", b"not a database at all" * 100])
def test_an_index_of_rubbish_is_made_anew(root: Path, rubbish: bytes) -> None:
    before = Catalogue(root).rows()
    (root / FILE_NAME).write_bytes(rubbish)
    assert Catalogue(root).rows() == before


@given(data=st.data())
@settings(max_examples=60)
def test_an_index_damaged_anywhere_still_gives_a_list(tmp_path_factory, data) -> None:
    root = tmp_path_factory.mktemp("runs")
    for number in range(1, 6):
        make_run(root, f"run{number}", number=number)
    names = [row.name for row in Catalogue(root).rows()]
    content = bytearray((root / FILE_NAME).read_bytes())
    begin = data.draw(st.integers(0, len(content) - 64))
    content[begin : begin + 64] = data.draw(st.binary(min_size=64, max_size=64))
    (root / FILE_NAME).write_bytes(content[: data.draw(st.integers(1, len(content)))])
    rows = Catalogue(root).rows()
    assert len(rows) <= len(names)
    (root / FILE_NAME).unlink(missing_ok=True)
    assert [row.name for row in Catalogue(root).rows()] == names


def test_an_index_of_an_older_layout_is_made_anew(root: Path) -> None:
    before = Catalogue(root).rows()
    (root / FILE_NAME).unlink()
    with closing(sqlite3.connect(root / FILE_NAME)) as database, database:
        database.execute("CREATE TABLE runs (name TEXT PRIMARY KEY, stamp REAL)")
        database.execute("INSERT INTO runs VALUES ('a', 0)")
    assert Catalogue(root).rows() == before


def test_where_no_index_can_be_kept_one_in_memory_serves(root: Path) -> None:
    before = Catalogue(root).rows()
    (root / FILE_NAME).unlink()
    (root / FILE_NAME).mkdir()
    assert Catalogue(root).rows() == before


@pytest.mark.parametrize(
    "summary",
    ["a word", [1, 2], {"singles": 3, "images": None, "prompts": "many", "conserved": "yes"}, {}],
)
def test_a_summary_of_another_shape_breaks_no_list(tmp_path: Path, summary: object) -> None:
    make_run(tmp_path, "odd", summary=summary)
    (row,) = Catalogue(tmp_path).rows()
    assert (row.name, row.prompts, row.conserved) == ("odd", 0, False)


@pytest.mark.parametrize("config", ["", "{", "[]", '{"config": 3}', '{"created": {}}'])
def test_a_damaged_configuration_breaks_no_list(tmp_path: Path, config: str) -> None:
    (make_run(tmp_path, "odd") / "run.json").write_text(config)
    (row,) = Catalogue(tmp_path).rows()
    assert (row.name, row.scanner, row.prompts) == ("odd", "", 10)


def test_a_row_has_what_people_search_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "odd", summary={"conditions": ["tainted: 3 frames lost", 7]})
    config = {"labels": {"nuclide": "F-18"}, "protocol": {"name": "fdg-brain", "version": 2}}
    (folder / "run.json").write_text(json.dumps({"config": config}))
    row = asdict(Catalogue(tmp_path).rows()[0])
    assert (row["protocol"], row["nuclide"]) == ("fdg-brain@2", "F-18")
    assert row["conditions"] == "tainted: 3 frames lost; 7"
    for search in ("", "odd", "FDG f-18", "frames 3", "lost brain@2"):
        assert is_found(row, search)
    assert not is_found(row, "fdg Tc-99m")


def test_size_and_copies_follow_what_is_done_with_a_run_later(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "a")
    before = Catalogue(tmp_path).rows()[0]
    (folder / "images").mkdir()
    (folder / "images" / "x.nii.gz").write_bytes(bytes(1000))
    copy = Copy(place="/mnt/a", at="2026-11-24T10:00:00+00:00", files=2, bytes=3)
    add_copy(folder, copy)
    os.utime(folder, (before.stamp + 5, before.stamp + 5))
    row = Catalogue(tmp_path).rows()[0]
    assert row.copies == 1
    assert row.bytes == before.bytes + 1000 + (folder / "archive.json").stat().st_size
    (folder / "archive.json").write_text("{")
    os.utime(folder, (before.stamp + 9, before.stamp + 9))
    assert Catalogue(tmp_path).rows()[0].copies == 0


def test_no_folder_has_no_runs(tmp_path: Path) -> None:
    assert Catalogue(tmp_path / "gone").rows() == []
    assert not (tmp_path / "gone").exists()


def spoilt_names() -> list[bytes]:
    return [b"ok", b"\xff\xfe no text", "µ".encode()]


def test_one_bad_folder_breaks_no_list(root: Path) -> None:
    """A name of other bytes, a number beyond all bounds, deep nesting, a pipe that nobody feeds."""
    for number, name in enumerate(spoilt_names(), start=4):
        make_run(root, os.fsdecode(name), number=number)
    make_run(root, "huge", summary={"prompts": 10**20, "detector_time_s": 1e300})
    make_run(root, "deep")
    (root / "deep" / "summary.json").write_text("[" * 100_000)
    make_run(root, "pipe")
    (root / "pipe" / "summary.json").unlink()
    os.mkfifo(root / "pipe" / "summary.json")
    make_run(root, "circle", summary=None)
    (root / "circle" / "summary.json").symlink_to("summary.json")
    rows = {row.name: row for row in Catalogue(root).rows()}
    assert {"a", "b", "c", "ok", "µ", "\\xff\\xfe no text"} <= rows.keys()
    assert rows["huge"].prompts == 0
    assert {rows[name].condition for name in ("deep", "pipe", "circle")} == {"open"}
