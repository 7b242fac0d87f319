"""What an acceptance test found: as text, as JSON, as sections of a report, in a document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.marked_page import write_between_marks

if TYPE_CHECKING:
    from recon.acceptance.judged import Part
    from recon.analysis.report import Section

NAMES = {"nu2": "NEMA NU 2-2018", "nu4": "NEMA NU 4-2008"}
HEAD = ("figure", "value", "limit", "verdict")


def summary(parts: list[Part]) -> dict[str, int]:
    """Return how many figures have each verdict, and how many parts were not measured."""
    count: dict[str, int] = {}
    for part in parts:
        for word in [one.verdict for one in part.figures] or [part.verdict]:
            count[word] = count.get(word, 0) + 1
    return count


def as_text(parts: list[Part]) -> str:
    """Return all figures, deviations and reasons, for a terminal."""
    lines: list[str] = []
    for part in parts:
        lines.append(part.title)
        if part.reason:
            lines += [f"  {part.verdict}: {part.reason}", ""]
            continue
        rows = [one.cells for one in part.figures]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
                  for row in rows]  # fmt: skip
        lines += [f"  deviation: {words}" for words in part.deviations]
        lines.append("")
    return "\n".join([*lines, summary_text(parts)])


def summary_text(parts: list[Part]) -> str:
    """Return the summary in words."""
    return ", ".join(f"{n} {word}" for word, n in summary(parts).items())


def as_result(standard: str, scanner: str, parts: list[Part]) -> dict[str, Any]:
    """Return as plain values, for JSON."""
    return {
        "standard": NAMES[standard], "scanner": scanner, "summary": summary(parts),
        "parts": [part.as_result() for part in parts],
    }  # fmt: skip


def sections(standard: str, scanner: str, parts: list[Part]) -> list[Section]:
    """Return the report: a page that sums up, then each part that runs were given for."""
    from recon.analysis.report import Section, Table

    rows = [[part.title, str(len(part.figures)), part.verdict] for part in parts]
    words = [f"{NAMES[standard]}, scanner {scanner}: {summary_text(parts)}."]
    first = Section("Summary", words, [Table(["part", "figures", "verdict"], rows)])
    return [first, *(part.sections() for part in parts if part.runs_given)]


def write_into(path: Path, key: str, command: str, parts: list[Part]) -> None:
    """Write the figures into a Markdown page, between the marks of ``key``, else at its end.

    Each part has the command that measured it. One that was given no runs stays as the page has it.

    Raises
    ------
    CommandError
        if the page cannot be read or written.
    """
    there = _parts_there(path, f"acceptance {key}")
    kept = {part.name for part in parts if not part.runs_given} & set(there)
    texts = [there[part.name] if part.name in kept else _part_text(part, command) for part in parts]
    words = "Each part is written by the command above its figures, not edited by hand: "
    body = [f"### {key}", "", f"{words}{_verdicts(texts)}.", "", *texts]
    write_between_marks(path, f"acceptance {key}", "\n".join(body), heading=TITLE)


def _part_text(part: Part, command: str) -> str:
    body = [_part_mark(part.name), f"**{part.title}**", ""]
    if part.reason:
        return "\n".join([*body, f"{part.verdict}: {part.reason}", ""])
    body += [f"`{command}`", "", "| " + " | ".join(HEAD) + " |", "|---|---:|---:|---|"]
    body += ["| " + " | ".join(one.cells) + " |" for one in part.figures]
    body += [f"\nDeviation: {words}." for words in part.deviations]
    return "\n".join([*body, ""])


def _part_mark(name: str) -> str:
    return f"<!-- part {name} -->"


def _parts_there(path: Path, name: str) -> dict[str, str]:
    """Return the texts of the parts that a page has between the marks of a name."""
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    block = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    _, *found = re.split(_part_mark(r"([\w-]+)"), block)
    return {
        part: f"{_part_mark(part)}\n{text.strip()}\n"
        for part, text in zip(found[::2], found[1::2], strict=True)
    }


def _verdicts(texts: list[str]) -> str:
    """Return how many figures of some parts' texts have each verdict, in words."""
    from recon.acceptance.judged import NOT_MEASURED

    found: dict[str, int] = {}
    for text in texts:
        rows = re.findall(r"^\|.*\| ([^|]+) \|$", text, flags=re.MULTILINE)
        for word in [one for one in rows if one != HEAD[-1]] or [NOT_MEASURED]:
            found[word] = found.get(word, 0) + 1
    return ", ".join(f"{n} {word}" for word, n in found.items())


TITLE = """\
## Acceptance by NEMA

The parts of `tomoshibi acceptance` from emulated runs of the shipped presets and of
[a small-animal ring](examples/mouse_ring.toml): [acceptance.md](acceptance.md).

"""


def kept_sections(page: str) -> str:
    """Return what acceptance wrote into a page, "" where it wrote nothing: whoever writes the rest
    of the page anew keeps it."""
    _, found, rest = page.partition(TITLE.splitlines()[0])
    return found + rest
