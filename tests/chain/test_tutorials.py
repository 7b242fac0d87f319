"""The tutorials do what they say: commands run in an empty folder and print what is shown."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tutorial import ROOT, TutorialError, as_shown, run_page, session

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
NEEDS = {"without_a_scanner": ("gcc", "make")}
PAGE_S = 600.0
"""Far more than the half minute that a page takes on a machine that does nothing else."""


@pytest.mark.processes
@pytest.mark.timeout(PAGE_S + 20)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_sees_what_the_tutorial_shows(page: Path) -> None:
    missing = [tool for tool in NEEDS.get(page.stem, ()) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{page.name} needs {', '.join(missing)}, not found on PATH")
    command = [sys.executable, str(ROOT / "tests/tutorial.py"), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PAGE_S, check=False)
    assert done.returncode == 0, done.stderr


def test_there_is_a_tutorial_for_each_of_the_four() -> None:
    readers = ["at_the_scanner", "in_ci", "own_reconstruction", "without_a_scanner"]
    assert [page.stem for page in PAGES] == readers


@pytest.mark.parametrize("printed", ["42 prompts\nthe end\n", "7 prompts\nwarning\nthe end\n"])
def test_other_numbers_pass_and_lines_left_out_are_free(printed: str) -> None:
    lines = as_shown("12 prompts\n…\nthe end\n", printed)
    assert lines == [printed.splitlines()[0], "…", "the end"]


@pytest.mark.parametrize("printed", ["12 delayeds\n", "", "12 prompts\nand more\n"])
def test_other_words_do_not_pass(printed: str) -> None:
    with pytest.raises(TutorialError):
        as_shown("12 prompts\n", printed)


@pytest.mark.parametrize("block", ["sh\nfalse", "sh\necho 1 two", "python\nprint(1, 'two')"])
def test_a_page_that_fails_or_prints_something_else_is_found(tmp_path: Path, block: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```{block}\n```\n\n```text\n1 three\n```\n")
    with session() as reader, pytest.raises(TutorialError, match=r"page\.md:1"):
        run_page(page, reader)
