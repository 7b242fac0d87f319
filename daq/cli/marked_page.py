"""A Markdown page parts of which a command writes, between marks that bear the part's name."""

from __future__ import annotations

from pathlib import Path

from daq.cli.common import CommandError


def write_between_marks(page: Path, name: str, text: str, *, heading: str | None = None) -> None:
    """Put a text between a page's marks of a name.

    heading : where the page has no such marks, they are added at its end, below this; None: they
        must be there

    Raises
    ------
    CommandError
        if the page cannot be read or written, or has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        before, found, rest = page.read_text(encoding="utf-8").partition(begin)
        if not found and heading is None:
            raise CommandError(f"{page} has no mark {begin}: where is the text to go?")
        after = rest.partition(end)[2]
        if not found:
            title = "" if heading and heading in before else heading
            before, after = f"{before.rstrip()}\n\n{title}", "\n"
        page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{page}: cannot be written: {error.strerror}") from error


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table; all columns but the first hold numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
