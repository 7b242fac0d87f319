"""Tier 3: failing program, supply, memory or host: each ends safe, named and counted."""

from __future__ import annotations

import time

import numpy as np

from daq.link.serial.session import ModuleSession
from hw.wire.control import WINDOW, BiasState, DataPath, ResetCause, State
from oracles.firmware_reference import Settings
from rigs.firmware.arm_modules import (
    arm_module,
    assert_same_frames,
    expected,
    needs_qemu,
    periods_of_hits,
    wait_until,
)
from rigs.firmware.events import random_hits
from rigs.host_pace import in_time

pytestmark = needs_qemu

SECTOR = 4096
SETTINGS = Settings(sync_lock_count=1)


def bias_is_safe(module):
    world = module.window.world
    return world["shown_dac_mV"] == 0 and world["shown_bias_mV"] < 1000


def test_watchdog_resets_in_the_middle_of_a_run_and_the_gap_is_accounted_for(tmp_path):
    """Every hit is in a frame, in the report of the second run, or was in the period that hung."""
    first, second = periods_of_hits(1, 5, 400), periods_of_hits(2, 5, 400, first=40)
    half, lost_while_down = random_hits(np.random.default_rng(3), 250), first[0][:300]
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring, **SETTINGS.registers())
        module.session.command("save")
        module.begin(20)
        for period in first[:-1]:
            module.put(period)
        module.put(half)
        module.wait_frames(4)
        wait_until(lambda: module.window.hits_waiting == 0, "the half period to be taken")
        starts = module.session.starts
        module.window.world["freeze"] = 1
        identity = module.session.wait_restart(starts, within_s=10)
        assert identity["reset_cause"] == ResetCause.watchdog
        assert (identity["resets"], identity["state"]) == (2, State.fault)
        assert bias_is_safe(module)
        assert module.faults()[0] == "watchdog"
        assert module.window.gate == 0

        module.put(lost_while_down)
        wait_until(lambda: module.window.hits_waiting == 0, "the queue to be emptied")
        module.session.command("clear_fault")
        module.bias_on()
        module.begin(20, first_sequence=4)
        for period in second:
            module.put(period)
        module.wait_frames(9)
        report = module.report()

        reference = expected(first[:-1], SETTINGS, run_tag=20)
        assert_same_frames(module.frames[:4], reference.frames)
        again = expected(second, SETTINGS, run_tag=20, first_sequence=4)
        assert_same_frames(module.frames[4:], again.frames)
        assert report["discarded"] == lost_while_down.size == module.window.hits_discarded
        offered = sum(p.size - 1 for p in [*first[:-1], *second]) + half.size
        before = sum(reference.counts[n] for n in ("hits",))
        assert offered == before + half.size + report["hits"]


def test_brown_out_switches_off_and_comes_back_when_the_supply_does(tmp_path):
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring)
        starts = module.session.starts
        module.window.world["supply_mV"] = 3900
        wait_until(lambda: bias_is_safe(module), "safe bias", within_s=2)
        alive = module.window.world["shown_alive"]
        time.sleep(0.2)
        assert module.window.world["shown_alive"] == alive  # it holds everything
        module.window.world["supply_mV"] = 5000
        identity = module.session.wait_restart(starts, within_s=10)
        assert identity["reset_cause"] == ResetCause.brown_out
        assert identity["state"] == State.fault
        assert "brown_out" in module.faults()
        module.session.command("clear_fault")
        module.bias_on()


def test_open_interlock_makes_the_bias_safe_and_cannot_be_cleared_away(tmp_path):
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring)
        module.window.world["interlock_closed"] = 0
        wait_until(lambda: bias_is_safe(module), "safe bias", within_s=2)
        telemetry = module.session.ask_telemetry()
        assert (telemetry["state"], telemetry["bias_state"]) == (State.fault, BiasState.tripped)
        assert module.faults()[0] == "interlock"


def test_host_that_vanishes_leaves_a_safe_bias(tmp_path):
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring, host_timeout_ms=500)
        assert not bias_is_safe(module)
        module.session.close()
        gone = time.monotonic()
        wait_until(lambda: bias_is_safe(module), "safe bias", within_s=20)
        assert in_time(time.monotonic() - gone, 2.0)
        with ModuleSession.open(module.machine.serial_url, module=0) as session:
            assert session.ask_telemetry()["state"] == State.fault
            module.session = session
            assert module.faults()[0] == "host_lost"
            session.command("clear_fault")


def damage(module, copies):
    """Spoil a byte in the middle of the written part of configuration copies."""
    for copy in copies:
        offset = WINDOW["nv"] + copy * SECTOR
        written = np.flatnonzero(module.window.bytes[offset : offset + SECTOR] != 0xFF)
        module.window.bytes[offset + written[written.size // 2]] ^= 0x10


def test_one_damaged_configuration_copy_falls_back_to_the_older(tmp_path):
    with arm_module(tmp_path) as module:
        for threshold in (1111, 2222):
            module.session.write("energy_threshold", threshold)
            module.session.command("save")
        starts = module.session.starts
        module.machine.power(False)
        newer = newest_copy(module)
        damage(module, [newer])
        module.machine.power(True)
        module.session.wait_restart(starts, within_s=10)
        assert module.faults()[0] == "config_older"
        assert module.session.read("energy_threshold") == 1111


def test_both_configuration_copies_damaged_mean_defaults_and_a_word_about_it(tmp_path):
    with arm_module(tmp_path) as module:
        for threshold in (1111, 2222):
            module.session.write("energy_threshold", threshold)
            module.session.command("save")
        starts = module.session.starts
        module.machine.power(False)
        damage(module, [0, 1])
        module.machine.power(True)
        identity = module.session.wait_restart(starts, within_s=10)
        assert module.faults()[0] == "config_defaults"
        assert module.session.read("energy_threshold") == 500
        assert identity["state"] == State.idle
        assert bias_is_safe(module)


def newest_copy(module):
    """Return which copy holds the value that was saved last: 2222, little-endian."""
    for copy in (0, 1):
        offset = WINDOW["nv"] + copy * SECTOR
        if (2222).to_bytes(4, "little") in module.window.bytes[offset : offset + SECTOR].tobytes():
            return copy
    raise AssertionError("no copy of the configuration holds what was saved")
