"""Makes the emulated runs that other benchmarks measure, unless the folder already has them.

A run with its ``summary.json`` is used as it is; remove its folder to make it again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ANNULUS = """\
name = "annulus in air"
[grid]
voxel_mm = 2.0
extent_mm = [184, 184, 156]
[[shape]]
kind = "cylinder"
radius_mm = 90
length_mm = 152
material = "air"
activity = 1.0
[[shape]]
kind = "cylinder"
radius_mm = 80
length_mm = 152
material = "air"
activity = 0.0
"""


def tomoshibi(*words: str) -> None:
    """Run a command to its end; its output goes to stderr."""
    subprocess.run([sys.executable, "-m", "daq.cli", *words], check=True, stdout=sys.stderr)


def demo(folder: Path, name: str, *options: str) -> Path:
    """Return the folder of a run, made with ``tomoshibi demo`` if missing."""
    run = folder / name
    if not (run / "summary.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        tomoshibi("demo", "--headless", "--fast", "--live-frames", "0", "--runs", str(folder),
                  "--name", name, *options)  # fmt: skip
    return run


def text_file(path: Path, text: str) -> str:
    """Write a file if missing; return its path as a command argument."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text)
    return str(path)


def normalisation(folder: Path, *options: str) -> Path:
    """Return the normalisation set of an annulus in air: from run ``norm``, with ``options``."""
    path = folder / "norm.npz"
    if not path.exists():
        annulus = text_file(folder / "annulus.toml", ANNULUS)
        run = demo(folder, "norm", "--phantom", annulus, *options)
        rings = ("--radius-mm", "90", "--inner-radius-mm", "80", "--length-mm", "152")
        tomoshibi("calibrate", "normalisation", str(run), *rings, "--output", str(path))
    return path
