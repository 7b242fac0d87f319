"""Work on stored runs: one of our commands in a process of its own, followed without waiting.

The command writes JSON objects, a line each: what it has so far, and last its result. What it
writes for people on stderr, progress above all, is passed on.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pyqtgraph.Qt import QtCore

from gui.kit.words import tr
from hw.bounded_files import FileRefused, json_in

KILL_MS = 5000
"""After so long, a process that was asked to end is ended, as a rule."""

PROGRESS_S = "0.5"
"""So often it tells how far it is."""

MOST_BYTES = 64 * 2**20
"""Of a line; a longer one is given up."""


class Job(QtCore.QObject):
    """One command at a time.

    Signals
    -------
    told : words for people, as the command writes them
    came : each JSON object, as its line comes
    done : its last JSON object
    failed : its last words
    cancelled : its name, where somebody ended it
    """

    came = QtCore.Signal(object)
    told = QtCore.Signal(str)
    done = QtCore.Signal(object)
    failed = QtCore.Signal(str)
    cancelled = QtCore.Signal(str)

    def __init__(self, parent: QtCore.QObject, *, kill_ms: int = KILL_MS) -> None:
        """Make it; ``kill_ms``: for a command to end by itself when asked to."""
        super().__init__(parent)
        self._kill_ms = kill_ms
        self._process: QtCore.QProcess | None = None
        self._out = self._err = b""
        self._newest: Any = None
        self._cancelled = False
        self.name = ""

    @property
    def busy(self) -> bool:
        """Whether a command is under way."""
        return self._process is not None

    def start(self, name: str, *words: str) -> bool:
        """Start ``tomoshibi WORDS --json``; return whether that was possible."""
        if self.busy:
            return False
        process = QtCore.QProcess(self)
        self._process, self.name, self._cancelled = process, name, False
        self._out = self._err = b""
        self._newest = None
        environment = QtCore.QProcessEnvironment.systemEnvironment()
        environment.insert("TOMOSHIBI_PROGRESS_S", PROGRESS_S)
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._take_output)
        process.readyReadStandardError.connect(self._take_words)
        process.finished.connect(self._finish)
        process.errorOccurred.connect(self._fail_to_start)
        process.start(sys.executable, ["-m", "daq.cli", *words, "--json"])
        return True

    def cancel(self) -> None:
        """Ask the command to end, as Ctrl-C does; insist after a while."""
        process = self._process
        if process is None or not process.processId():
            return
        self._cancelled = True
        os.kill(process.processId(), signal.SIGINT)
        QtCore.QTimer.singleShot(self._kill_ms, process, process.kill)

    def end(self, *, gently: bool = False) -> None:
        """Kill it, for a window that closes; ``gently``: interrupt it first, and let it end."""
        process = self._process
        if process is None:
            return
        process.blockSignals(True)
        if gently and process.processId():
            os.kill(process.processId(), signal.SIGINT)
            process.waitForFinished(self._kill_ms)
        process.kill()
        process.waitForFinished(1000)
        self._process = None

    def _take_output(self) -> None:
        if self._process is None:
            return
        self._out += bytes(self._process.readAllStandardOutput().data())
        *lines, self._out = self._out.split(b"\n")
        for line in lines:
            self._take_line(line)
        if len(self._out) > MOST_BYTES:
            self._out = b""

    def _take_line(self, line: bytes) -> None:
        try:
            self._newest = json_in(line)
        except FileRefused:
            self._newest = None
        if self._newest is not None:
            self.came.emit(self._newest)

    def _take_words(self) -> None:
        if self._process is None:
            return
        self._err = (self._err + bytes(self._process.readAllStandardError().data()))[-4096:]
        words = self._last_words()
        if words:
            self.told.emit(words)

    def _last_words(self) -> str:
        lines = self._err.decode(errors="replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _fail_to_start(self, error: Any) -> None:
        if error == QtCore.QProcess.ProcessError.FailedToStart:
            self._process = None
            self.failed.emit(tr("{name}: the command could not be started", name=self.name))

    def _finish(self, status: int, _how: Any) -> None:
        self._take_output()
        if self._out.strip():
            self._take_line(self._out)
        self._process = None
        if self._cancelled:
            self.cancelled.emit(self.name)
            return
        if status == 0 and self._newest is not None:
            self.done.emit(self._newest)
        else:
            why = self._last_words() or tr("status {status}", status=status)
            self.failed.emit(f"{self.name}: {why}")
