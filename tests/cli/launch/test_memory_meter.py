"""Memory of the processes of a demo: one that was killed and not waited for holds none."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from daq.cli.launch import memory_meter
from daq.cli.launch.memory_meter import MemoryMeter


def test_a_killed_process_is_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_meter, "EVERY_S", 0.0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    meter = MemoryMeter()
    meter.sample({"killed": child.pid})
    meter.sample({"here": os.getpid()})
    child.communicate()
    found = meter.report()
    assert list(found) == ["here"]
    assert found["here"]["early_MiB"] > 1
