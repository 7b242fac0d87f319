"""Tier 3: the QEMU machine: bounded, alone on its window, gone with the process that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import serial

from hw.machines.build import Image
from hw.machines.machine import MachineError
from hw.machines.memory_window import WindowError
from hw.machines.qemu import Qemu
from rigs.firmware.arm_modules import arm_image, needs_qemu, wait_until

pytestmark = needs_qemu

ORPHAN = """
import sys, time
from pathlib import Path
from hw.machines.build import build
from hw.machines.qemu import Qemu
machine = Qemu(folder=Path(sys.argv[1]), image=build("mps2"))
machine.start()
print(machine.pid, flush=True)
time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] not in "ZX"


def test_second_machine_on_one_window_is_refused(tmp_path):
    with Qemu(folder=tmp_path, image=arm_image()) as first:
        second = Qemu(folder=tmp_path, image=arm_image())
        with pytest.raises(WindowError, match="another machine runs on it"):
            second.start()
        second.close()
        assert first.alive
        pid = first.pid
        first.start()  # it runs already: nothing to do
        assert first.pid == pid


def test_image_that_is_not_there_is_named(tmp_path):
    image = Image(tmp_path / "nothing.elf", tmp_path, "mps2", 0, b"")
    with pytest.raises(MachineError, match=r"no image .*nothing\.elf; build it"):
        Qemu(folder=tmp_path, image=image).start()


def test_reset_of_a_machine_that_no_host_has_opened_says_so(tmp_path):
    with (
        Qemu(folder=tmp_path, image=arm_image()) as machine,
        pytest.raises(MachineError, match="has a host opened the serial port"),
    ):
        machine.reset()


def test_reset_of_a_stopped_machine_says_so(tmp_path):
    machine = Qemu(folder=tmp_path, image=arm_image())
    with pytest.raises(MachineError, match="QEMU does not run"):
        machine.reset()
    machine.close()


def test_stop_leaves_no_process_and_lets_the_window_go(tmp_path):
    machine = Qemu(folder=tmp_path, image=arm_image())
    for _ in range(2):
        machine.start()
        pid = machine.pid
        assert pid is not None and runs(pid)
        machine.stop()
        assert not machine.alive
        assert not runs(pid)
    machine.close()


def test_paused_guest_answers_when_it_goes_on(tmp_path):
    with (
        Qemu(folder=tmp_path, image=arm_image()) as machine,
        serial.serial_for_url(machine.serial_url, timeout=5) as line,
    ):
        assert line.read(64)
        machine.pause(True)
        time.sleep(0.1)  # what it said before
        line.reset_input_buffer()
        turns = machine.window.world["shown_alive"]
        time.sleep(0.1)
        assert machine.window.world["shown_alive"] == turns
        machine.pause(False)
        wait_until(lambda: machine.window.world["shown_alive"] > turns, "the guest to go on")


def test_dies_with_the_process_that_started_it(tmp_path):
    argv = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            assert runs(pid)
            os.kill(parent.pid, signal.SIGKILL)
            wait_until(lambda: not runs(pid), "the end of QEMU", within_s=5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
