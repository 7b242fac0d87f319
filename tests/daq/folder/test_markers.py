"""Markers: words in one line at a detector time, on the disk when they are set."""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.errors import LogError, RunError
from daq.folder.markers import FILE_NAME, MOST, Markers, marker_words, read_markers


def test_what_is_set_is_read_again_and_taken_up(tmp_path: Path) -> None:
    markers = Markers(tmp_path)
    assert markers.all == read_markers(tmp_path) == []
    markers.add("second injection", at_s=12.5)
    again = Markers(tmp_path)  # a daq that died comes back into the run
    again.add("Bewegung µ", at_s=20.0)
    assert [(one.at_s, one.text) for one in read_markers(tmp_path)] == [
        (12.5, "second injection"), (20.0, "Bewegung µ"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "  \n", "x" * 201, "a\x1b[2Jb", None, 7, ["a"]])
def test_words_that_are_none_or_too_many_are_refused(text: object) -> None:
    with pytest.raises(RunError, match="1 to 200 letters in one line"):
        marker_words(text)


def test_lines_are_joined() -> None:
    assert marker_words("  a\n b\t c ") == "a b c"


def test_there_is_a_bound(tmp_path: Path) -> None:
    markers = Markers(tmp_path)
    markers.all = [markers.add("a", at_s=0.0)] * MOST
    with pytest.raises(RunError, match="takes no more"):
        markers.add("b", at_s=1.0)


@pytest.mark.parametrize("content", ["", "[]", '{"markers": [{"at_s": "x"}]}', '{"markers": 3}'])
def test_a_damaged_file_is_told_and_never_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(LogError, match="holds no markers"):
        read_markers(tmp_path)
    with pytest.raises(RunError, match="correct it, or remove it"):
        Markers(tmp_path).add("a", at_s=0.0)
    assert (tmp_path / FILE_NAME).read_text() == content
