"""Makes the emulated runs that other benchmarks measure, as far as a folder has none of that name.

A run that is there, with its ``summary.json``, is used as it is; remove its folder to make it anew.
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
    """Run a command to its end; what it tells goes to stderr."""
    subprocess.run([sys.executable, "-m", "daq.cli", *words], check=True, stdout=sys.stderr)


def demo(folder: Path, name: str, *options: str) -> Path:
    """Return the folder of a run, made with ``tomoshibi demo`` if it is not there."""
    run = folder / name
    if not (run / "summary.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        tomoshibi("demo", "--headless", "--fast", "--live-frames", "0", "--runs", str(folder),
                  "--name", name, *options)  # fmt: skip
    return run


def text_file(path: Path, text: str) -> str:
    """Write a file if it is not there; return its path as words of a command have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text)
    return str(path)


def normalisation(folder: Path, *options: str) -> Path:
    """Return the normalisation set of an annulus in air: of the run ``norm``, by ``options``."""
    path = folder / "norm.npz"
    if not path.exists():
        annulus = text_file(folder / "annulus.toml", ANNULUS)
        run = demo(folder, "norm", "--phantom", annulus, *options)
        rings = ("--radius-mm", "90", "--inner-radius-mm", "80", "--length-mm", "152")
        tomoshibi("calibrate", "normalisation", str(run), *rings, "--output", str(path))
    return path
