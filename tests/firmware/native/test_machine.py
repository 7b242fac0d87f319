"""The native machine: comes up, resets for real, keeps its port, and never outlives its starter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import serial

from hw.machines.build import build
from hw.machines.machine import MachineError
from hw.machines.native import Native
from hw.wire.control import COUNTER_HZ, FAULTS, SCHEMA_CRC, STRUCTS, Board, ResetCause, State
from rigs.firmware.native_line import Line
from rigs.host_pace import in_time

pytestmark = pytest.mark.firmware

WATCHDOG_FAULT = next(code for code, fault in FAULTS.items() if fault.name == "watchdog")


def wait_until(true, *, within_s: float = 3.0, what: str = "it") -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        time.sleep(0.005)


def test_hello_names_board_build_and_schema(native):
    with Line(native.serial_url) as line:
        identity = line.identity()
    assert identity["board"] == Board.posix
    assert identity["build"] == native.image.build_id
    assert identity["schema"] == SCHEMA_CRC
    assert identity["reset_cause"] == ResetCause.power_on
    assert identity["resets"] == 1
    assert identity["state"] == State.idle


def test_hello_comes_unasked_and_again_until_a_command_comes(native):
    with Line(native.serial_url) as line:
        line.notice("hello")
        line.notice("hello", within_s=1.5)
        line.identity()
        with pytest.raises(AssertionError, match="no notice"):
            line.notice("hello", within_s=1.3)


def test_stop_ends_the_process_and_the_window_can_be_used_again(native):
    process = native._process
    native.stop()
    # it left when asked, or while it was still starting: what does not is killed
    assert process.returncode in (0, -signal.SIGTERM)
    assert not native.alive
    native.start()
    with Line(native.serial_url) as line:
        assert line.identity()["resets"] == 1


def test_reset_button_starts_anew_while_the_port_stays_open(native):
    with Line(native.serial_url) as line:
        line.identity()
        pid = native.pid
        native.reset()
        identity = line.notice("hello")
        assert identity["reset_cause"] == ResetCause.software
        assert identity["resets"] == 2
        assert native.pid == pid
        assert line.identity()["resets"] == 2
    assert native.window.world["shown_starts"] == 2


def test_reset_by_command_answers_first(native):
    with Line(native.serial_url) as line:
        assert line.command("reset")[0] == 0
        assert line.notice("hello")["reset_cause"] == ResetCause.software


def test_what_was_not_saved_is_lost_with_a_reset(native):
    with Line(native.serial_url) as line:
        line.write_register("energy_threshold", 777)
        native.reset()
        line.notice("hello")
        _, value = line.command("read", register=10)
        assert int.from_bytes(value, "little") == 500


def test_a_program_that_hangs_is_reset_by_the_watchdog_with_bias_off(native):
    with Line(native.serial_url) as line:
        line.bias_on()
        begun = time.monotonic()
        native.window.world["freeze"] = 1
        identity = line.notice("hello", within_s=20)
        took_s = time.monotonic() - begun
        assert took_s > 0.9
        assert in_time(took_s, 2.0)
        assert identity["reset_cause"] == ResetCause.watchdog
        assert identity["resets"] == 2
        assert line.telemetry()["fault"] == WATCHDOG_FAULT
    assert native.window.world["freeze"] == 0
    assert native.window.world["shown_dac_mV"] == 0
    assert "watchdog: the program hangs" in native.log_tail()


def test_a_module_that_was_not_scheduled_for_seconds_is_not_reset(native):
    with Line(native.serial_url) as line:
        line.identity()
        os.kill(native.pid, signal.SIGSTOP)
        time.sleep(1.5)  # longer than the watchdog's time
        os.kill(native.pid, signal.SIGCONT)
        assert line.identity()["resets"] == 1


def test_a_cut_supply_silences_the_module_and_its_return_is_a_power_on(native):
    with Line(native.serial_url) as line:
        line.identity()
        native.reset()
        assert line.notice("hello")["resets"] == 2
        line.bias_on()
        assert native.window.world["shown_dac_mV"] > 50_000
        native.power(False)
        wait_until(lambda: native.window.world["shown_alive"] == _later(native), what="silence")
        assert native.alive
        assert native.window.world["shown_dac_mV"] == 0
        with pytest.raises(AssertionError, match="no reply"):
            line.command("hello", within_s=0.2)
        native.power(True)
        identity = line.notice("hello")
        assert identity["reset_cause"] == ResetCause.power_on
        assert identity["resets"] == 1


def _later(native: Native) -> int:
    time.sleep(0.05)
    return native.window.world["shown_alive"]


def test_what_is_sent_to_a_module_without_supply_is_lost(native):
    with Line(native.serial_url) as line:
        line.write_register("telemetry_ms", 60_000)
        native.power(False)
        with pytest.raises(AssertionError, match="no reply"):
            line.command("telemetry", within_s=0.1)
        native.power(True)
        line.notice("hello")
        time.sleep(0.05)
        assert line.telemetry()["commands"] == 1


@pytest.mark.parametrize(("what", "bad", "good"), [("supply_mV", 3000, 5000), ("power", 0, 1)])
def test_a_supply_that_falls_is_a_brown_out_and_its_return_a_start(native, what, bad, good):
    with Line(native.serial_url) as line:
        line.bias_on()
        native.window.world[what] = bad
        wait_until(lambda: native.window.world["shown_dac_mV"] == 0, what="safe bias")
        time.sleep(0.2)
        native.window.world[what] = good
        assert line.notice("hello")["reset_cause"] == ResetCause.brown_out


def test_what_the_module_says_while_nobody_listens_is_lost(native):
    time.sleep(1.2)
    with Line(native.serial_url) as line:
        first = line.notice("telemetry")
    assert first["counter"] > 1.2 * COUNTER_HZ


def test_a_port_that_is_opened_again_and_again_echoes_nothing(native):
    for _ in range(8):
        with Line(native.serial_url) as line:
            line.identity()
    with Line(native.serial_url) as line:
        line.write_register("telemetry_ms", 20)
        for _ in range(20):
            telemetry = line.notice("telemetry")
    assert telemetry["invalid_packets"] == 0


def test_tcp_serial_takes_one_host_at_a_time(native_image, tmp_path):
    with Native(folder=tmp_path, image=native_image, serial="tcp") as machine:
        with Line(machine.serial_url) as first:
            first.identity()
            with Line(machine.serial_url) as second, pytest.raises(serial.SerialException):
                for _ in range(50):
                    second.messages()
            first.identity()
        with Line(machine.serial_url) as third:
            third.identity()


def test_tcp_connection_outlives_a_reset(native_image, tmp_path):
    with (
        Native(folder=tmp_path, image=native_image, serial="tcp") as machine,
        Line(machine.serial_url) as line,
    ):
        line.identity()
        machine.reset()
        assert line.notice("hello")["resets"] == 2


def test_second_host_on_a_pty_is_refused(native):
    with Line(native.serial_url), pytest.raises(serial.SerialException, match="exclusively"):
        Line(native.serial_url)


def test_datagrams_come_to_the_port_that_was_named(native_image, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(2.0)
        port = receiver.getsockname()[1]
        with (
            Native(module=5, folder=tmp_path, image=native_image, datagram_port=port) as machine,
            Line(machine.serial_url) as line,
        ):
            line.write_register("module", 5)
            line.write_register("data_path", 2)
            line.bias_on()
            assert line.command("run", run_tag=9, periods=1, first_sequence=0)[0] == 0
            machine.window.put(np.array([(2 << 61) | (1 << 56)], np.uint64))
            header = np.frombuffer(receiver.recv(2048), STRUCTS["datagram"], 1)[0]
    assert (header["module"], header["length"], header["frame_bytes"]) == (5, 64, 64)


def test_a_machine_that_is_started_twice_stays_one(native):
    pid, url = native.pid, native.serial_url
    native.start()
    assert (native.pid, native.serial_url) == (pid, url)


def test_orders_to_a_machine_that_does_not_run_are_refused_in_words(native):
    native.stop()
    with pytest.raises(MachineError, match=r"native machine of module 0 .*does not run; start"):
        native.reset()
    with pytest.raises(MachineError, match="does not run"):
        native.power(True)


def test_a_program_that_ends_at_once_is_told_with_its_last_words(native_image, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho the disk is full >&2\nexit 1\n")
    broken.chmod(0o755)
    image = type(native_image)(broken, tmp_path, "native", 0, b"")
    machine = Native(folder=tmp_path / "run", image=image)
    with pytest.raises(MachineError, match=r"ended at once(.|\n)*the disk is full"):
        machine.start()


def test_a_program_that_says_nothing_is_given_up_in_time(native_image, tmp_path):
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexec sleep 30\n")
    mute.chmod(0o755)
    machine = Native(folder=tmp_path / "run", image=type(native_image)(mute, tmp_path, "", 0, b""))
    with pytest.raises(MachineError, match="did not name its serial port in time"):
        machine.start(within_s=0.2)
    assert not machine.alive


STARTER = """
import sys, time
from pathlib import Path
from hw.machines.native import Native
machine = Native(folder=Path(sys.argv[1]))
machine.start()
print(machine.pid, flush=True)
if len(sys.argv) > 2:
    machine.window.world["freeze"] = 1
time.sleep(60)
"""


@pytest.mark.parametrize("hung", [False, True])
def test_no_orphan_when_the_starter_is_killed(native_image, tmp_path, hung):
    argv = [sys.executable, "-c", STARTER, str(tmp_path), *(["hung"] if hung else [])]
    starter = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert starter.stdout is not None
    with starter.stdout:
        machine = psutil.Process(int(starter.stdout.readline()))
    assert machine.is_running()
    starter.kill()
    starter.wait(5.0)
    wait_until(lambda: not _runs(machine), within_s=2.0, what="the machine's end")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_machine_outlives_the_thread_that_started_it(native_image, tmp_path):
    import threading

    machine = Native(folder=tmp_path, image=native_image)
    thread = threading.Thread(target=machine.start)
    thread.start()
    thread.join(10.0)
    try:
        time.sleep(0.5)  # a parent-death signal would have come by now
        assert machine.alive
    finally:
        machine.close()


def test_idle_machine_leaves_the_processor_alone(native):
    with Line(native.serial_url) as line:
        line.identity()
    process = psutil.Process(native.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(2.0)
    used = sum(process.cpu_times()[:2]) - before
    assert used <= 0.04, f"{used / 2.0:.1%} of a processor while idle"


def test_an_update_that_hangs_is_reset_until_the_old_firmware_runs_again(native, native_image):
    hanging = build("native", defines=["TOMOSHIBI_HANGS=1"])
    assert hanging.build_id != native_image.build_id
    with Line(native.serial_url) as line:
        _update(line, hanging.slot_image)
        assert line.command("reset")[0] == 0
        deadline = time.monotonic() + 8.0
        while (identity := line.notice("hello", within_s=6.0))["slot"] != 0:
            assert time.monotonic() < deadline
        assert identity["build"] == native_image.build_id
        assert identity["reset_cause"] == ResetCause.watchdog
    assert native.log_tail().count("watchdog: the program hangs") == 2


def test_an_update_runs_from_its_slot_and_survives_a_reset_when_confirmed(native):
    other = build("native", defines=["TOMOSHIBI_OTHER=1"])
    with Line(native.serial_url) as line:
        _update(line, other.slot_image)
        line.command("reset")
        identity = line.notice("hello")
        assert (identity["slot"], identity["build"]) == (1, other.build_id)
        assert not identity["confirmed"]
        assert line.command("update_confirm")[0] == 0
        native.reset()
        identity = line.notice("hello")
        assert (identity["slot"], identity["confirmed"]) == (1, 1)
        assert identity["build"] == other.build_id


def _update(line: Line, image: bytes) -> None:
    header = np.frombuffer(image[:32], STRUCTS["image"], 1)[0]
    fields = {name: int(header[name]) for name in header.dtype.names}
    assert line.command("update_begin", **fields)[0] == 0
    body = image[32:]
    for offset in range(0, len(body), 1020):
        piece = body[offset : offset + 1020]
        assert line.command("update_data", tail=piece, offset=offset)[0] == 0
    assert line.command("update_end")[0] == 0
