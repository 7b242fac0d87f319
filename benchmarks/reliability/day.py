"""A day of detector time through one acquisition and one imager: a bounded log, again and again.

    python benchmarks/reliability/day.py [--hours 24] [--write docs/reliability.md]

Each run must have all frames, books that close and the coincidences of the first one, to the bit.
Ctrl-C ends it after the run under way, with what there is until then. Prints one JSON object: the
runs, and resident MiB, descriptors and threads of both processes, in each tenth of the runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
from demo_run import Demo
from soak import PARTS, Samples, tenths

from daq.cli.launch.live_chain import replay_plan
from daq.cli.marked_page import markdown_table, write_between_marks
from daq.client.client import ClientError, ControlClient
from hw.messages.endpoints import Endpoints

LOG_S = 600
LOG = ("--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.005", "--fast")
WAIT_S = 300.0
SAME = ("hash", "prompts", "delayeds", "singles", "frames")


class System:
    """An acquisition and an imager that stay, with a source for each run."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._plan, self._stack = (
            argparse.Namespace(name="", fast=True, runs=folder, headless=True),
            stack,
        )
        self._endpoints = Endpoints(f"ipc://{folder}/ipc")
        self.processes = {
            "acquire": self._start("acquire", "--preset", "bench2", "--runs", str(folder)),
            "imager": self._start("imager"),
        }
        self.control = stack.enter_context(ControlClient(self._endpoints))

    def _start(self, *argv: str) -> psutil.Process:
        process = subprocess.Popen(
            [sys.executable, "-m", "daq.cli", *argv, "--endpoint", self._endpoints.base],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for this program alone
        )
        self._stack.callback(_end, process)
        return psutil.Process(process.pid)

    def replay(self, log: Path) -> dict[str, Any]:
        """Send a log as a run of its own; return its summary, and forget it."""
        source = self._start("replay-source", str(log), "--fast")
        self._wait(lambda status: bool(status["sources"]))
        config = replay_plan(self._plan, log).config
        folder = Path(self.control.call("arm", **msgspec.to_builtins(config), timeout_s=60)["run"])
        self.control.call("start", timeout_s=60)
        self._wait(lambda status: status["state"] == "closed" and not status["sources"], source)
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        shutil.rmtree(folder)
        return summary

    def _wait(self, holds: Any, source: psutil.Process | None = None) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                status = self.control.call("status")
            except ClientError:
                status = {"sources": [], "state": ""}
            if source is not None and status["state"] == "closed":
                _end(source)
            if holds(status):
                return
            time.sleep(0.05)
        raise SystemExit(f"nothing happened within {WAIT_S:g} s: {status}")


def _end(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    try:
        process.terminate()
        process.wait(20)
    except psutil.NoSuchProcess:
        return


def day(log: Path, system: System, hours: float) -> tuple[Samples, dict[str, Any]]:
    """Replay until so much detector time has passed; what differs from the first run ends it."""
    samples: Samples = defaultdict(list)
    first: dict[str, Any] = {}
    seconds, runs, began = 0.0, 0, time.monotonic()
    ended: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: ended.append(number))
    while seconds < 3600 * hours and not ended:
        summary = system.replay(log)
        first = first or summary
        for name in SAME:
            if summary[name] != first[name]:
                raise SystemExit(f"run {runs}: {name} is {summary[name]}, was {first[name]}")
        if not summary["conserved"] or summary["frames"]["lost"]:
            raise SystemExit(f"run {runs}: {summary['frames']}, {summary['conditions']}")
        seconds, runs = seconds + summary["detector_time_s"], runs + 1
        for name, process in system.processes.items():
            samples[f"{name} MiB"].append(process.memory_info().rss / 2**20)
            samples[f"{name} descriptors"].append(process.num_fds())
            samples[f"{name} threads"].append(process.num_threads())
        print(f"\r{seconds / 3600:.1f} h, {runs} runs", end="", file=sys.stderr, flush=True)
    return samples, {
        "runs": runs,
        "detector_time_s": seconds,
        "elapsed_s": time.monotonic() - began,
        "singles": first["singles"]["received"] * runs,
        "condition": first["condition"],
    }


def text_of(found: dict[str, Any], hours: float) -> str:
    """Return the table."""
    rows = [[name, *(f"{v:g}" for v in values)] for name, values in found["tenths"].items()]
    told = (
        f"Written by `python benchmarks/reliability/day.py --hours {hours:g}`: "
        f"{found['runs']} runs, {found['detector_time_s'] / 3600:.1f} h of detector time in "
        f"{found['elapsed_s']:.0f} s, {found['singles']} singles; no frame was lost, all books "
        "close, and each run has the coincidences of the first one to the bit."
    )
    head = ["median in each tenth of the runs", *map(str, range(1, PARTS + 1))]
    return f"{told}\n\n{markdown_table(head, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0, help="detector time")
    parser.add_argument("--write", type=Path, help="page with the marks of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="day-") as folder, ExitStack() as stack:
        made = Demo(Path(folder), *LOG, "--duration", str(LOG_S), "--name", "log")
        stack.callback(made.end)
        made.result()
        system = System(Path(folder), stack)
        samples, found = day(Path(folder) / "log", system, options.hours)
    found["tenths"] = {name: tenths(values) for name, values in sorted(samples.items())}
    print(json.dumps(found), flush=True)
    if options.write:
        write_between_marks(options.write, "day", text_of(found, options.hours))


if __name__ == "__main__":
    main()
