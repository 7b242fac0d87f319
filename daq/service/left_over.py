"""Runs that died before this daq started: repaired in the background, by a process of its own.

It is the command ``tomoshibi recover``, at low priority, so that it does not delay a new run.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from daq.replay.run_recovery import needs_recovery, unfinished
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.parent_death import die_with_parent

NICENESS = "15"
END_S = 2.0


class LeftOver:
    """What runs in a folder need recovery, and the process that does it."""

    def __init__(self, runs_root: Path) -> None:
        self._root = runs_root
        self._folders: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> list[JournalLine]:
        """Start repairing what needs it; return what the journal should say."""
        self._folders = unfinished(self._root)
        if not self._folders:
            return []
        names = ", ".join(folder.name for folder in self._folders)
        argv = [sys.executable, "-m", "daq.cli", "recover", *map(str, self._folders)]
        try:
            self._process = subprocess.Popen(
                ["nice", "-n", NICENESS, *argv, "--threads", "1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent,  # it can be repeated
            )  # fmt: skip
        except OSError as error:
            return [notice("run.cannot_recover_now", runs=names, why=error)]
        return [notice("run.left_over", runs=names)]

    def look(self) -> list[JournalLine]:
        """Return what the journal should say now."""
        if self._process is None or self._process.poll() is None:
            return []
        self._process = None
        left = [folder.name for folder in self._folders if needs_recovery(folder)]
        good = [folder.name for folder in self._folders if folder.name not in left]
        words = f"cut off when the daq ended, now recovered: {', '.join(good)}"
        lines = [JournalLine("info", words)] if good else []
        if left:
            lines.append(notice("run.not_recovered", runs=", ".join(left)))
        return lines

    def end(self) -> None:
        """Stop it, within a bound; the run it was working on can be recovered later."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
