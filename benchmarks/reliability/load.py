"""What gives way under load, and what never does (docs/reliability.md).

    python benchmarks/reliability/load.py [--activities 1 10 20 40] [--seconds 10]
        [--runs FOLDER] [--write docs/reliability.md]

Runs `tomoshibi demo --headless --library` at activities that two cores cannot follow, and sends
each of these runs through the chain again with `tomoshibi replay`, whose source costs less: that is
the load of a real scanner. Prints one JSON object a run; nothing may be lost, the books must close
and sorting the raw log again must give the same bits, whatever gave way.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from demo_run import Demo

from daq.cli.marked_page import markdown_table, write_between_marks
from daq.replay.sort_again import verify

MARK = "load"
COMMAND = "python benchmarks/reliability/load.py --write docs/reliability.md"
HEAD = [
    "activity, MBq; source",
    "singles/s, M",
    "slower than real time",
    "frames lost",
    "display less often, s",
    "image of a part, s",
    "sorting later, s",
    "events in the live image",
    "replay identical",
]


def measured(demo: Demo, activity_MBq: float, source: str) -> dict[str, Any]:
    """Wait for a run's end and sort its raw log again."""
    try:
        result = demo.result()
    finally:
        demo.end()
    folder, load = Path(result["run"]), result.get("load", {})
    return {
        "activity_MBq": activity_MBq,
        "source": source,
        "run": str(folder),
        "singles_M_per_s": result["singles"]["received"] / result["detector_time_s"] / 1e6,
        "slower": recording_s(folder) / result["detector_time_s"],
        "lost": result["frames"]["lost"],
        "conserved": result["conserved"],
        "steps_s": {step: load.get(step, {}).get("seconds", 0.0) for step in _STEPS},
        "fraction_used": result["images"]["fraction_used"],
        "undelivered": result["undelivered_to_imager"],
        "prompts": result["prompts"],
        "identical": verify(folder).identical,
        "condition": result["condition"],
    }


def recording_s(folder: Path) -> float:
    """Return the wall time from the run's start until its sources had sent all."""
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    found = {}
    for entry in map(json.loads, lines):
        for word in ("started", "stopping"):
            if entry["text"].startswith(word):
                found.setdefault(word, dt.datetime.fromisoformat(entry["wall"]))
    return (found["stopping"] - found["started"]).total_seconds()


_STEPS = ("display", "image", "sorting")


def row(one: dict[str, Any]) -> list[str]:
    """Return a run as a row of the table."""
    return [
        f"{one['activity_MBq']:g} {one['source']}",
        f"{one['singles_M_per_s']:.2f}",
        f"{one['slower']:.2f}",
        str(one["lost"]),
        *(f"{one['steps_s'][step]:.1f}" for step in _STEPS),
        f"{one['fraction_used']:.0%}",
        "yes" if one["identical"] and one["conserved"] else "NO",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--activities", type=float, nargs="+", default=[1, 10, 20, 40])
    parser.add_argument("--seconds", type=float, default=10.0, help="detector time of each")
    parser.add_argument("--runs", type=Path, help="folder with room for some GB")
    parser.add_argument("--write", type=Path, help="page with the marks of the table")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="load-", dir=options.runs) as folder:
        runs = Path(folder)
        for activity in options.activities:
            given = ["--activity-MBq", str(activity), "--duration", str(options.seconds)]
            first = measured(Demo(runs, "--library", *given), activity, "library")
            again = measured(Demo(runs, command=["replay", first["run"]]), activity, "replay")
            for one in (first, again):
                found.append(one)
                print(json.dumps(one), flush=True)
                shutil.rmtree(one["run"])
    if options.write:
        text = f"Written by `{COMMAND}`.\n\n{markdown_table(HEAD, [row(one) for one in found])}"
        write_between_marks(options.write, MARK, text)


if __name__ == "__main__":
    main()
