"""Orders to systemd and what it knows of a unit, by ``systemctl``; every call is bounded."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from daq.cli.common import CommandError

CALL_S = 60.0
RUNS_HERE = Path("/run/systemd/system")
"""There while systemd is the machine's first process (sd_booted(3))."""

SHOWN = ("LoadState", "ActiveState", "SubState", "ActiveEnterTimestamp", "NRestarts", "Result",
         "InvocationID", "MainPID")  # fmt: skip


class Systemd:
    """The machine's systemd; ``program`` is what orders are given with."""

    def __init__(self, program: Sequence[str] = ("systemctl",)) -> None:
        self._program = list(program)

    def start(self, *units: str) -> None:
        """Start units without waiting; their state is checked afterwards."""
        self._call("start", "--no-block", *units)

    def stop(self, *units: str) -> None:
        """Stop units and wait for their end, which their own limits bound."""
        self._call("stop", *units, within_s=10 * CALL_S)

    def restart(self, *units: str) -> None:
        """Restart units; once asked, systemd does it even if this process dies."""
        self._call("restart", "--no-block", *units)

    def forgive(self, *units: str) -> None:
        """Clear failures: a unit that was started too often could not even be started by hand."""
        for unit in units:  # one that is not loaded has none, which systemctl calls an error
            with contextlib.suppress(CommandError):
                self._call("reset-failed", unit)

    def reload(self) -> None:
        """Make systemd read the units again."""
        self._call("daemon-reload")

    def show(self, unit: str) -> dict[str, str]:
        """Return the properties ``SHOWN`` of a unit."""
        text = self._call("show", unit, f"--property={','.join(SHOWN)}", "--timestamp=unix")
        pairs = (line.partition("=") for line in text.splitlines())
        return {name: value for name, _, value in pairs}

    def _call(self, *words: str, within_s: float = CALL_S) -> str:
        argv = [*self._program, *words]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=within_s, check=False
            )
        except FileNotFoundError as error:
            raise CommandError(f"{argv[0]} is not there: this machine has no systemd") from error
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"{' '.join(argv)}: no answer within {within_s:g} s") from error
        if done.returncode:
            why = done.stderr.strip() or f"status {done.returncode}"
            raise CommandError(f"{' '.join(argv)}: {why}")
        return done.stdout
