"""Children: those in the background yield as told; one in the foreground ends with who waits for
it, and leaves no zombie."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from daq.cli.launch.processes import Children

WAITING = """
import json, sys
import psutil
from daq.cli.launch.processes import run_to_end

sys.executable = sys.argv[1]
try:
    status = run_to_end([])
except KeyboardInterrupt:
    status = "interrupted"
left = [child.status() for child in psutil.Process().children()]
print(json.dumps({"status": status, "left": left}))
"""

POLITE = "#!/bin/sh\ntrap 'echo told to leave; exit 0' TERM\n"
STUBBORN = "#!/bin/sh\ntrap 'echo told to leave' TERM\n"
WAITS = "echo ready\nwhile :; do sleep 0.02; done\n"


class Foreground:
    """A process that waits for a child of its own, which is a shell script."""

    def __init__(self, folder: Path, script: str) -> None:
        program, self.log = folder / "program", folder / "log"
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WAITING, str(program)],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def child(self) -> psutil.Process:
        """Wait until the child works; return it."""
        deadline = time.monotonic() + 30
        while "ready" not in self.log.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline, "the child was not started"
            time.sleep(0.02)
        [child] = psutil.Process(self.process.pid).children()
        return child

    def result(self) -> tuple[int | str, list[str]]:
        """Return what the waiting ended with, and the states of the children that are left."""
        out, _ = self.process.communicate(timeout=30)
        told = json.loads(out)
        return told["status"], told["left"]


def test_a_child_in_the_foreground_runs_to_its_end_and_its_status_is_told(tmp_path: Path) -> None:
    assert Foreground(tmp_path, "#!/bin/sh\nexit 3\n").result() == (3, [])


@pytest.mark.parametrize("script", [POLITE + WAITS, STUBBORN + WAITS], ids=["polite", "stubborn"])
def test_ctrl_c_stops_and_reaps_the_child_in_the_foreground(tmp_path: Path, script: str) -> None:
    waiting = Foreground(tmp_path, script)
    child = waiting.child()
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.result() == ("interrupted", [])
    assert not child.is_running()
    assert "told to leave" in waiting.log.read_text(encoding="utf-8")


def test_one_more_ctrl_c_kills_a_child_that_does_not_leave(tmp_path: Path) -> None:
    waiting = Foreground(tmp_path, STUBBORN + WAITS)
    child = waiting.child()
    waiting.process.send_signal(signal.SIGINT)
    while "told to leave" not in waiting.log.read_text(encoding="utf-8"):
        assert waiting.process.poll() is None
        time.sleep(0.01)
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.result() == ("interrupted", [])
    assert not child.is_running()


def test_a_child_in_the_background_yields_within_our_session_and_hears_no_ctrl_c(
    tmp_path, monkeypatch
):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{WAITS}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    children = Children(tmp_path / "logs")
    pid = children.start("imager", [], niceness=7).process.pid
    try:
        # in a session of its own it would get as much of a processor as all of ours together
        assert os.getsid(pid) == os.getsid(0)
        assert os.getpgid(pid) == pid != os.getpgid(0)
        assert psutil.Process(pid).nice() == psutil.Process().nice() + 7
    finally:
        children.stop()
