"""What the console costs and how quick it is, in a real window beside a real run.

    python benchmarks/console_cost.py [--minutes 3] [--activity-MBq 0.3] [--page live]

Needs Xvfb and openbox. A demo (caremibrain, brain) runs headless beside; the console opens three
times for the time to a usable window, then stays. Prints a table for docs/console.md: seconds from
the command to a painted window that shows the run, share of one core, frames per second, age of
the painted image from its last event, resident memory after a minute and at the end. How long a
start takes from the click is printed by ``tests/first_scan.py --json``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from reliability.demo_run import Demo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from rigs.gui.desktop import Desktop, missing, until  # noqa: E402

OPENINGS = 3
SIZE = "1280x800"
SETTLED_S = 60.0
SAMPLE_S = 5.0


def opened(
    endpoint: str, page: str, desktop: Desktop, shot: Path
) -> tuple[subprocess.Popen[str], float]:
    """Open a console; return it, and how long it took to show the run."""
    command = ["console", "--endpoint", endpoint, "--json", "--page", page, "--size", SIZE]
    began_s = time.monotonic()
    console = subprocess.Popen(
        [sys.executable, "-m", "daq.cli", *command, "--shot", f"running={shot}"],
        env=desktop.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until(shot.exists, "a console that shows the run")
    return console, time.monotonic() - began_s


def ended(console: subprocess.Popen[str]) -> dict[str, float]:
    """End a console; return what it says of itself."""
    console.send_signal(signal.SIGTERM)
    out, _ = console.communicate(timeout=30)
    return dict(json.loads(out.splitlines()[-1]))


def watched(console: subprocess.Popen[str], seconds: float) -> tuple[list[float], float]:
    """Return its resident memory in MiB, sampled, and its mean share of one core."""
    process = psutil.Process(console.pid)
    memory: list[float] = []
    time.sleep(SETTLED_S)
    before, since_s = sum(process.cpu_times()[:2]), time.monotonic()
    while time.monotonic() - since_s < seconds:
        memory.append(process.memory_info().rss / 2**20)
        if len(memory) % 60 == 1:
            print(f"{time.monotonic() - since_s:.0f} s: {memory[-1]:.1f} MiB", file=sys.stderr)
        time.sleep(SAMPLE_S)
    used = sum(process.cpu_times()[:2]) - before
    return memory, used / (time.monotonic() - since_s)


def tenths(memory: list[float]) -> str:
    """Return the samples at the end of each tenth of the time, in words."""
    return ", ".join(f"{memory[len(memory) * part // 10 - 1]:.0f}" for part in range(1, 11))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--activity-MBq", type=float, default=0.3)
    parser.add_argument("--page", default="live")
    asked = parser.parse_args()
    if missing():
        raise SystemExit(missing())
    seconds = 60.0 * asked.minutes
    with tempfile.TemporaryDirectory() as place, Desktop("1600x900") as desktop:
        os.environ["XDG_CONFIG_HOME"] = desktop.environment["XDG_CONFIG_HOME"] = place
        options = (
            "--activity-MBq",
            f"{asked.activity_MBq:g}",
            "--duration",
            f"{seconds + 200:.0f}",
        )
        demo = Demo(Path(place) / "runs", *options)
        try:
            until(lambda: demo.endpoint, "the demo", 200.0)
            took = []
            for number in range(OPENINGS):
                console, opening_s = opened(
                    demo.endpoint, asked.page, desktop, Path(place) / f"{number}.png"
                )
                took.append(opening_s)
                if number < OPENINGS - 1:
                    ended(console)
            memory, share = watched(console, seconds)
            told = ended(console)
        finally:
            demo.end()
    print("| figure | measured |\n|---|---|")
    for name, value in (
        ("window usable, warm", f"{statistics.median(took):.1f} s (of {OPENINGS})"),
        (f"share of one core, page {asked.page}", f"{100 * share:.0f} %"),
        ("frames per second", f"{told['mean_Hz']:.1f}"),
        ("a frame, p50 and p95", f"{told['p50_frame_ms']:.1f} and {told['p95_frame_ms']:.1f} ms"),
        (
            "age of the painted image, p50 and p99",
            f"{told['p50_screen_latency_ms']:.0f} and {told['p99_screen_latency_ms']:.0f} ms",
        ),
        ("images painted", f"{told['images_painted']}"),
        (
            f"resident memory, {SETTLED_S:g} s after opening and {asked.minutes:g} min later",
            f"{memory[0]:.1f} and {memory[-1]:.1f} MiB",
        ),
        ("... at the end of each tenth of them, MiB", tenths(memory)),
    ):
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
