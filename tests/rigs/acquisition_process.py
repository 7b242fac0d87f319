"""A running ``tomoshibi acquire`` process, and bounded waits for other processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daq.client.client import ClientError, ControlClient, DisplayClient
from hw.messages.endpoints import PLANES, Endpoints

WAIT_S = 20.0


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = WAIT_S) -> None:
    """Wait, up to a bound, for a condition of another process."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)


class Acquisition:
    """A running ``tomoshibi acquire`` process."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        preexec: Callable[[], None] | None = None,
        endpoints: Endpoints | None = None,
    ) -> None:
        self.runs = folder / "runs"
        self.endpoints = endpoints or Endpoints(f"ipc://{folder}/ipc")
        self.log = folder / "daq.log"
        argv = ["acquire", "--preset", "bench2", "--endpoint", self.endpoints.base]
        argv += ["--runs", str(self.runs), *options]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daq.cli", *argv],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=preexec,
                env=os.environ,
            )
        self.control = ControlClient(self.endpoints)
        wait_until(self.answers, "the daq's first answer")

    def answers(self) -> bool:
        """Whether the daq answers."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.control.call("ping", timeout_s=0.3)
        except ClientError:
            return False
        return True

    def start_run(self, source: Any) -> Path:
        """Arm and start a run with the source; return its folder."""
        armed = self.control.call("arm")
        self.control.call("start")
        source.wait_for_start()
        return Path(armed["run"])

    def state(self) -> str:
        """Return the run's state."""
        return str(self.control.call("status")["state"])

    def journal_tail(self) -> str:
        """Return the latest entries of the journal as displays show them."""
        display = DisplayClient(self.endpoints)
        try:
            telemetry = display.telemetry(timeout_s=WAIT_S)
        finally:
            display.close()
        assert telemetry is not None, "no telemetry came"
        return "\n".join(f"{entry.severity}: {entry.text}" for entry in telemetry.journal)

    def wait_for_state(self, state: str) -> None:
        """Wait until the run is in a state."""
        wait_until(lambda: self.state() == state, f"state {state}")

    def end(self) -> None:
        """Stop the process if it is still running."""
        self.control.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(5)


def free_tcp() -> Endpoints:
    """Return a TCP base whose planes' ports were free a moment ago."""
    for port in range(20_000 + os.getpid() % 20_000, 60_000, 10):
        try:
            for k in range(len(PLANES)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + k))
        except OSError:
            continue
        return Endpoints(f"tcp://127.0.0.1:{port}")
    raise AssertionError("no free ports")
