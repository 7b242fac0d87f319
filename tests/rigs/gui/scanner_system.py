"""The processes at the scanner, each started by its command, as they are at a scanner."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hw.messages.endpoints import Endpoints

PRESET = "bench2"


@dataclass
class System:
    """The processes at the scanner, each started by the command that docs/operations.md names."""

    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(f"ipc://{self.folder / 'q'}")

    def start(self, command: str, *options: str) -> None:
        """Start a command of ours."""
        argv = [sys.executable, "-m", "daq.cli", command, *options]
        log = (self.folder / f"{command}.log").open("ab")
        with log:
            self.children[command] = subprocess.Popen(
                [*argv, "--endpoint", self.endpoints.base], stdout=log, stderr=log
            )

    def start_emulator(self) -> None:
        """Start, or start again, what stands in for the detectors."""
        self.start("emulate", "--preset", PRESET, "--phantom", "point", "--activity-MBq", "1")

    def start_acquisition(self) -> None:
        """Start, or start again, the daq."""
        self.start("acquire", "--preset", PRESET, "--runs", str(self.runs))

    def kill(self, command: str) -> None:
        """Kill a process, as a crash would."""
        self.children[command].kill()
        self.children[command].wait()

    def end(self) -> None:
        """End all of them."""
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(30)
            child.kill()


@contextlib.contextmanager
def a_system(runs: Path | None) -> Iterator[System]:
    """Acquisition, emulator and imager; ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="tomoshibi-scan-") as place:
        system = System(Path(place))
        if runs is not None:
            system.runs.symlink_to(runs.resolve(), target_is_directory=True)
        try:
            system.start_acquisition()
            system.start_emulator()
            system.start("imager")
            yield system
        finally:
            system.end()
