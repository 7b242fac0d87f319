"""Block files survive a kill at any byte: all blocks before it are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daq.folder.blocks as blocks_module
from daq.errors import LogError, StorageError
from daq.folder.blocks import BlockReader, BlockWriter
from hw.wire.block_layout import BLOCK_HEADER_BYTES, BlockKind

HEAD = {"format": "a test", "µ": 1}
PAYLOADS = [b"first", b"", b"x" * 300, b"last one"]


def write(path: Path, *, close: bool = True) -> list[int]:
    """Write the payloads; return where each block ends, the head's first."""
    writer = BlockWriter(path, HEAD)
    ends = [writer.bytes_written]
    for number, payload in enumerate(PAYLOADS):
        writer.append(BlockKind.FRAMES, payload, items=number)
        ends.append(writer.bytes_written)
    writer.close({"total": 4}) if close else writer.abandon()
    return ends


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    path = tmp_path_factory.mktemp("blocks") / "whole"
    return (ends := write(path)) and (path.read_bytes(), ends)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "log")
    reader = BlockReader(tmp_path / "log")
    assert reader.head == HEAD
    assert [(b.kind, b.items, b.payload) for b in reader] == [
        (BlockKind.FRAMES, number, payload) for number, payload in enumerate(PAYLOADS)
    ]
    assert reader.end == {"total": 4}
    assert reader.torn_bytes == 0


def test_a_log_that_was_never_closed_is_whole_but_has_no_end(tmp_path: Path) -> None:
    write(tmp_path / "log", close=False)
    reader = BlockReader(tmp_path / "log")
    assert [b.payload for b in reader] == PAYLOADS
    assert (reader.end, reader.torn_bytes) == (None, 0)


def test_a_log_cut_at_any_byte_gives_every_block_before_the_cut(tmp_path: Path, whole) -> None:
    data, ends = whole
    path = tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        if length < ends[0]:
            with pytest.raises(LogError, match="cut"):
                BlockReader(path)
            continue
        reader = BlockReader(path)
        sound = [end for end in ends if end <= length]
        assert [b.payload for b in reader] == PAYLOADS[: len(sound) - 1]
        assert reader.torn_bytes == length - sound[-1]
        assert reader.end is None


@given(rubbish=st.binary(max_size=200))
def test_rubbish_is_no_log(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "rubbish"
    path.write_bytes(rubbish)
    with pytest.raises(LogError):
        BlockReader(path)


def test_a_log_that_grows_while_it_is_read_is_not_called_torn(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "log", HEAD)
    writer.append(BlockKind.FRAMES, b"one", items=1)
    reader = BlockReader(tmp_path / "log")
    blocks = iter(reader)
    assert next(blocks).payload == b"one"
    writer.append(BlockKind.FRAMES, b"two", items=1)
    assert [b.payload for b in blocks] == [b"two"]
    assert reader.torn_bytes == 0
    writer.abandon()


def test_an_existing_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"precious")
    with pytest.raises(StorageError, match="cannot create"):
        BlockWriter(path, HEAD)
    assert path.read_bytes() == b"precious"


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"):
        BlockWriter(tmp_path / "gone" / "log", HEAD)
    with pytest.raises(LogError, match="gone"):
        BlockReader(tmp_path / "gone" / "log")


def test_writing_after_the_end_is_refused(tmp_path: Path) -> None:
    writer = BlockWriter(tmp_path / "log", HEAD)
    writer.close({})
    writer.abandon()
    with pytest.raises(StorageError):
        writer.append(BlockKind.FRAMES, b"late", items=1)


def test_a_block_no_reader_would_take_is_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "MAX_PAYLOAD", 100)
    writer = BlockWriter(tmp_path / "log", {})
    with pytest.raises(ValueError, match="101 bytes, the bound is 100"):
        writer.append(BlockKind.FRAMES, b"x" * 101, items=1)
    writer.append(BlockKind.FRAMES, b"x" * 100, items=1)
    writer.close({})
    assert [len(b.payload) for b in BlockReader(tmp_path / "log")] == [100]


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from daq.folder.blocks import BlockKind, BlockWriter
from daq.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
writer = BlockWriter(Path(sys.argv[1]), {})
acknowledged = 0
try:
    while True:
        writer.append(BlockKind.FRAMES, bytes([acknowledged]) * 700, items=1)
        acknowledged += 1
except StorageError as error:
    print(acknowledged, writer.bytes_written, error, sep="|")
    writer.abandon()
"""


def test_a_full_disk_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    """A file size limit makes the kernel cut a write short, then refuse it, as a full disk does."""
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(path)],
        check=True, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    acknowledged, written, message = done.stdout.split("|")
    assert int(acknowledged) == (5000 - BLOCK_HEADER_BYTES - 2) // (700 + BLOCK_HEADER_BYTES)
    assert "cannot write" in message
    assert "Free disk space" in message
    assert path.stat().st_size == int(written)
    reader = BlockReader(path)
    assert [b.payload for b in reader] == [bytes([k]) * 700 for k in range(int(acknowledged))]
    assert reader.torn_bytes == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_full_from_the_first_byte_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real_open, full = blocks_module.os.open, "/dev/full"

    def open_full(path: Path, flags: int, mode: int = 0o777) -> int:
        opened.append(real_open(full, blocks_module.os.O_WRONLY))
        return opened[-1]

    monkeypatch.setattr(blocks_module.os, "open", open_full)
    with pytest.raises(StorageError, match="No space left"):
        BlockWriter(tmp_path / "log", HEAD)
    with pytest.raises(OSError, match="Bad file descriptor"):
        blocks_module.os.fstat(opened[0])
