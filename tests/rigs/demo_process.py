"""Runs ``tomoshibi demo`` as a user would, and looks for processes left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

SMALL = ["--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.3"]


def demo(runs: Path, *options: str, headless: bool = True) -> subprocess.Popen[str]:
    """Start a small demo."""
    argv = [sys.executable, "-m", "daq.cli", "demo", *SMALL, "--runs", str(runs), "--json"]
    look = ["--headless"] if headless else []
    return subprocess.Popen(
        [*argv, *look, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def family(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """Return the demo's processes by command (acquire, imager, emulate, console)."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if "daq.cli" in words:
            found[words[words.index("daq.cli") + 1]] = child
    return found


def result_of(process: subprocess.Popen[str], *, timeout_s: float = 90.0) -> dict[str, Any]:
    """Wait for the end and return the JSON object on the last line of stdout."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result
