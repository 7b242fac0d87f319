"""The whole live chain at a high rate: source, acquisition with logs, imager, console.

The source plays decays from an event library in real time, so that emulation costs little; the rest
runs as with a scanner. Latency is measured to where the image is seen: from its last event to the
end of its painting in the console.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from daq.cli.common import CommandError

PROMPTS_PER_S = 100_000.0
DURATION_S = 60.0
QUICK_S = 15.0
GOALS = {
    "images_per_s": ("least", 10.0),
    "screen_latency_p50_ms": ("most", 150.0),
    "screen_latency_p99_ms": ("most", 400.0),
    "fraction_used": ("least", 0.9),
}


def measure_live(*, quick: bool, keep: Path | None = None) -> dict[str, Any]:
    """Run the demo in load mode and return the figures.

    Raises
    ------
    CommandError
        if the run did not end well.
    """
    duration_s = QUICK_S if quick else DURATION_S
    with tempfile.TemporaryDirectory(prefix="tomoshibi-bench-") as scratch:
        summary = _demo(keep or Path(scratch), duration_s)
    return figures(summary)


def _demo(runs: Path, duration_s: float) -> dict[str, Any]:
    argv = ["demo", "--headless", "--json", "--preset", "caremibrain", "--phantom", "brain"]
    argv += ["--library", "--prompts-per-s", str(PROMPTS_PER_S), "--duration", str(duration_s)]
    done = subprocess.run(
        [sys.executable, "-m", "daq.cli", *argv, "--runs", str(runs)],
        stdout=subprocess.PIPE,
        check=False,
    )
    lines = done.stdout.decode("utf-8", errors="replace").splitlines()
    if done.returncode or not lines:
        raise CommandError(f"the live run ended with status {done.returncode}: see above")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def figures(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the benchmark's figures from a run's summary."""
    images, console = summary["images"], summary["console"]
    measured = {
        "prompts_per_s": summary["rates"]["mean"]["prompts"],
        "singles_per_s": summary["rates"]["mean"]["singles"],
        "images_per_s": images["rate_Hz"],
        "publish_latency_p50_ms": images["latency_ms"]["p50"],
        "publish_latency_p99_ms": images["latency_ms"]["p99"],
        "screen_latency_p50_ms": console.get("p50_screen_latency_ms", 0.0),
        "screen_latency_p99_ms": console.get("p99_screen_latency_ms", 0.0),
        "images_painted": console.get("images_painted", 0),
        "fraction_used": images["fraction_used"],
        "wall_over_detector_time": summary["elapsed_s"] / max(summary["detector_time_s"], 1e-9),
        "books_close": summary["conserved"],
        "cores": {name: one["cores"] for name, one in summary["processes"].items()},
    }
    return measured | {"goals": {name: _goal(name, measured) for name in GOALS}}


def _goal(name: str, measured: dict[str, Any]) -> str:
    kind, bound = GOALS[name]
    reached = measured[name] >= bound if kind == "least" else measured[name] <= bound
    return f"at {kind} {bound:g}: {'reached' if reached else 'missed'}"
