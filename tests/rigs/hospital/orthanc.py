"""A real Orthanc of Debian's, with a storage of its own, that can be killed and started again."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

START_S = 20.0


def free_port() -> int:
    """Return a TCP port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """One archive. dicom, http: its ports; ours: where it commits."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
        if program is None:
            pytest.skip("Orthanc is not installed: apt-get install orthanc")
        self.dicom, self.http, self.ours = free_port(), free_port(), free_port()
        self._argv = [program, str(folder / "orthanc.json")]
        (folder / "orthanc.json").write_text(json.dumps({
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "DicomAet": "ORTHANC", "DicomPort": self.dicom, "HttpPort": self.http,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [],
            "DicomModalities": {"t": {"AET": "TOMOSHIBI", "Host": "127.0.0.1", "Port": self.ours}},
        }))  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(self._argv, stdout=nothing, stderr=nothing)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                self.ask("system")
                return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None
                time.sleep(0.05)
        raise AssertionError(f"Orthanc does not answer within {START_S} s")

    def kill(self) -> None:
        """Kill it at once."""
        self.process.kill()
        self.process.wait(10)

    def ask(self, path: str) -> Any:
        """Return what it says at a path of its REST interface."""
        return json.loads(self.file(path))

    def file(self, path: str) -> bytes:
        """Return the bytes at a path."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{path}", timeout=5) as answer:
            return bytes(answer.read())
