"""A copy is whole or does not count, whatever breaks it off, and whatever lies in a run."""

from __future__ import annotations

import datetime as dt
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daq.archive.copied_files import LIST_NAME
from daq.archive.run_copy import GROWING, Archived, archive
from daq.cli import main
from daq.errors import RunError, StorageError
from daq.folder.identity.identity_file import IDENTITY_NAME
from daq.folder.listing.archive_record import ARCHIVE_NAME, read_copies
from daq.folder.listing.catalogue import Catalogue
from daq.folder.listing.manifest import verify
from daq.folder.one_at_a_time import alone
from daq.folder.raw_log import FILE_NAME as RAW_NAME

NOW = dt.datetime(2026, 11, 24, 10, 0, tzinfo=dt.UTC)


def copied(folder: Path, disk: Path, **options: object) -> Archived:
    return archive(folder, disk, now=NOW, **options)  # type: ignore[arg-type]


def plain_files(folder: Path) -> set[str]:
    """All files below a folder, by another way than the one under test."""
    return {
        str((Path(place) / name).relative_to(folder))
        for place, _, names in os.walk(folder)
        for name in names
    }


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_copy_has_every_file_of_the_run_bit_for_bit(folder: Path, disk: Path) -> None:
    before = plain_files(folder)
    done = copied(folder, disk)
    copy = disk / "ours"
    assert plain_files(copy) == before | {LIST_NAME}
    assert all(filecmp.cmp(folder / name, copy / name, shallow=False) for name in before)
    assert verify(copy).known and not verify(copy).wrong
    assert (done.copy.files, done.copy.place) == (len(before), str(copy))
    assert not (disk / GROWING).exists()
    assert (copy / RAW_NAME).stat().st_mtime_ns == (folder / RAW_NAME).stat().st_mtime_ns
    assert copy.stat().st_mode & 0o077 == (copy / RAW_NAME).stat().st_mode & 0o077 == 0


def test_the_run_says_where_its_copies_are_and_a_copy_does_not(folder: Path, disk: Path) -> None:
    copied(folder, disk)
    (copy,) = read_copies(folder)
    assert (copy.place, copy.at) == (str(disk / "ours"), "2026-11-24T10:00:00+00:00")
    assert not copy.with_identity
    assert not (disk / "ours" / ARCHIVE_NAME).exists()
    other = disk / "other"
    other.mkdir()
    copied(folder, other)
    copied(folder, disk)
    assert [one.place for one in read_copies(folder)] == [str(other / "ours"), str(disk / "ours")]


def test_broken_off_anywhere_it_is_no_copy_and_goes_on_from_there(folder: Path, disk: Path) -> None:
    calls = 0

    def count(done: int, total: int) -> None:
        nonlocal calls
        calls += 1

    place = disk / "counted"
    place.mkdir()
    copied(folder, place, progress=count)
    (folder / ARCHIVE_NAME).unlink()
    for after in range(calls):
        left = calls - after

        def stop(done: int, total: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copied(folder, disk, progress=stop)
        assert not (disk / "ours").exists()
        assert Catalogue(disk).rows() == []
        assert read_copies(folder) == []
    copied(folder, disk)
    assert not verify(disk / "ours").wrong


def test_what_was_copied_before_is_not_written_again(folder: Path, disk: Path) -> None:
    half = disk / GROWING / "ours"
    half.mkdir(parents=True)
    whole = (folder / RAW_NAME).read_bytes()
    (half / RAW_NAME).write_bytes(whole[: len(whole) // 2] + b"torn")
    begun = (half / RAW_NAME).stat().st_ino
    copied(folder, disk)
    assert (disk / "ours" / RAW_NAME).stat().st_ino == begun
    assert (disk / "ours" / RAW_NAME).read_bytes() == whole


def test_a_byte_that_the_disk_changed_is_found_in_reading_back(folder: Path, disk: Path) -> None:
    written = False

    def spoil(done: int, total: int) -> None:
        nonlocal written
        if not written and 2 * done >= total:
            written = True
            flip(disk / GROWING / "ours" / RAW_NAME)

    with pytest.raises(StorageError, match=r"raw\.tmraw does not read as it was written"):
        copied(folder, disk, progress=spoil)
    assert written and not (disk / "ours").exists() and not read_copies(folder)


def test_a_later_copy_brings_the_first_up_to_date(folder: Path, disk: Path) -> None:
    copied(folder, disk)
    (folder / "images" / "osem.nii.gz").write_bytes(b"made later")
    (folder / "logs" / "daq.log").write_bytes(b"shorter")
    done = copied(folder, disk)
    assert (disk / "ours" / "images" / "osem.nii.gz").read_bytes() == b"made later"
    assert (disk / "ours" / "logs" / "daq.log").read_bytes() == b"shorter"
    assert done.copy.files == len(plain_files(disk / "ours")) - 1


def test_what_the_run_has_no_more_stays_in_the_copy_while_it_is_there(
    folder: Path, disk: Path
) -> None:
    copied(folder, disk)
    (folder / "logs" / "daq.log").unlink()
    done = copied(folder, disk)
    assert (disk / "ours" / "logs" / "daq.log").is_file()
    (disk / "ours" / "logs" / "daq.log").unlink()
    assert copied(folder, disk).copy.files == done.copy.files - 1


def test_a_damaged_run_never_replaces_a_good_copy(folder: Path, disk: Path) -> None:
    copied(folder, disk)
    good = (disk / "ours" / RAW_NAME).read_bytes()
    flip(folder / RAW_NAME)
    with pytest.raises(RunError, match=r"is damaged: raw\.tmraw was changed"):
        copied(folder, disk)
    assert (disk / "ours" / RAW_NAME).read_bytes() == good
    fresh = disk / "fresh"
    fresh.mkdir()
    with pytest.raises(RunError, match=r"is damaged: raw\.tmraw was changed"):
        copied(folder, fresh)
    assert not (fresh / "ours").exists()


def test_a_damaged_copy_is_put_right_by_archiving_again(folder: Path, disk: Path) -> None:
    copied(folder, disk)
    flip(disk / "ours" / RAW_NAME)
    copied(folder, disk)
    assert not verify(disk / "ours").wrong


def test_who_it_is_about_goes_only_where_that_is_asked_for(folder: Path, disk: Path) -> None:
    (folder / IDENTITY_NAME).write_text('{"name": "Tanaka"}', encoding="utf-8")
    done = copied(folder, disk)
    assert not (disk / "ours" / IDENTITY_NAME).exists()
    assert done.left_out == [f"{IDENTITY_NAME}: goes with a copy only by --with-identity"]
    assert "Tanaka" not in (disk / "ours" / LIST_NAME).read_text(encoding="utf-8")
    done = copied(folder, disk, with_identity=True)
    assert done.copy.with_identity and read_copies(folder)[-1].with_identity
    assert (disk / "ours" / IDENTITY_NAME).stat().st_mode & 0o777 == 0o600


def test_an_identity_that_a_broken_attempt_left_goes_into_no_copy(folder: Path, disk: Path) -> None:
    (folder / IDENTITY_NAME).write_text('{"name": "Tanaka"}', encoding="utf-8")
    (folder / "images" / "..x..nii.gz").write_bytes(b"an odd name, and a file")

    def stop(done: int, total: int) -> None:
        if 2 * done >= total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(folder, disk, with_identity=True, progress=stop)
    assert (disk / GROWING / "ours" / IDENTITY_NAME).exists()
    copied(folder, disk)
    assert plain_files(disk / "ours") == plain_files(folder) - {IDENTITY_NAME, ARCHIVE_NAME} | {
        LIST_NAME
    }
    copied(folder, disk)  # its list is taken for one


def test_links_and_pipes_are_named_and_not_followed(
    folder: Path, disk: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("not ours", encoding="utf-8")
    (folder / "away").symlink_to(secret)
    (folder / "key").symlink_to(secret / "key")
    os.mkfifo(folder / "pipe")
    done = copied(folder, disk)
    assert [words.split(":")[0] for words in done.left_out] == ["away", "key", "pipe"]
    assert not {"away", "key", "pipe"} & plain_files(disk / "ours")


def test_a_run_that_is_recorded_or_not_closed_is_refused(
    folder: Path, disk: Path, make_config, store
) -> None:
    from daq.service.run import Run

    going_on = Run(make_config(name="now"), folder.parent)
    with pytest.raises(RunError, match="is being recorded: stop the run first"):
        copied(going_on.folder, disk)
    going_on.finish()
    with pytest.raises(RunError, match=r"needs recovery \(it was never closed\)"):
        copied(going_on.folder, disk)
    imported = store("imported")
    (imported / RAW_NAME).unlink()
    (imported / "summary.json").unlink()
    with pytest.raises(RunError, match="it is not closed"):
        copied(imported, disk)


def test_a_place_that_cannot_be_is_refused_in_words(folder: Path, disk: Path) -> None:
    with pytest.raises(RunError, match="mount the disk"):
        copied(folder, disk / "not mounted")
    with pytest.raises(RunError, match="lies in the run itself"):
        copied(folder, folder / "images")
    with pytest.raises(RunError, match=r"is in .* already"):
        copied(folder, folder.parent)
    (disk / "ours").mkdir()
    with pytest.raises(RunError, match="is no copy of this run"):
        copied(folder, disk)


def test_another_run_of_the_same_name_is_not_written_over(
    folder: Path, disk: Path, store, tmp_path: Path
) -> None:
    copied(folder, disk)
    shutil.rmtree(folder)
    again = store("ours")
    before = (disk / "ours" / "run.json").read_bytes()
    (again / "run.json").write_bytes(before.replace(b"bench2", b"bench3"))
    with pytest.raises(RunError, match="is no copy of this run"):
        copied(again, disk)
    assert (disk / "ours" / "run.json").read_bytes() == before


def test_too_little_disk_is_told_before_anything_is_copied(folder: Path, disk: Path) -> None:
    with (folder / "logs" / "endless.log").open("wb") as file:
        file.truncate(shutil.disk_usage(disk).total + 2**40)  # takes no room itself
    with pytest.raises(StorageError, match=r"free, .* are needed"):
        copied(folder, disk)
    assert list(disk.iterdir()) == []


def test_only_one_process_works_on_a_run(folder: Path, disk: Path) -> None:
    with alone(folder, busy=""), pytest.raises(RunError, match="archived or recovered by another"):
        copied(folder, disk)


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"../x": {}}}', "{" * 900])
def test_a_damaged_list_is_no_copy(folder: Path, disk: Path, text: str) -> None:
    copied(folder, disk)
    (disk / "ours" / LIST_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="is no copy of this run"):
        copied(folder, disk)


@pytest.mark.processes
def test_ctrl_c_is_clean_and_the_same_command_goes_on(folder: Path, disk: Path) -> None:
    with (folder / "logs" / "long.log").open("wb") as file:
        file.truncate(400 * 2**20)
    words = ["archive", str(folder), str(disk), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "daq.cli", *words], stderr=subprocess.PIPE, text=True
    )
    growing = disk / GROWING / "ours" / "logs" / "long.log"
    deadline = time.monotonic() + 60
    while not growing.exists() or growing.stat().st_size < 2**20:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "the copy is not whole yet; the same command goes on with it" in told
    assert "Traceback" not in told
    assert not (disk / "ours").exists()
    assert main(words) == 0
    assert not verify(disk / "ours").wrong


def test_the_command_tells_what_it_did(folder: Path, disk: Path, capsys) -> None:
    assert main(["archive", "last", str(disk), "--runs", str(folder.parent), "--json"]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out.splitlines()[-1])
    assert said["copy"]["place"] == str(disk / "ours")
    assert "note: it is on the same disk as the run, and is lost with it" in err
    assert main(["archive", "ours", str(disk / "none"), "--runs", str(folder.parent)]) == 1
    assert "mount the disk, or make the folder first" in capsys.readouterr().err
