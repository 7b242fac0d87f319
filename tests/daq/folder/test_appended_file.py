"""What is synced is on the disk, and a disk that refused once is not believed again."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from daq.errors import StorageError
from daq.folder.appended_file import AppendedFile
from daq.folder.blocks import BlockReader, BlockWriter
from daq.folder.raw_log import RawLogWriter
from hw.wire.block_layout import BlockKind

REAL = os.fdatasync


def test_a_file_tells_how_much_of_it_is_written_and_how_much_is_on_the_disk(tmp_path: Path) -> None:
    file = AppendedFile(tmp_path / "log")
    file.append(b"one", b"two")
    assert (file.size, file.synced_bytes) == (6, 0)
    assert file.sync() == 6
    file.append(b"three")
    assert (file.size, file.synced_bytes) == (11, 6)
    file.close()
    assert file.sync() == 6  # nothing is promised of what was not synced
    assert (tmp_path / "log").read_bytes() == b"onetwothree"


def test_nothing_new_costs_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, calls = AppendedFile(tmp_path / "log"), []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    file.append(b"x")
    for _ in range(10):
        file.sync()
    assert len(calls) == 1
    file.close()


def test_files_and_logs_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        AppendedFile(tmp_path / "file").close()
        RawLogWriter(tmp_path / "log", {}).close({})
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_a_file_that_another_writes_is_refused(tmp_path: Path) -> None:
    first = AppendedFile(tmp_path / "log")
    with pytest.raises(StorageError, match="being written by another process"):
        AppendedFile(tmp_path / "log", new=False)
    first.close()
    AppendedFile(tmp_path / "log", new=False).close()


def test_a_file_is_opened_to_go_on_behind_what_is_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"soundtorn")
    file = AppendedFile(tmp_path / "log", size=5, new=False)
    file.append(b" and more")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"sound and more"


def test_what_a_log_is_made_of_is_on_the_disk_before_anything_is_appended(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "log", {"run": "x"})
    assert writer.synced_bytes == writer.bytes_written > 0
    writer.append(BlockKind.FRAMES, b"x" * 100, items=1)
    assert writer.synced_bytes < writer.bytes_written
    assert writer.sync() == writer.synced_bytes == writer.bytes_written
    writer.close({})
    assert writer.synced_bytes == (tmp_path / "log").stat().st_size


def test_an_abandoned_log_goes_to_the_disk_too(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "log", {})
    writer.append(BlockKind.FRAMES, b"x", items=1)
    writer.abandon()
    assert writer.synced_bytes == writer.bytes_written


def refused(number: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_refused_once_is_not_believed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel drops the pages that it could not write, and reports it once."""
    writer = BlockWriter(tmp_path / "log", {})
    safe = writer.synced_bytes
    writer.append(BlockKind.FRAMES, b"lost", items=1)
    monkeypatch.setattr(os, "fdatasync", refused)
    with pytest.raises(StorageError, match=f"not safe on the disk beyond {safe} bytes: Input/out"):
        writer.sync()
    monkeypatch.setattr(os, "fdatasync", REAL)
    writer.append(BlockKind.FRAMES, b"kept", items=1)
    with pytest.raises(StorageError, match="not safe"):
        writer.sync()
    assert writer.synced_bytes == safe
    with pytest.raises(StorageError, match="not safe"):
        writer.close({})
    reader = BlockReader(tmp_path / "log")  # closed all the same
    assert len(list(reader)) == 2
    assert reader.end == {}


def test_appending_and_closing_do_not_wait_for_a_sync_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = AppendedFile(tmp_path / "log")
    begun, goes_on, ended = threading.Event(), threading.Event(), []

    def slow(number: int) -> None:
        begun.set()
        assert goes_on.wait(60)
        REAL(number)

    monkeypatch.setattr(os, "fdatasync", slow)
    file.append(b"first")
    thread = threading.Thread(target=lambda: ended.append(file.sync()))
    thread.start()
    assert begun.wait(60)
    file.append(b"second")
    file.close()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)  # may get the same number
    goes_on.set()
    thread.join(60)
    os.close(other)
    assert ended == [5]  # what was written when it began, not what came meanwhile
    assert (tmp_path / "log").read_bytes() == b"firstsecond"


def test_a_log_is_synced_by_one_thread_while_another_appends(tmp_path: Path) -> None:
    writer, over, seen = BlockWriter(tmp_path / "log", {}), threading.Event(), [0]

    def syncing() -> None:
        while not over.is_set():
            seen.append(writer.sync())

    thread = threading.Thread(target=syncing)
    thread.start()
    for k in range(300):
        writer.append(BlockKind.FRAMES, bytes([k % 256]) * k, items=k)
    writer.close({"blocks": 300})
    over.set()
    thread.join(60)
    assert seen == sorted(seen)
    assert seen[-1] <= writer.synced_bytes == (tmp_path / "log").stat().st_size
    assert [block.items for block in BlockReader(tmp_path / "log")] == list(range(300))
