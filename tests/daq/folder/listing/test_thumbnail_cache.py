"""Thumbnails are kept in the catalogue's file, for the image that they are of, or not at all."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from daq.cli import main
from daq.folder.listing.catalogue import FILE_NAME, Catalogue
from daq.folder.listing.thumbnail_cache import Thumbnail, ThumbnailCache

SMALL = Thumbnail(2, 3, bytes(range(6)))


def test_what_was_kept_is_found_for_the_same_image_alone(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path)
    assert cache.find("a", "x 1 2") is None
    cache.keep("a", "x 1 2", SMALL)
    assert cache.find("a", "x 1 2") == SMALL
    assert cache.find("a", "x 1 3") is None
    cache.keep("a", "x 1 3", SMALL)
    assert cache.find("a", "x 1 2") is None


@pytest.mark.parametrize("row", [(2, 3, b"short"), (9**9, 1, b""), ("x", 1, b"1"), (2, 3, "text")])
def test_a_damaged_row_is_none(tmp_path: Path, row: tuple[object, ...]) -> None:
    cache = ThumbnailCache(tmp_path)
    cache.keep("a", "stamp", SMALL)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("UPDATE thumbnails SET width = ?, height = ?, levels = ?", row)
    assert cache.find("a", "stamp") is None


def test_without_a_place_to_keep_them_none_are_found(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    cache = ThumbnailCache(tmp_path)
    cache.keep("a", "stamp", SMALL)
    assert cache.find("a", "stamp") is None


def store(root: Path, name: str, hot: tuple[int, int, int]) -> Path:
    images = root / name / "images"
    images.mkdir(parents=True)
    (root / name / "run.json").write_text("{}", encoding="utf-8")
    volume = np.zeros((8, 4, 16), np.float32)
    volume[hot] = 5.0
    path = images / "osem.nii.gz"
    nib.save(nib.Nifti1Image(volume, np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return path


def told(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["runs", "--thumbnails", "10", "--runs", str(root), "--json"]) == 0
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert last == {"thumbnails": len(lines)}
    return {line["thumbnail"]["run"]: line["thumbnail"] for line in lines}


def test_the_command_tells_each_run_that_has_an_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path, "a", (1, 2, 15))
    broken = store(tmp_path, "b", (0, 0, 0))
    broken.write_bytes(b"no image")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "run.json").write_text("{}", encoding="utf-8")
    found = told(tmp_path, capsys)
    assert found.keys() == {"a"}
    one = found["a"]
    levels = np.frombuffer(base64.b64decode(str(one["levels"])), np.uint8)
    levels = levels.reshape(one["height"], one["width"])
    assert levels.shape == (48, 24)
    assert levels[:3, 3:6].min() == 255 and np.count_nonzero(levels) == 9  # x = 1, z at the top
    assert told(tmp_path, capsys) == found
    assert [row.name for row in Catalogue(tmp_path).rows()] == ["c", "b", "a"]


def test_a_newer_image_has_a_thumbnail_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = store(tmp_path, "a", (1, 2, 15))
    before = told(tmp_path, capsys)["a"]
    first.unlink()
    first.parent.rmdir()
    store(tmp_path / "other", "a", (6, 2, 0))
    (tmp_path / "other" / "a" / "images").rename(tmp_path / "a" / "images")
    assert told(tmp_path, capsys)["a"]["levels"] != before["levels"]
