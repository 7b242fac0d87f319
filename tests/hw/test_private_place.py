"""What another user planted is refused before anything in it is opened."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.private_place import PlaceError, code_cache, open_private, private_folder
from hw.whole_file import whole_file
from rigs.other_user import NOBODY, as_nobody, everybodys_folder, needs_another_user


@pytest.fixture
def shared() -> Iterator[Path]:
    with everybodys_folder() as folder:
        yield folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_folder_is_made_for_this_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert mode(private_folder(tmp_path / "open")) == 0o700
        os.umask(0o777)
        assert mode(private_folder(tmp_path / "shut")) == 0o700
    finally:
        os.umask(before)


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o755, 0o710, 0o701])
def test_a_folder_that_others_may_enter_is_refused_with_the_remedy(
    tmp_path: Path, bits: int
) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(PlaceError, match=f"mode {bits:04o}.*chmod 700 {folder}"):
        private_folder(folder)


def test_a_link_and_a_file_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "file").touch()
    with pytest.raises(PlaceError, match="is a link"):
        private_folder(tmp_path / "link")
    with pytest.raises(PlaceError, match="is not a folder"):
        private_folder(tmp_path / "file")


def test_a_folder_that_others_could_replace_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PlaceError, match="every user may put another in its place"):
        private_folder(shared / "mine")
    shared.chmod(0o1777)  # sticky, as /tmp
    private_folder(shared / "mine")


def test_a_lock_file_keeps_what_it_held(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4711")
    with open_private(tmp_path / "lock") as file:
        file.seek(0)
        assert file.read() == "4711"
    with open_private(tmp_path / "new"):
        assert mode(tmp_path / "new") == 0o600


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "writable", "folder"])
def test_a_lock_that_is_no_plain_file_of_ours_is_refused(tmp_path: Path, kind: str) -> None:
    precious, lock = tmp_path / "precious", tmp_path / "lock"
    precious.write_text("keep me")
    if kind == "symlink":
        lock.symlink_to(precious)
    elif kind == "hard link":
        lock.hardlink_to(precious)
    elif kind == "fifo":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.touch()
        lock.chmod(0o666)
    with pytest.raises((PlaceError, IsADirectoryError)):
        open_private(lock)
    assert precious.read_text() == "keep me"


@needs_another_user
def test_a_folder_of_another_user_is_refused_before_anything_in_it_is_opened(
    shared: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("keep me")
    as_nobody('mkdir -m 700 "$1/t" && ln -s "$2" "$1/t/lock"', str(shared), str(precious))
    assert (shared / "t").stat().st_uid == NOBODY
    with pytest.raises(PlaceError, match=f"belongs to another user \\({NOBODY}\\)"):
        private_folder(shared / "t")
    assert precious.read_text() == "keep me"


@needs_another_user
def test_a_folder_below_another_users_is_refused(shared: Path) -> None:
    as_nobody('mkdir -m 755 "$1/t"', str(shared))
    with pytest.raises(PlaceError, match=r"lies in .*/t, which belongs to another user"):
        private_folder(shared / "t" / "deep")


SAYS_CACHE = "from hw.private_place import code_cache; print(code_cache('kernels'))"


def cache_of(place: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SAYS_CACHE], capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"TOMOSHIBI_CACHE": str(place), "XDG_CACHE_HOME": str(home)},
    )  # fmt: skip


def test_a_kernel_cache_that_others_may_write_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    (tmp_path / "cache" / "kernels").chmod(0o777)
    done = cache_of(tmp_path / "cache", tmp_path / "home")
    assert done.stdout.strip() == str(tmp_path / "home" / "tomoshibi" / "kernels")
    assert "is open to other users (mode 0777)" in done.stderr
    assert "is used instead" in done.stderr


@needs_another_user
def test_a_kernel_cache_that_another_user_made_is_not_used(shared: Path, tmp_path: Path) -> None:
    as_nobody('mkdir -m 755 -p "$1/cache/kernels"', str(shared))
    done = cache_of(shared / "cache", tmp_path / "home")
    assert done.stdout.strip() == str(tmp_path / "home" / "tomoshibi" / "kernels")
    assert "belongs to another user" in done.stderr


def test_a_cache_of_ours_that_others_may_read_is_closed_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o755)
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    assert code_cache("kernels") == tmp_path / "kernels"
    assert mode(tmp_path / "kernels") == 0o700
    assert capsys.readouterr().err == ""


def test_a_pipe_among_left_parts_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".part-4194303-out")
    with whole_file(tmp_path / "out") as file:
        file.write(b"new")
    assert (tmp_path / "out").read_bytes() == b"new"


def test_a_file_is_not_written_through_a_link_put_beside_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / f".part-{os.getpid()}-out").symlink_to("precious")
    with whole_file(tmp_path / "out") as file:
        file.write(b"new")
    assert (tmp_path / "precious").read_text() == "keep me"
    assert (tmp_path / "out").read_bytes() == b"new"
