"""A headless demo as a child process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil


class Demo:
    """One run of ``tomoshibi demo --headless``, or ``replay``; what it says goes to ``said``."""

    def __init__(self, runs: Path, *options: str, command: Sequence[str] = ("demo",)) -> None:
        argv = [sys.executable, "-m", "daq.cli", *command, "--headless", "--json"]
        with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
            self.said = Path(log.name)
            self._process = subprocess.Popen(
                [*argv, "--runs", str(runs), *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def family(self) -> dict[str, psutil.Process]:
        """Return its processes by the command that they run."""
        found = {}
        for child in psutil.Process(self._process.pid).children(recursive=True):
            try:
                words = child.cmdline()
            except psutil.Error:
                continue
            if "daq.cli" in words:
                found[words[words.index("daq.cli") + 1]] = child
        return found

    @property
    def endpoint(self) -> str:
        """The address of its system, "" until it is told."""
        said = self.said.read_text(encoding="utf-8", errors="replace")
        return next((word for word in said.split() if word.startswith("ipc://")), "")

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def result(self) -> dict[str, Any]:
        """Wait for its end and return its summary."""
        out, _ = self._process.communicate()
        lines = out.splitlines()
        if not lines:
            raise SystemExit(f"the demo failed:\n{self.said.read_text(encoding='utf-8')}")
        result: dict[str, Any] = json.loads(lines[-1])
        return result

    def end(self) -> None:
        """End it, if it still runs."""
        self._process.terminate()
        self._process.communicate(timeout=60)
        self.said.unlink(missing_ok=True)
