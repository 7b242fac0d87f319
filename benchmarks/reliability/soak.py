"""An hour or a day of one run: memory, descriptors, threads, latency (docs/reliability.md).

    python benchmarks/reliability/soak.py [--minutes 60] [--activity-MBq 0.1]
        [--write docs/reliability.md --mark soak] [--samples FILE] [-- OPTIONS OF demo]

`--samples` keeps every sample, for `curves.py`. Of the imager's memory it is told what kind it is
(`memory_kinds.py`).

With `-- --fast` time runs as fast as the machine can: a day in less than an hour, of a source so
weak that its log is bounded. Prints one JSON object: per process, in each tenth of the run, the
median of resident MiB, descriptors and threads; the live image's latency in each tenth.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from demo_run import Demo
from memory_kinds import by_kind

from daq.cli.marked_page import markdown_table, write_between_marks
from daq.client.client import DisplayClient
from hw.messages.endpoints import Endpoints

EVERY_S = 2.0
PARTS = 10
Samples = dict[str, list[float]]


def sampled(demo: Demo) -> Samples:
    """Sample a demo until it ends; the names are process and quantity."""
    found: Samples = defaultdict(list)
    display: DisplayClient | None = None
    while not demo.ended:
        if display is None and demo.endpoint:
            display = DisplayClient(Endpoints(demo.endpoint))
        with contextlib.suppress(psutil.Error, OSError):
            for name, process in demo.family().items():
                found[f"{name} MiB"].append(process.memory_info().rss / 2**20)
                found[f"{name} descriptors"].append(process.num_fds())
                found[f"{name} threads"].append(process.num_threads())
                if name == "imager":
                    for kind, MiB in by_kind(process.pid).items():
                        found[f"imager {kind} MiB"].append(MiB)
        telemetry = display.telemetry(timeout_s=0.2) if display else None
        image = display.image() if display else None
        if telemetry and telemetry.state == "running" and image is not None:
            latency_ns = image.published_wall_ns - image.event_wall_ns
            found["image latency ms"].append(latency_ns * 1e-6)
        time.sleep(EVERY_S)
    if display:
        display.close()
    return found


def tenths(samples: list[float]) -> list[float]:
    """Return the median of each tenth."""
    count = max(1, len(samples) // PARTS)
    parts = [samples[k * count : (k + 1) * count] for k in range(PARTS)]
    return [round(statistics.median(part), 1) for part in parts if part]


def text_of(found: dict[str, Any], command: str) -> str:
    """Return the table."""
    head = ["median in each tenth of the run", *map(str, range(1, PARTS + 1))]
    rows = [[name, *(f"{v:g}" for v in values)] for name, values in found["tenths"].items()]
    told = (
        f"Written by `{command}`: {found['detector_time_s']:.0f} s of detector time in "
        f"{found['elapsed_s']:.0f} s, {found['singles']} singles, {found['lost']} frames lost, "
        f"{found['condition']}, the books "
        f"{'close' if found['conserved'] else 'do NOT close'}."
    )
    return f"{told}\n\n{markdown_table(head, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="detector time")
    parser.add_argument("--activity-MBq", type=float, default=0.1)
    parser.add_argument("--write", type=Path, help="page with the marks of the table")
    parser.add_argument("--mark", default="soak")
    parser.add_argument("--samples", type=Path, help="keep every sample here, as JSON")
    parser.add_argument("further", nargs="*", help="options of demo")
    options = parser.parse_args()
    given = ["--duration", str(60 * options.minutes), "--activity-MBq", str(options.activity_MBq)]
    with tempfile.TemporaryDirectory(prefix="soak-") as runs:
        demo = Demo(Path(runs), *given, *options.further)
        try:
            samples = sampled(demo)
            result = demo.result()
        finally:
            demo.end()
    found = {
        "tenths": {name: tenths(values) for name, values in sorted(samples.items()) if values},
        "detector_time_s": result["detector_time_s"],
        "elapsed_s": result["elapsed_s"],
        "singles": result["singles"]["received"],
        "lost": result["frames"]["lost"],
        "conserved": result["conserved"],
        "condition": "; ".join([result["condition"], *result["conditions"]]),
        "latency_ms": result["images"]["latency_ms"],
    }
    if options.samples:
        kept = {**found, "every_s": EVERY_S, "samples": samples}
        options.samples.write_text(json.dumps(kept), encoding="utf-8")
    print(json.dumps(found), flush=True)
    if options.write:
        command = f"python benchmarks/reliability/soak.py --minutes {options.minutes:g}"
        command += f" --activity-MBq {options.activity_MBq:g}"
        command += f" -- {' '.join(options.further)}" if options.further else ""
        write_between_marks(options.write, options.mark, text_of(found, command))


if __name__ == "__main__":
    main()
