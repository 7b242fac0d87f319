"""A run is kept, a test or discarded by a mark; a signature stands under what it was given for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from daq.errors import LogError, RunError
from daq.folder.identity.identity_file import Identity, write_identity
from daq.folder.identity.review_file import REVIEW_NAME, change_review, read_review, review_of

NOW = dt.datetime(2026, 11, 23, 11, 0, tzinfo=dt.UTC)


def change(folder: Path, **changes: str) -> Any:
    return change_review(folder, changes, now=NOW)


def test_a_run_is_decided_signed_and_told_in_its_journal(tmp_path: Path) -> None:
    assert read_review(tmp_path) is None
    change(tmp_path, verdict="keep", reviewed_by="M. Tanaka", note="quiet")
    review = read_review(tmp_path)
    assert review is not None
    words = "keep; reviewed by M. Tanaka at 2026-11-23T11:00:00+00:00; quiet"
    assert review.words() == words
    assert (tmp_path / REVIEW_NAME).stat().st_mode & 0o777 == 0o600
    assert words in (tmp_path / "journal.jsonl").read_text(encoding="utf-8")


def test_a_change_takes_the_signature_off(tmp_path: Path) -> None:
    change(tmp_path, verdict="keep", reviewed_by="M. Tanaka")
    review = change(tmp_path, verdict="discard", reason="it moved")
    assert (review.reviewed_by, review.reviewed_at) == ("", "")
    assert review.words() == "discard: it moved"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"verdict": "discard"}, "discarded for a reason"),
        ({"verdict": "maybe"}, "Invalid enum value"),
        ({"reviewed_at": "yesterday"}, "no date with time and offset"),
        ({"patient": "x"}, "unknown field"),
        ({"note": 5}, "Expected `str`"),
    ],
)
def test_what_cannot_be_is_refused_in_words(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        review_of(values)


def test_a_review_never_says_whom_it_is_about(tmp_path: Path) -> None:
    write_identity(tmp_path, Identity(name="Yamada Hanako"))
    with pytest.raises(RunError, match="contains the name"):
        change(tmp_path, note="Hanako was quiet")
    assert read_review(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"verdict": 3}'])
def test_a_spoilt_file_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / REVIEW_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(LogError, match=REVIEW_NAME):
        read_review(tmp_path)
