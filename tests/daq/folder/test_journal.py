"""Repeated entries of the journal are folded, counted and told; what is new is never held back."""

from __future__ import annotations

import json
from pathlib import Path

from daq.folder.journal import BURST, FILE_NAME, FOLD_S, MOST_CHARACTERS, Journal


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


def test_a_journal_that_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    journal = Journal(clock=Now())
    journal.open(tmp_path / "gone")
    assert "the journal cannot be written" in journal.tail[-1].text


def test_words_that_are_no_utf8_are_written_as_far_as_they_are(tmp_path: Path) -> None:
    journal = Journal(clock=Now())
    journal.open(tmp_path)
    journal.add("alarm", "cannot read \udcff.npz")
    assert "cannot read ?.npz" in (tmp_path / FILE_NAME).read_text(encoding="utf-8")
