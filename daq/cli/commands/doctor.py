"""Check this machine: libraries, display, disk, ports, clock, service; trouble has its remedy.

The exit status is 0 where nothing stops the demo, 1 otherwise.

What the doctor looks at: each check says what was found and, where it hurts, the remedy.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from daq.cli.appliance.machine_checks import (
    Finding,
    fonts,
    hospital_peers,
    serial_ports,
    service,
)
from daq.cli.appliance.places import Places
from daq.cli.appliance.systemd import Systemd
from daq.cli.common import add_endpoint_option, add_json_option, add_runs_option, finish
from daq.cli.launch.kernels import compiled, is_warm
from daq.client.client import ClientError, ControlClient
from hw.kernel_cache import kernel_folder
from hw.messages.endpoints import Endpoints
from hw.wall_clock_sync import clock_is_synchronised

EXAMPLES = """\
examples:
  tomoshibi doctor
  tomoshibi doctor --json
"""

MARKS = {"ok": "ok     ", "warning": "WARNING", "trouble": "TROUBLE"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_endpoint_option(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Check everything and tell."""
    from hw.messages.endpoints import Endpoints

    findings = examine(Endpoints(options.endpoint), options.runs)
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.verdict]}  {finding.what}: {finding.found}")
        if finding.remedy:
            lines.append(f"           → {finding.remedy}")
    healthy = all(finding.verdict != "trouble" for finding in findings)
    result = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
    finish(options, result, "\n".join(lines))
    return 0 if healthy else 1


LIBRARIES = ("numpy", "numba", "zmq", "msgspec", "crc32c", "serial", "nibabel", "scipy")
QT_APT = (
    "sudo apt-get install libgl1 libegl1 libglib2.0-0 libfontconfig1 libxkbcommon0 libdbus-1-3 "
    "fonts-dejavu-core"
)
DISK_WORDS = "a run writes 8 bytes a single and 32 a coincidence: free enough for its rates"
WANTED_FREE_GB = 5.0
NEEDED_FREE_GB = 0.5


def examine(endpoints: Endpoints, runs: Path) -> list[Finding]:
    """Return all findings; no check takes more than a few seconds."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _libraries,
        _qt,
        _display,
        lambda: _disk(runs),
        _cache,
        lambda: _ports(endpoints),
        _serial_ports,
        _clock,
        _cores,
        fonts,
        hospital_peers,
        lambda: service(Places(), Systemd()),
    ]
    return [check() for check in checks]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _libraries() -> Finding:
    missing = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    if missing:
        return Finding("libraries", "trouble", ", ".join(missing), "./tomoshibi sets them up")
    return Finding("libraries", "ok", f"all {len(LIBRARIES)} import")


def _qt() -> Finding:
    """Open and close a Qt application in another process: a broken Qt kills its process."""
    code = "from pyqtgraph.Qt import QtWidgets, QT_LIB; QtWidgets.QApplication([]); print(QT_LIB)"
    env = {"PYQTGRAPH_QT_LIB": "PySide6", **os.environ, "QT_QPA_PLATFORM": "offscreen"}  # as gui
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, env=env
        )
    except subprocess.TimeoutExpired:
        return Finding("qt", "trouble", "no answer within 20 s", QT_APT)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return Finding("qt", "trouble", words[-1], QT_APT)
    return Finding("qt", "ok", done.stdout.strip())


def _display() -> Finding:
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        if os.environ.get(name):
            return Finding("display", "ok", f"{name}={os.environ[name]}")
    return Finding(
        "display", "warning", "none: the console runs offscreen and leaves screenshots",
        "log in at a desktop, or ssh -X, to see the window",
    )  # fmt: skip


def _disk(runs: Path) -> Finding:
    folder = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.exists())
    free_GB = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    found = f"{free_GB:.1f} GB free in {folder}"
    if not writable or free_GB < NEEDED_FREE_GB:
        found += "" if writable else ", not writable"
        return Finding("disk", "trouble", found, "free some, or choose another --runs folder")
    verdict: Literal["ok", "warning"] = "ok" if free_GB > WANTED_FREE_GB else "warning"
    return Finding("disk", verdict, found, "" if verdict == "ok" else DISK_WORDS)


def _cache() -> Finding:
    done, all_of_them = compiled()
    found = f"{done} of {all_of_them} compiled, in {kernel_folder()}"
    if is_warm():
        return Finding("kernels", "ok", found)
    return Finding("kernels", "warning", found, "`tomoshibi warm` (the demo does what it needs)")


def _ports(endpoints: Endpoints) -> Finding:
    with ControlClient(endpoints) as daq:
        try:
            status = daq.call("status", timeout_s=0.5)
        except ClientError:
            return Finding("endpoint", "ok", f"{endpoints.base}: free, no acquisition runs")
    return Finding("endpoint", "ok", f"{endpoints.base}: an acquisition runs, {status['state']}")


def _serial_ports() -> Finding:
    from serial.tools import list_ports

    return serial_ports([port.device for port in list_ports.comports()])


def _clock() -> Finding:
    """Times are taken from CLOCK_MONOTONIC; the wall clock only dates the runs."""
    if time.time() < 1_700_000_000:
        return Finding("clock", "trouble", time.ctime(), "set the date: runs are named by it")
    if clock_is_synchronised() is False:
        remedy = "`timedatectl set-ntp true`, or chrony: times of injection are compared with it"
        return Finding("clock", "warning", f"{time.ctime()}, not synchronised", remedy)
    resolution_ns = time.get_clock_info("monotonic").resolution * 1e9
    kept = "synchronised" if clock_is_synchronised() else "nobody can say whether synchronised"
    return Finding("clock", "ok", f"{time.ctime()}, {kept}, resolution {resolution_ns:g} ns")


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        return Finding("cores", "warning", f"{cores}", "the live demo wants two at 1 MBq")
    return Finding("cores", "ok", f"{cores}")
