"""Repeated entries are folded, counted and told; what is new is written, and on disk at once."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from daq.errors import StorageError
from daq.folder.journal import (
    BURST,
    FILE_NAME,
    FOLD_S,
    MOST_CHARACTERS,
    Journal,
    read_entries,
)

LONG_S = 600.0
"""Longer than any disk holds a journal up."""


class Now:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def texts(journal: Journal) -> list[str]:
    return [entry.text for entry in journal.tail]


def test_a_flood_of_one_text_is_written_a_few_times_and_then_counted(tmp_path: Path) -> None:
    now = Now()
    journal = Journal(clock=now)
    journal.open(tmp_path)
    for _ in range(4312 + BURST):
        journal.add("warning", "junk")
    assert texts(journal) == ["junk"] * BURST
    now.s += FOLD_S
    journal.tell_repeated()
    assert texts(journal)[BURST:] == ["junk (repeated 4,312 times)"]
    lines = (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1, BURST + 2))


def test_entries_of_one_kind_are_folded_though_their_words_differ() -> None:
    now = Now()
    journal = Journal(clock=now)
    for k in range(100):
        journal.add("warning", f"byte {k} is wrong", kind="junk")
    now.s += FOLD_S
    journal.add("warning", "byte 100 is wrong", kind="junk")
    assert texts(journal)[BURST:] == [
        f"byte 99 is wrong (and others like it, {100 - BURST} times)",
        "byte 100 is wrong",
    ]


def test_what_was_folded_is_told_when_the_run_is_closed(tmp_path: Path) -> None:
    journal = Journal(clock=Now())
    journal.open(tmp_path)
    for _ in range(BURST + 1):
        journal.add("alarm", "again")
    journal.close()
    last = (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last)["text"] == "again (repeated 1 times)"


def test_a_flood_holds_no_other_entry_back_and_slow_repetition_is_written_each_time() -> None:
    now = Now()
    journal = Journal(clock=now)
    for _ in range(100):
        journal.add("warning", "junk")
    journal.add("alarm", "source lost")
    assert texts(journal)[-1] == "source lost"
    for _ in range(3 * BURST):
        now.s += FOLD_S
        journal.add("alarm", "slow")
    assert texts(journal).count("slow") == 3 * BURST


def test_many_different_entries_do_not_fill_the_memory_and_none_is_lost() -> None:
    journal = Journal(clock=Now())
    for k in range(3000):
        journal.add("info", str(k))
    assert journal.tail[-1].number == 3000
    assert len(journal._folds) <= 500


def test_a_text_without_end_is_cut() -> None:
    journal = Journal(clock=Now())
    journal.add("info", "x" * 10**6)
    assert len(journal.tail[-1].text) == MOST_CHARACTERS + 2


def test_a_journal_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot create .*gone.*journal.jsonl: No such file"):
        Journal(clock=Now()).open(tmp_path / "gone")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"journal.jsonl: Too many levels of symbolic links"):
        Journal(clock=Now()).open(tmp_path)


def full_from(monkeypatch: pytest.MonkeyPatch, full: list[bool]) -> None:
    """Let every write fail while ``full`` has an entry, as on a disk without space."""
    real = os.writev

    def writev(number: int, parts: list[bytes]) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(number, parts)

    monkeypatch.setattr(os, "writev", writev)


def test_entries_that_the_disk_refuses_are_shown_and_told_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full: list[bool] = []
    full_from(monkeypatch, full)
    journal = Journal(clock=Now())
    journal.open(tmp_path)
    journal.add("info", "kept")
    full.append(True)
    journal.add("alarm", "first")
    journal.add("alarm", "second")
    assert journal.write_errors == 2
    assert texts(journal)[1] == "first"
    assert "entries are shown here and not kept: cannot write" in texts(journal)[2]
    assert texts(journal)[3:] == ["second"]
    full.clear()
    journal.add("info", "kept again")
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / FILE_NAME).read_text("utf-8").splitlines()]
    assert [line["text"] for line in lines] == [
        "kept",
        "kept again",
        "the journal is written again; 3 entries are missing",  # two, and the one that tells it
    ]
    assert [line["number"] for line in lines] == [1, 5, 6]


class Disk:
    """Counts calls of fdatasync and takes what time a test says; may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[bytes] = []
        self.fails = False
        self._path = Path()
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)

    def of(self, path: Path) -> None:
        self._path = path

    def _fdatasync(self, number: int) -> None:
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        self._real(number)
        self.synced.append(self._path.read_bytes())


def test_an_entry_is_on_the_disk_when_add_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, disk = Now(), Disk(monkeypatch)
    disk.of(tmp_path / FILE_NAME)
    journal = Journal(clock=now)
    journal.open(tmp_path)
    for k in range(5):
        now.s += LONG_S
        journal.add("alarm", f"alarm {k}")
        assert f"alarm {k}".encode() in disk.synced[-1]


def test_a_burst_of_entries_costs_one_sync_and_the_rest_is_synced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.of(tmp_path / FILE_NAME)
    journal = Journal(clock=Now())
    journal.open(tmp_path)
    for k in range(100):
        journal.add("info", f"entry {k}")
    assert len(disk.synced) == 1
    journal.sync()
    assert b"entry 99" in disk.synced[-1]
    journal.add("info", "the last")
    journal.close()
    assert b"the last" in disk.synced[-1]
    assert len(disk.synced) == 3


def test_a_disk_that_refuses_to_sync_is_told_once_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, disk = Now(), Disk(monkeypatch)
    disk.of(tmp_path / FILE_NAME)
    journal = Journal(clock=now)
    journal.open(tmp_path)
    disk.fails = True
    for k in range(3):
        now.s += LONG_S
        journal.add("info", f"entry {k}")
    told = [text for text in texts(journal) if "may not outlive a power cut" in text]
    assert (len(told), journal.write_errors) == (1, 3)
    journal.close()


def test_a_journal_is_its_owners_alone_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    for text in ("first", "second"):
        journal = Journal(clock=Now())
        journal.open(tmp_path)
        journal.add("info", text)
        journal.close()
    path = tmp_path / FILE_NAME
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["first", "second"]
    assert path.stat().st_mode & 0o077 == 0


def test_words_that_are_no_utf8_are_written_as_far_as_they_are(tmp_path: Path) -> None:
    journal = Journal(clock=Now())
    journal.open(tmp_path)
    journal.add("alarm", "cannot read \udcff.npz")
    assert "cannot read ?.npz" in (tmp_path / FILE_NAME).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "torn", [bytes(300), b'{"number":2,"wall":"20', b'{"number":2}' + bytes(40)]
)
def test_an_entry_that_a_power_cut_tore_is_cut_off_and_told(tmp_path: Path, torn: bytes) -> None:
    journal = Journal()
    journal.open(tmp_path)
    journal.add("info", "before")
    journal.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(torn)
    journal.open(tmp_path)
    journal.add("info", "after")
    journal.close()
    lines = (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()
    told = f"the journal's last entry was torn, by a power cut: {len(torn)} bytes"
    assert [json.loads(line)["text"] for line in lines] == ["before", told, "after"]


DAMAGED = {
    "a byte that is no UTF-8": b'{"number":1,"wall":"","severity":"info","text":"a\xffb"}',
    "nested without end": b'{"number":1,"wall":"","severity":"info","text":"a","x":'
    + b"[" * 100_000,
    "no entry": b"[1, 2]",
    "no JSON": b"\x00" * 30,
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_line_costs_that_line(tmp_path: Path, what: str) -> None:
    journal = Journal()
    journal.open(tmp_path)
    journal.add("info", "before")
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(DAMAGED[what] + b"\n")
    journal.add("info", "after")
    journal.close()
    assert [entry.text for entry in read_entries(tmp_path)] == ["before", "after"]


def test_of_a_long_journal_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daq.folder.journal.MOST_BYTES", 1000)
    journal = Journal()
    journal.open(tmp_path)
    for k in range(100):
        journal.add("info", f"entry {k}")
    journal.close()
    found = [entry.text for entry in read_entries(tmp_path)]
    assert 5 < len(found) < 20
    assert found == [f"entry {k}" for k in range(100 - len(found), 100)]
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"number":')
    size = (tmp_path / FILE_NAME).stat().st_size
    journal.open(tmp_path)
    assert "10 bytes" in journal.tail[-1].text
    journal.close()
    assert (tmp_path / FILE_NAME).stat().st_size > size
    assert read_entries(tmp_path)[-2].text == "entry 99"


@pytest.mark.timeout(10)
def test_a_journal_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    assert read_entries(tmp_path) == []
    with pytest.raises(StorageError, match="not a regular file"):
        Journal().open(tmp_path)
