"""A log that is deleted, moved, replaced or cut in mid-run is noticed, and brought back whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from daq.errors import StorageError
from daq.folder.blocks import BlockReader
from daq.folder.log_watch import RESCUED, LogWatch
from daq.folder.raw_log import FILE_NAME, RawLogReader, RawLogWriter
from rigs.frames_factory import ModuleSender, single_words

SENDER = ModuleSender(0)
FRAMES = [SENDER.frame(single_words(range(5))) for _ in range(400)]


class Recording:
    """A raw log in a folder of its own that frames are appended to one by one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / FILE_NAME
        self.log = RawLogWriter(self.path, {"run": "ours"})
        self.watch = LogWatch(self.log.file)
        self.appended = 0

    def append(self, count: int = 50) -> None:
        for frame in FRAMES[self.appended : self.appended + count]:
            self.log.append(frame, frames=1)
        self.appended += count

    def rescued(self, most_bytes: int) -> Path:
        """Rescue step by step, with frames coming in meanwhile."""
        for _ in range(1000):
            if (path := self.watch.rescue(most_bytes=most_bytes)) is not None:
                return path
            self.append(1)
        raise AssertionError("no end")

    def check(self, path: Path) -> None:
        """The log at a path is whole, with all that was appended before and after."""
        assert self.watch.look() == ""
        self.append()
        assert self.log.sync() == path.stat().st_size
        self.watch.close()
        self.log.close({"frames": self.appended})
        reader = RawLogReader(path)
        assert [bytes(f) for batch in reader for f in batch] == FRAMES[: self.appended]
        assert (reader.end, reader.torn_bytes) == ({"frames": self.appended}, 0)
        assert not reader.damage
        assert path.stat().st_mode & 0o077 == 0


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    made = Recording(tmp_path / "run")
    made.append()
    yield made
    made.watch.close()
    made.log.abandon()


def test_a_log_that_is_where_it_should_be_is_not_spoken_of(recording: Recording) -> None:
    for _ in range(3):
        assert recording.watch.look() == ""
        recording.append()


@pytest.mark.parametrize("most_bytes", [700, 2**20])
def test_a_deleted_log_is_noticed_and_comes_back_whole(
    recording: Recording, most_bytes: int
) -> None:
    """The finding: done, good, conserved, no alarm, and no raw log."""
    recording.path.unlink()
    recording.append()
    assert recording.watch.look() == f"raw.tmraw was deleted in mid-run: {recording.path}"
    assert recording.rescued(most_bytes) == recording.path
    recording.check(recording.path)


def test_a_deleted_folder_is_noticed_and_made_again(recording: Recording) -> None:
    folder = recording.path.parent
    shutil.rmtree(folder)
    assert "the run's folder was deleted, moved or unmounted in mid-run" in recording.watch.look()
    assert recording.rescued(2**20) == recording.path
    assert folder.stat().st_mode & 0o077 == 0
    recording.check(recording.path)


def test_a_log_that_was_moved_is_linked_back(recording: Recording, tmp_path: Path) -> None:
    recording.path.rename(tmp_path / "elsewhere")
    assert "raw.tmraw was moved away in mid-run" in recording.watch.look()
    assert recording.watch.rescue() == recording.path
    assert recording.path.samefile(tmp_path / "elsewhere")
    recording.check(recording.path)


def test_a_log_that_was_replaced_is_kept_beside_what_lies_there(recording: Recording) -> None:
    recording.path.unlink()
    recording.path.write_text("mine")
    assert "raw.tmraw was replaced by another file" in recording.watch.look()
    kept = recording.path.with_name(f"{RESCUED}{FILE_NAME}")
    assert recording.rescued(2**20) == kept
    assert recording.path.read_text() == "mine"
    recording.check(kept)


def test_a_rescued_log_can_be_deleted_and_rescued_again(recording: Recording) -> None:
    for _ in range(3):
        recording.path.unlink()
        assert recording.rescued(1500) == recording.path
    recording.check(recording.path)


def test_a_copy_that_is_deleted_on_its_way_is_made_again(recording: Recording) -> None:
    recording.path.unlink()
    assert recording.watch.rescue(most_bytes=100) is None
    recording.path.unlink()
    assert recording.rescued(2**20) == recording.path
    while recording.watch.look():
        recording.rescued(2**20)
    recording.check(recording.path)


def test_a_log_that_was_cut_is_told_and_what_comes_after_is_read(recording: Recording) -> None:
    half = recording.log.bytes_written // 2
    os.truncate(recording.path, half)
    words = f"raw.tmraw was cut in mid-run by another program: {recording.log.bytes_written - half}"
    assert words in recording.watch.look()
    recording.append()
    recording.log.close({})
    reader = BlockReader(recording.path)
    read = [block.payload for block in reader]
    assert read[-50:] == FRAMES[50:100]
    assert reader.damage.blocks == 100 - len(read)


def test_a_disk_that_refuses_the_copy_leaves_the_open_file_as_it_was(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.path.unlink()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "sendfile", full)
        with pytest.raises(StorageError, match="cannot be brought back: No space left"):
            recording.watch.rescue()
    assert not recording.path.exists()
    recording.append()
    assert recording.rescued(2**20) == recording.path
    recording.check(recording.path)


def test_watching_what_is_not_the_open_file_is_refused(tmp_path: Path) -> None:
    log = RawLogWriter(tmp_path / "log", {})
    (tmp_path / "log").rename(tmp_path / "away")
    with pytest.raises(StorageError, match="cannot watch"):
        LogWatch(log.file)
    (tmp_path / "log").write_text("other")
    with pytest.raises(StorageError, match="another file lies in its place"):
        LogWatch(log.file)
    log.abandon()
