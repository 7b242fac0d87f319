"""Files that somebody names: plain, of bounded size, never waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from daq.errors import RunError
from daq.folder.given_file import check_given, copy_given, open_given


def test_a_plain_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "map").write_bytes(b"content")
    with open_given(tmp_path / "map", most_bytes=7) as file:
        assert file.read() == b"content"


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="no plain file"):
        check_given(tmp_path / "pipe", most_bytes=10)


def test_a_folder_a_device_a_socket_and_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "link"):
        with pytest.raises(RunError, match=r"no plain file|cannot be read"):
            check_given(path, most_bytes=10)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(RunError, match="cannot be read"):
            check_given(tmp_path / "s", most_bytes=10)


def test_a_file_that_is_too_large_or_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RunError, match="has 1048576 MiB, at most 256 are taken"):
        check_given(tmp_path / "huge", most_bytes=256 * 2**20)
    with pytest.raises(RunError, match="No such file"):
        check_given(tmp_path / "none", most_bytes=1)
    with pytest.raises(RunError, match="null"):
        check_given(Path("a\0b"), most_bytes=1)


def test_a_copy_is_whole_and_follows_a_link(tmp_path: Path) -> None:
    content = os.urandom(3 * 2**20 + 17)
    (tmp_path / "map").write_bytes(content)
    (tmp_path / "link").symlink_to("map")
    copy_given(tmp_path / "link", tmp_path / "copy", most_bytes=2**23)
    assert (tmp_path / "copy").read_bytes() == content
