"""How far emulated time falls behind with the whole chain on one core (docs/install.md).

    python benchmarks/reliability/lag_on_one_core.py [--runs 5] [--duration 30] [--write PAGE]

Each run is a `tomoshibi demo --headless` under `taskset`, at the activity that it chooses for
itself. Its telemetry is read from outside that core, where there is another. Printed, one JSON
object: for each run the load average before it, the chosen activity, the second of the first image,
the median lag, the greatest lag of the first ``START_S`` seconds of detector time and that of the
rest (both of samples, about one a second), the greatest lag of any period as the source itself
counted it, and the share of the prompts that the image used. The goal at the default is a lag of at
most 0.2 s; on a machine with other work the figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daq.cli.marked_page import markdown_table, write_between_marks
from daq.client.client import DisplayClient
from daq.client.register import running_systems
from hw.messages.endpoints import Endpoints

ROOT = Path(__file__).resolve().parents[2]
MARK = "lag-on-one-core"
START_S = 5.0
"""Detector time in which processes still start: what only the start costs lies in it."""

LONGEST_START_S = 300.0
"""With a first compilation of kernels."""

Sample = tuple[float, float]
"""Detector time and lag, s."""


@dataclass(frozen=True)
class Lag:
    """What one run showed; times in s, ``used`` from 0 to 1."""

    load_before: float
    activity_MBq: float
    first_image_s: float
    median_s: float
    start_s: float
    steady_s: float
    greatest_s: float
    used: float


def lag_of(samples: Sequence[Sample], summary: dict[str, Any], *, load_before: float) -> Lag:
    """Return the figures of one run from its telemetry and its summary."""
    start = [lag for time_s, lag in samples if time_s <= START_S]
    steady = [lag for time_s, lag in samples if time_s > START_S]
    return Lag(
        load_before=round(load_before, 2),
        activity_MBq=float(summary["activity_MBq"]),
        first_image_s=float(summary["start_to_first_image_s"]),
        median_s=round(statistics.median(start + steady), 3),
        start_s=round(max(start, default=0.0), 3),
        steady_s=round(max(steady, default=0.0), 3),
        greatest_s=round(max(float(one["max_lag_s"]) for one in summary["source"]), 3),
        used=round(float(summary["images"]["fraction_used"]), 4),
    )


def table(found: Sequence[Lag], *, duration_s: float) -> str:
    """Return the runs as a Markdown table, with how they were made."""
    head = [
        "load before", "activity, MBq", "first image, s", "median lag, s",
        f"greatest, first {START_S:g} s", "greatest, later", "greatest of any period",
        "prompts used",
    ]  # fmt: skip
    rows = [
        [
            f"{one.load_before:g}", f"{one.activity_MBq:g}", f"{one.first_image_s:.1f}",
            f"{one.median_s:.2f}", f"{one.start_s:.2f}", f"{one.steady_s:.2f}",
            f"{one.greatest_s:.2f}", f"{100 * one.used:.1f} %",
        ]
        for one in found
    ]  # fmt: skip
    made = f"{len(found)} runs of {duration_s:g} s, {time.strftime('%Y-%m-%d')}, {_processor()}:"
    return f"{made}\n\n{markdown_table(head, rows)}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return f"one core of an {line.partition(':')[2].strip()}"
    return "one core"


def measured(*, core: int, duration_s: float, seed: int) -> Lag:
    """Run one demo on one core and return its figures."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lag-") as runs:
        command = [
            "taskset", "-c", str(core), sys.executable, "-m", "daq.cli", "demo", "--headless",
            "--duration", f"{duration_s:g}", "--seed", str(seed), "--runs", runs, "--json",
        ]  # fmt: skip
        log = Path(runs) / "demo.log"
        with (
            log.open("w") as told,
            subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=told, text=True
            ) as process,
        ):
            samples = _followed(process, runs)
            out, _ = process.communicate(timeout=LONGEST_START_S)
        if process.returncode:
            raise SystemExit(f"the demo ended with {process.returncode}: {log.read_text()[-2000:]}")
        if not samples:
            raise SystemExit("the demo sent no telemetry while it ran: measure longer")
        return lag_of(samples, json.loads(out.splitlines()[-1]), load_before=load_before)


def _followed(process: subprocess.Popen[str], runs: str) -> list[Sample]:
    """Return detector time and lag, once for each heartbeat of the source, until the run ends."""
    samples: list[Sample] = []
    display = _display_of(process, runs)
    if display is None:
        return samples
    try:
        while process.poll() is None:
            telemetry = display.telemetry(timeout_s=0.5)
            if telemetry is None or telemetry.state != "running":
                if samples and telemetry is not None:
                    return samples  # it is closed: the rest is the last image
                continue
            sample = (telemetry.detector_time_s, telemetry.source_lag_s)
            if not samples or sample[0] - samples[-1][0] >= 0.9:
                samples.append(sample)
    finally:
        display.close()
    return samples


def _display_of(process: subprocess.Popen[str], runs: str) -> DisplayClient | None:
    until = time.monotonic() + LONGEST_START_S
    while process.poll() is None and time.monotonic() < until:
        for system in running_systems():
            if system.runs == runs:
                return DisplayClient(Endpoints(system.endpoint))
        time.sleep(0.2)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--duration", type=float, default=30.0, help="of each run, s")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table on this page")
    options = parser.parse_args()
    found = [
        measured(core=options.core, duration_s=options.duration, seed=seed + 1)
        for seed in range(options.runs)
    ]
    print(json.dumps([vars(one) for one in found], indent=1))
    if options.write:
        write_between_marks(options.write, MARK, table(found, duration_s=options.duration))


if __name__ == "__main__":
    main()
