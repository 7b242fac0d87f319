"""Half-written files of processes that were killed are removed by the next that writes there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hw.whole_file import whole_file, whole_folder

DICOM = frozenset({".dcm"})


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_parts_of_the_dead_are_removed_and_no_others(gone: int, tmp_path: Path) -> None:
    (tmp_path / f".part-{gone}-image.nii").write_text("half")
    (tmp_path / f".part-{gone}-series").mkdir()
    (tmp_path / f".part-{gone}-series" / "1.dcm").write_text("half")
    others = {".part-1-of-a-process-that-lives", ".part-x-of-nobody", f".part{gone}-", "image.nii"}
    for name in others:
        (tmp_path / name).write_text("not ours")
    with whole_file(tmp_path / "new.nii") as file:
        file.write(b"new")
    assert {path.name for path in tmp_path.iterdir()} == others | {"new.nii"}


def test_a_part_that_is_held_is_left_alone_whoever_holds_it(gone: int, tmp_path: Path) -> None:
    with whole_file(tmp_path / "image.nii") as file:
        (held,) = tmp_path.glob(".part-*")
        other = held.rename(tmp_path / f".part-{gone}-image.nii")  # as of another container
        with whole_file(tmp_path / "second.nii") as second:
            second.write(b"second")
        assert other.exists()
        other.rename(held)
        file.write(b"first")
    assert (tmp_path / "image.nii").read_bytes() == b"first"


def test_a_folder_is_replaced_where_another_was_killed_on_the_way(
    gone: int, tmp_path: Path
) -> None:
    for name in (f".old-{gone}-series", f".part-{gone}-series", f".old-{gone}-my-series"):
        (tmp_path / name).mkdir()
    with whole_folder(tmp_path / "series", suffixes=DICOM) as part:
        (part / "1.dcm").write_text("new")
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"series", f".old-{gone}-my-series"}  # the last one is another folder's
    assert (tmp_path / "series" / "1.dcm").read_text() == "new"
