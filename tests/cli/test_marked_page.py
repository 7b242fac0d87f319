"""Parts of a page that commands write, between marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.cli.common import CommandError
from daq.cli.marked_page import markdown_table, write_between_marks

PAGE = "# Page\n\n<!-- a -->\nold\n<!-- /a -->\n\nkept\n\n<!-- b -->\n<!-- /b -->\n"


def test_only_what_is_between_the_marks_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    for _ in range(2):  # writing the same again changes nothing
        write_between_marks(page, "a", "new\n")
        write_between_marks(page, "b", markdown_table(["x", "n"], [["one", "1"]]))
    expected = PAGE.replace("old", "new").replace(
        "<!-- b -->\n", "<!-- b -->\n| x | n |\n| --- | ---: |\n| one | 1 |\n"
    )
    assert page.read_text(encoding="utf-8") == expected


def test_a_page_without_the_marks_is_an_error_unless_there_is_a_heading(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n", encoding="utf-8")
    with pytest.raises(CommandError, match="has no mark <!-- a -->"):
        write_between_marks(page, "a", "text")
    for name in ("a", "b"):
        write_between_marks(page, name, f"text {name}", heading="## Parts\n\n")
    text = page.read_text(encoding="utf-8")
    assert text.count("## Parts") == 1
    assert text.index("text a") < text.index("text b")
    with pytest.raises(CommandError, match="cannot be written"):
        write_between_marks(tmp_path / "none.md", "a", "text")
