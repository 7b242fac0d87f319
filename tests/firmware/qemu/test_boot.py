"""Tier 3: the ARM image boots in QEMU, says who it is, and keeps time by its own counter."""

from __future__ import annotations

import time

import numpy as np

from hw.wire.control import (
    COMMANDS,
    COUNTER_HZ,
    SCHEMA_CRC,
    Board,
    DataPath,
    ResetCause,
    Slot,
    State,
)
from rigs.firmware.arm_modules import (
    arm_image,
    arm_module,
    header_of,
    needs_qemu,
    periods_of_hits,
    wait_until,
)
from rigs.host_pace import in_time

pytestmark = needs_qemu


def test_boots_to_HELLO_with_its_name(tmp_path):
    image = arm_image()
    began = time.monotonic()
    with arm_module(tmp_path, image=image) as module:
        assert in_time(time.monotonic() - began, 5.0)
        identity = module.session.identity
        assert identity["board"] == Board.mps2_an386
        assert identity["schema"] == SCHEMA_CRC
        assert identity["build"] == image.build_id
        assert identity["slot"] == Slot.factory
        assert identity["reset_cause"] == ResetCause.power_on
        assert (identity["state"], identity["resets"]) == (State.idle, 1)


def test_serves_its_dictionary(tmp_path):
    with arm_module(tmp_path) as module:
        dictionary = module.session.dictionary
    assert dictionary.differences() == []
    assert dictionary.names("commands") == {name: spec.code for name, spec in COMMANDS.items()}


def test_reset_button_and_power_cut_tell_their_causes(tmp_path):
    with arm_module(tmp_path) as module:
        starts = module.session.starts
        module.machine.reset()
        again = module.session.wait_restart(starts, within_s=10)
        assert (again["reset_cause"], again["resets"]) == (ResetCause.software, 2)
        starts = module.session.starts
        module.machine.power(False)
        assert module.machine.alive
        wait_until(lambda: not module.session.connected, "the loss of the port")
        module.machine.power(True)
        cold = module.session.wait_restart(starts, within_s=10)
        assert (cold["reset_cause"], cold["resets"]) == (ResetCause.power_on, 1)
        assert module.window.world["shown_starts"] == 3


def test_registers_that_were_saved_survive_a_power_cut(tmp_path):
    with arm_module(tmp_path) as module:
        module.session.write("energy_threshold", 1234)
        module.session.command("save")
        module.session.write("comparator_mV", 33)
        starts = module.session.starts
        module.machine.power(False)
        module.machine.power(True)
        module.session.wait_restart(starts, within_s=10)
        assert module.session.read("energy_threshold") == 1234
        assert module.session.read("comparator_mV") == 20


def test_counter_wrap_in_the_middle_of_a_run(tmp_path):
    """The 32-bit counter starts 1.5 s before its end: nothing may notice when it wraps."""
    start = (1 << 32) - 3 * COUNTER_HZ // 2
    with arm_module(tmp_path, world={"counter_start": start}) as module:
        module.prepare(DataPath.ring, telemetry_ms=50, host_timeout_ms=2000)
        before = module.session.ask_telemetry()
        assert start < before["counter"] < 1 << 32
        module.begin()
        words = periods_of_hits(1, 40, 50)
        for period in words:
            module.put(period)
            time.sleep(0.04)
        module.wait_frames(40)
        after = module.session.ask_telemetry()
        assert after["counter"] > 1 << 32
        assert (after["fault"], after["frames"]) == (0, 40)
        told = [int(n["counter"]) for name, n in module.notices if name == "telemetry"]
        gaps = np.diff(told)
        assert gaps.min() > 0
        assert gaps.max() < COUNTER_HZ
        assert [int(header_of(frame)["frame_id"]) for frame in module.frames] == list(range(40))
