"""Acquisition, link process and emulator as real processes, around modules owned by the test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daq.client.client import DisplayClient
from daq.link.modules.own_machines import MachineRing
from hw.messages.modules import ModuleState, ModuleStates
from rigs.acquisition_process import WAIT_S, Acquisition, wait_until

ACTIVITY_MBQ = "0.3"


class Process:
    """One of our commands in the background, its output in a file."""

    def __init__(self, log: Path, *argv: str) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daq.cli", *argv],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def end(self) -> None:
        """Ask it to stop; kill it if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


class FirmwareSystem:
    """Two native modules on serial lines, with everything a run needs.

    urls : makes the module's port from the machine's (a proxy, for tests that pull cables)
    """

    def __init__(
        self, folder: Path, *, urls: Callable[[int, str], str] = lambda module, url: url
    ) -> None:
        self.folder = folder
        self.windows = folder / "machines"
        self.ring = MachineRing(
            self.windows, modules=2, arm=0, data_path="serial", say=lambda words: None
        ).__enter__()
        self.machines = self.ring.machines
        self.daq = Acquisition(folder)
        self.display = DisplayClient(self.daq.endpoints)
        base = ["--preset", "bench2", "--endpoint", self.daq.endpoints.base]
        ports = [
            option
            for m, machine in enumerate(self.machines)
            for option in ("--port", f"{m}={urls(m, machine.serial_url)}")
        ]
        ports += ["--baud", "3000000", "--folder", str(folder / "link")]  # also where it is killed
        self.link = Process(folder / "link.log", "link", *base, *ports)
        source = ["--phantom", "point", "--activity-MBq", ACTIVITY_MBQ]
        source += ["--hits", str(self.windows)]
        self.emulator = Process(folder / "emulator.log", "emulate", *base, *source)

    def restart_daq(self) -> None:
        """Start another daq in place of one that was killed."""
        self.daq.control.close()
        self.display.close()
        self.daq = Acquisition(self.folder)
        self.display = DisplayClient(self.daq.endpoints)

    def status(self) -> dict[str, Any]:
        """Return the daq's status."""
        return self.daq.control.call("status")

    def wait_until_ready(self) -> None:
        """Wait until a run can begin."""
        wait_until(self._ready, f"readiness of all sources ({self.folder})", timeout_s=30)

    def _ready(self) -> bool:
        status = self.status()
        return len(status["sources"]) == 2 and not status["not_ready"]

    def begin_run(self) -> Path:
        """Arm and start a run and wait for its first data; return its folder."""
        self.wait_until_ready()
        folder = Path(self.daq.control.call("arm")["run"])
        self.daq.control.call("start")
        self.wait_for_time(0.2)
        return folder

    def wait_for_time(self, seconds: float) -> None:
        """Wait until this much more detector time has arrived."""
        begin = self._detector_time_s()
        what = f"{seconds} s more of data"
        wait_until(lambda: self._detector_time_s() >= begin + seconds, what)

    def _detector_time_s(self) -> float:
        telemetry = self.display.telemetry(timeout_s=WAIT_S)
        assert telemetry is not None
        return telemetry.detector_time_s

    def end_run(self, folder: Path) -> dict[str, Any]:
        """Stop the run; return its summary."""
        self.daq.control.call("stop", timeout_s=30)
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return summary

    def journal(self, folder: Path) -> str:
        """Return a run's journal."""
        return (folder / "journal.jsonl").read_text(encoding="utf-8")

    def daq_journal(self) -> str:
        """Return the tail of the daq's own journal."""
        telemetry = self.display.telemetry(timeout_s=WAIT_S)
        assert telemetry is not None
        return "\n".join(entry.text for entry in telemetry.journal)

    def states(self) -> ModuleStates:
        """Return the latest module states sent to a display."""
        states = self.display.modules(timeout_s=WAIT_S)
        assert states is not None, "no state of modules came"
        return states

    def wait_for_state(self, what: str, holds: Callable[[ModuleState], bool], module: int) -> None:
        """Wait until a module's state meets a condition."""
        wait_until(lambda: holds(self.states().modules[module]), what)

    def order(self, action: str, *modules: int, **values: Any) -> dict[str, Any]:
        """Send a command as the console does."""
        return self.daq.control.call(
            "module", action=action, modules=list(modules), values=values, timeout_s=15
        )

    def close(self) -> None:
        """End everything."""
        self.display.close()
        for process in (self.emulator, self.link):
            process.end()
        self.daq.end()
        self.ring.close()
