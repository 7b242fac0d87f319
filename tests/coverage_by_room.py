"""How much of each room's code the last `./tomoshibi test --cov` ran; a table for the documents.

python tests/coverage_by_room.py                          print it
python tests/coverage_by_room.py --write FILE.md          put it between the file's marks
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from daq.cli.marked_page import markdown_table, write_between_marks

MARK = "coverage"


def table() -> str:
    """Return the table of what coverage's data file holds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "-q", "-i", "-o", str(report)]
        subprocess.run(command, check=True, timeout=300)
        files = json.loads(report.read_text(encoding="utf-8"))["files"]
    lines, run, kernels = Counter[str](), Counter[str](), Counter[str]()
    here = {name: one for name, one in files.items() if not Path(name).is_absolute()}
    for name, one in here.items():  # the others are checkouts that tests made
        for key in (Path(name).parts[0], "all"):
            lines[key] += one["summary"]["num_statements"]
            run[key] += one["summary"]["covered_lines"]
            kernels[key] += one["summary"]["excluded_lines"]
    rows = [
        [key, str(lines[key]), f"{run[key] / max(1, lines[key]):.1%}", str(kernels[key])]
        for key in sorted(lines, key=lambda key: (key == "all", key))
    ]
    return markdown_table(["room", "statements", "run by tests", "not watched"], rows) + "\n"


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.write is None:
        print(table(), end="")
        return
    write_between_marks(options.write, MARK, table())


if __name__ == "__main__":
    main()
