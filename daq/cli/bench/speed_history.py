"""The history of speed: one JSON line for each recorded comparison, newest last.

Figures of different lines come from different machines and days and cannot be compared; the
``slower`` of each line (time over that of its ``base``, measured together) can be multiplied.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from daq.cli.common import CommandError

HISTORY = "benchmarks/history/warm_figures.jsonl"
FILE = Path(HISTORY)


def newest_commit(root: Path) -> str | None:
    """Return the commit of the newest line, None if there is none."""
    path = root / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not lines:
        return None
    try:
        return str(json.loads(lines[-1])["commit"])
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path}, line {len(lines)}: not a line of the history") from error


def append_line(root: Path, line: dict[str, Any]) -> Path:
    """Add a line with today's date; return the file."""
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    dated = {"date": dt.datetime.now(dt.UTC).date().isoformat(), **line}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dated, ensure_ascii=False) + "\n")
    return path
