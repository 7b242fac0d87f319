"""What other people's programs read of our files, and how far it is from ours.

    python benchmarks/interop                              # a table on the terminal
    python benchmarks/interop --write docs/interop.md      # the page's table anew
    python benchmarks/interop --only DICOM

Each format is written by the project's own code and read by a program that knows nothing of it,
from PyPI or Debian; a difference is measured, none is typed. A program that is not here is named
with what to install. Status 1 where a difference is more than the format's own rounding.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests"), str(ROOT)]

from interop import hospital, images, lists, tables  # noqa: E402
from interop.row import Check, MissingProgramError, Row  # noqa: E402

from daq.cli.marked_page import write_between_marks  # noqa: E402
from hw.errors import TomoshibiError  # noqa: E402

CHECKS: dict[str, Check] = {**images.CHECKS, **lists.CHECKS, **tables.CHECKS,
                            **hospital.CHECKS}  # fmt: skip


def measured(names: list[str]) -> tuple[list[Row], dict[str, str]]:
    """Return the rows, and for what is not here how to install it."""
    rows, missing = [], {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="interop-") as folder:
            try:
                rows.append(CHECKS[name](Path(folder)))
            except MissingProgramError as error:
                missing[name] = str(error)
            except (TomoshibiError, RuntimeError, OSError, ValueError) as error:
                rows.append(Row(*name.split(" × "), "nothing", f"failed: {error}", good=False))
        print(f"{name}: {missing.get(name) or rows[-1].difference}", file=sys.stderr)
    return rows, missing


def table(rows: list[Row], missing: dict[str, str]) -> str:
    """Return the page's part."""
    head = ["format", "program", "what it read", "difference to ours"]
    lines = [head, ["---"] * 4]
    lines += [[one.format, one.program, one.read, one.difference] for one in rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if missing:
        text += "\n\nNot here on that day:\n\n"
        text += "\n".join(f"- {name}: `{how}`" for name, how in missing.items())
    bad = sum(not one.good for one in rows)
    return f"{dt.date.today():%-d %B %Y}; {len(rows)} comparisons, {bad} with a finding.\n\n{text}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name has this word")
    options = parser.parse_args()
    rows, missing = measured([name for name in CHECKS if options.only in name])
    text = table(rows, missing)
    print(text)
    if options.write:
        write_between_marks(options.write, "interop", text)
    return 1 if any(not one.good for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
