"""The files of a run: its owner's alone, whole or not there, and JSON that every reader takes."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from daq.errors import RunError, StorageError
from daq.folder.region_file import write_regions
from daq.folder.run_config import RunConfig
from daq.folder.run_folder import copy_in, new_run_folder, write_arrays, write_json, write_text
from daq.folder.run_identity import draw_uids
from daq.service.run import Run

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.usefixtures("open_umask")
def test_what_is_written_into_a_run_is_its_owners_alone(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = Run(make_config(name="armed"), tmp_path / "runs")
    run.abandon()
    assert run.folder.stat().st_mode & 0o777 == 0o700
    own = tmp_path / "own"
    own.mkdir()
    write_json(own / "a.json", {})
    write_text(own / "b.toml", "x = 1")
    write_arrays(own / "c.npz", x=np.arange(3))
    copy_in(own / "c.npz", own / "d.npz", most_bytes=2**20)
    draw_uids(own)
    write_regions(own, [])
    assert len(list(own.iterdir())) == 6
    assert modes(own) == {0o600}


def test_numbers_that_json_has_not_become_null_and_are_named(tmp_path: Path) -> None:
    value = {
        "good": 1.5,
        "truth": {"rate": math.nan, "list": [1.0, math.inf, np.float32(-math.inf)]},
        "tuple": (np.float64(math.nan),),
    }
    write_json(tmp_path / "x.json", value)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert read == {
        "good": 1.5,
        "truth": {"rate": None, "list": [1.0, None, None]},
        "tuple": [None],
        "not_finite": {
            "truth.rate": "nan",
            "truth.list[1]": "inf",
            "truth.list[2]": "-inf",
            "tuple[0]": "nan",
        },
    }


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text(tmp_path / "scanner.toml", "µ = 1\n")
    assert (tmp_path / "scanner.toml").read_text(encoding="utf-8") == "µ = 1\n"
    with pytest.raises(StorageError, match="there is no folder"):
        write_text(tmp_path / "gone" / "scanner.toml", "")


def test_a_file_is_copied_into_a_run_as_it_is(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(3 * 2**20 + 7)
    (tmp_path / "map").write_bytes(content)
    copy_in(tmp_path / "map", tmp_path / "copy", most_bytes=2**22)
    assert (tmp_path / "copy").read_bytes() == content


def test_what_is_no_plain_file_of_bounded_size_is_not_copied_into_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    for name, why in (
        ("pipe", "not a regular file"),
        ("gone", "No such file"),
        ("large", "more than 4 bytes"),
        ("", "not a regular file"),
    ):
        with pytest.raises(StorageError, match=f"cannot copy .* into the run: .*{why}"):
            copy_in(tmp_path / name, tmp_path / "copy", most_bytes=4)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "large"}


def test_a_run_folder_is_never_made_twice(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config(name="one")
    Run(config, tmp_path / "new" / "runs").abandon()
    with pytest.raises(RunError, match="exists already"):
        Run(config, tmp_path / "new" / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make"):
        new_run_folder(tmp_path / "file", config, "bench2", dt.datetime.now(dt.UTC))
