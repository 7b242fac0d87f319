"""What gives way under load, and what never does (docs/reliability.md).

    python benchmarks/reliability/load.py [--activities 1 10 20 40] [--seconds 10]
        [--write docs/reliability.md]

Runs `tomoshibi demo --headless --library` at activities that two cores cannot follow, then sorts
each raw log again. Prints one JSON object a run; the raw log must be whole and the replay identical
whatever gave way.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from demo_run import Demo, table, write_into

from daq.replay.sort_again import verify

MARK = "load"
COMMAND = "python benchmarks/reliability/load.py --write docs/reliability.md"
HEAD = [
    "activity, MBq",
    "singles/s, M",
    "slower than real time",
    "frames lost",
    "display less often, s",
    "image of a part, s",
    "sorting later, s",
    "events in the live image",
    "replay identical",
]


def measured(activity_MBq: float, seconds: float, runs: Path) -> dict[str, Any]:
    """Run one activity and sort its raw log again."""
    demo = Demo(
        runs, "--library", "--activity-MBq", str(activity_MBq), "--duration", str(seconds),
        "--name", f"load-{activity_MBq:g}",
    )  # fmt: skip
    try:
        result = demo.result()
    finally:
        demo.end()
    folder, load = Path(result["run"]), result.get("load", {})
    return {
        "activity_MBq": activity_MBq,
        "singles_M_per_s": result["singles"]["received"] / result["detector_time_s"] / 1e6,
        "slower": result["elapsed_s"] / result["detector_time_s"],
        "lost": result["frames"]["lost"],
        "conserved": result["conserved"],
        "steps_s": {step: load.get(step, {}).get("seconds", 0.0) for step in _STEPS},
        "times": {step: load.get(step, {}).get("times", 0) for step in _STEPS},
        "fraction_used": result["images"]["fraction_used"],
        "undelivered": result["undelivered_to_imager"],
        "prompts": result["prompts"],
        "identical": verify(folder).identical,
        "condition": result["condition"],
        "cores": {name: one["cores"] for name, one in result["processes"].items()},
    }


_STEPS = ("display", "image", "sorting")


def row(one: dict[str, Any]) -> list[str]:
    """Return a run as a row of the table."""
    return [
        f"{one['activity_MBq']:g}",
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
    parser.add_argument("--write", type=Path, help="page with the marks of the table")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="load-") as runs:
        for activity in options.activities:
            found.append(measured(activity, options.seconds, Path(runs)))
            print(json.dumps(found[-1]), flush=True)
    if options.write:
        text = f"Written by `{COMMAND}`.\n\n{table(HEAD, [row(one) for one in found])}"
        write_into(options.write, MARK, text)


if __name__ == "__main__":
    main()
