"""The firmware's main loop: start, clock, supervision, and what telemetry says."""

from __future__ import annotations

import numpy as np
import pytest

from hw.wire.control import (
    COUNTER_HZ,
    FAULTS,
    REGISTERS,
    STRUCTS,
    MessageKind,
    ResetCause,
    State,
    Status,
)
from rigs.firmware.core_board import TICKS_PER_MS, CoreBoard

pytestmark = pytest.mark.firmware

STACK = next(code for code, fault in FAULTS.items() if fault.name == "stack")
WATCHDOG = next(code for code, fault in FAULTS.items() if fault.name == "watchdog")
TELEMETRY_NOTICE = 2


def telemetry(core: CoreBoard) -> np.void:
    """Ask for the telemetry."""
    status, _, payload = core.command("telemetry")
    assert status == Status.ok
    return np.frombuffer(payload, STRUCTS["telemetry"])[0]


def started(core: CoreBoard) -> CoreBoard:
    """Start a module and forget what it said while starting."""
    core.start()
    core.run_for(2)
    core.messages()
    return core


def test_a_module_starts_idle_with_its_watchdog_running_and_its_bias_off(core: CoreBoard) -> None:
    core.start()
    assert (core.module.state, core.board.shown_state) == (State.idle, State.idle)
    assert 0 < core.board.watchdog_us <= 2_000_000
    assert core.board.dac_mV == 0


def test_a_reset_by_the_watchdog_starts_in_state_fault_with_the_fault_named(
    core: CoreBoard,
) -> None:
    core.start(int(ResetCause.watchdog))
    assert (core.module.state, core.board.shown_state) == (State.fault, State.fault)
    core.run_for(2)
    hello = next(payload for header, payload in core.messages() if header["code"] == 1)
    identity = np.frombuffer(hello, STRUCTS["identity"])[0]
    assert (identity["fault"], identity["reset_cause"]) == (WATCHDOG, ResetCause.watchdog)
    assert core.command("run", run_tag=1)[:2] == (Status.faulted, WATCHDOG)
    assert core.command("clear_fault")[0] == Status.ok
    assert core.module.state == State.idle


def test_the_watchdog_is_kicked_once_a_turn(core: CoreBoard) -> None:
    started(core)
    before = core.board.kicks
    core.run_for(25)
    assert core.board.kicks == before + 25


def test_an_idle_module_sleeps_and_a_busy_one_does_not(core: CoreBoard) -> None:
    started(core)
    core.run_for(3)
    before = core.board.idles
    core.turn()
    assert core.board.idles == before + 1
    assert 500 <= core.board.idle_us <= 4000
    core.send("beat", host_time_ns=0)
    core.turn()
    assert core.board.idles == before + 1, "there was work in this turn"


@pytest.mark.parametrize("start", [0, 2**32 - 25_000_000, 2**32 - 1])
def test_the_counter_is_extended_over_its_wrap(core: CoreBoard, start: int) -> None:
    core.board.counter = start
    started(core)
    last = int(telemetry(core)["counter"])
    for _ in range(40):
        core.run_for(500, step_us=10_000)
        now = int(telemetry(core)["counter"])
        assert 500 * TICKS_PER_MS <= now - last <= 502 * TICKS_PER_MS
        last = now
    assert last % 2**32 == core.board.counter
    assert (last >= 2**32) == (start > 0)


def test_nothing_that_waits_is_upset_by_the_counters_wrap(core: CoreBoard) -> None:
    """Telemetry, rates and the host's silence go on across it."""
    core.board.counter = 2**32 - 2 * COUNTER_HZ
    started(core)
    core.command("beat", host_time_ns=0)
    core.run_for(4000)
    notices = [h for h, _ in core.messages() if h["kind"] == MessageKind.notice]
    assert len(notices) == 8
    payload = core.ffi.new("struct tomoshibi_telemetry *")
    core.lib.telemetry_fill(core.module, payload)
    assert 4000 <= payload.host_silent_ms <= 4002


def test_the_notice_comes_as_often_as_the_register_says_and_at_once(core: CoreBoard) -> None:
    started(core)
    core.command("write", register=REGISTERS["telemetry_ms"].address, value=100)
    core.messages()
    core.run_for(1000)
    codes = [int(header["code"]) for header, _ in core.messages()]
    assert codes == [TELEMETRY_NOTICE] * 10


def test_rates_are_over_the_last_whole_second(core: CoreBoard) -> None:
    started(core)
    for _ in range(30):
        core.run_for(100)
        core.module.run.hits_before += 1000
        core.module.run.words_before += 700
    said = telemetry(core)
    assert (said["hit_rate"], said["word_rate"]) == (10_000, 7_000)
    core.run_for(2000)
    assert telemetry(core)["hit_rate"] == 0
    assert telemetry(core)["hits"] == 30_000


def test_the_scaler_counts_in_gates_of_a_tenth_of_a_second(core: CoreBoard) -> None:
    started(core)
    before = telemetry(core)
    core.run_for(1000)
    after = telemetry(core)
    assert after["scaler_gates"] - before["scaler_gates"] == 10
    own = core.module.telemetry
    own.crossings_before = (own.crossings_before - 500) % 2**32
    core.run_for(100)
    assert telemetry(core)["scaler"] == 500 + int(after["scaler"])


def test_the_longest_turn_of_the_last_second_is_told(core: CoreBoard) -> None:
    started(core)
    core.lib.telemetry_turn(core.module, 300 * 25)
    core.lib.telemetry_turn(core.module, 120 * 25)
    core.run_for(1000)
    assert telemetry(core)["loop_us"] == 300
    core.run_for(1100)
    assert telemetry(core)["loop_us"] == 0


def test_a_stack_that_reaches_its_guard_is_a_fault(core: CoreBoard) -> None:
    core.board.stack_size, core.board.stack_used = 4096, 1000
    started(core)
    assert telemetry(core)["stack_bytes"] == 1000
    core.board.stack_used = 4000
    core.run_for(1100)
    assert (core.module.state, core.lib.fault_latched(core.module)) == (State.fault, STACK)


def test_the_flag_of_the_host_goes_with_its_silence(core: CoreBoard) -> None:
    core.start()
    core.run_for(1)
    payload = core.ffi.new("struct tomoshibi_telemetry *")
    core.lib.telemetry_fill(core.module, payload)
    assert payload.flags == 1, "interlock closed, nobody heard"
    assert telemetry(core)["flags"] == 3
    core.run_for(REGISTERS["host_timeout_ms"].default + 10)
    core.lib.telemetry_fill(core.module, payload)
    assert payload.flags == 1


def test_the_notice_says_what_the_command_says(core: CoreBoard) -> None:
    started(core)
    said = telemetry(core)
    core.run_for(600)
    notices = [p for h, p in core.messages() if h["code"] == TELEMETRY_NOTICE]
    noticed = np.frombuffer(notices[0], STRUCTS["telemetry"])[0]
    for name in ("state", "bias_state", "fault", "supply_mV", "temperature_cC", "resets"):
        assert noticed[name] == said[name], name
    assert noticed["counter"] > said["counter"]
