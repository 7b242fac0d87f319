"""Every fault: what brings it, how soon the bias is safe, when it can be cleared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from hw.wire.control import NOTICES, WINDOW, BiasState, MessageKind, ResetCause, State, Status
from rigs.firmware.core_board import CoreBoard
from rigs.firmware.safety_steps import (
    ENTRY,
    FAULT,
    bring_bias_on,
    fault_log,
    is_safe,
    logged,
    started,
    write,
)

pytestmark = pytest.mark.firmware

FAULT_NOTICE = next(code for code, (name, _) in NOTICES.items() if name == "fault")


@dataclass(frozen=True)
class Cause:
    """How a fault is brought about and taken away; what its log entry then says."""

    fault: str
    begin: Callable[[CoreBoard], None]
    end: Callable[[CoreBoard], None]
    value: int
    limit: int


def _world(name: str, value: int) -> Callable[[CoreBoard], None]:
    def set_it(core: CoreBoard) -> None:
        core.window.world[name] = value

    return set_it


def _reading(name: str, value: int | None) -> Callable[[CoreBoard], None]:
    return lambda core: core.set_adc(name, value)


def _supply(core: CoreBoard) -> None:
    core.window.world["supply_mV"] = 5000


CAUSES = [
    Cause("interlock", _world("interlock_closed", 0), _world("interlock_closed", 1), 1, 0),
    Cause(
        "over_temperature", _world("ambient_cC", 4501), _world("ambient_cC", 4500), 4501, 4500
    ),
    Cause(
        "overcurrent", _reading("current_nA", 500_001), _reading("current_nA", 500_000), 500_001,
        500_000,
    ),
    Cause(
        "over_voltage", _reading("bias_mV", 60_001), _reading("bias_mV", None), 60_001, 60_000
    ),
    Cause("brown_out", _world("supply_mV", 4499), _supply, 4499, 4500),
]  # fmt: skip
EACH = pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.fault)


def _clear(core: CoreBoard) -> tuple[int, int]:
    return core.command("clear_fault")[:2]


# --- one turn ------------------------------------------------------------------------------------


def _idle(core: CoreBoard) -> None:
    started(core)


def _ramping(core: CoreBoard) -> None:
    started(core)
    core.command("bias", target_mV=55_000)
    core.run_for(500)
    assert core.module.bias.state == BiasState.ramping


def _on(core: CoreBoard) -> None:
    started(core)
    bring_bias_on(core)


def _running(core: CoreBoard) -> None:
    _on(core)
    assert core.command("run", run_tag=7, periods=0, first_sequence=0)[0] == Status.ok
    assert core.module.state == State.running


@EACH
@pytest.mark.parametrize("state", [_idle, _ramping, _on, _running])
def test_the_bias_is_safe_within_one_turn(
    core: CoreBoard, cause: Cause, state: Callable[[CoreBoard], None]
) -> None:
    state(core)
    before = core.module.state
    cause.begin(core)
    core.turn(1)
    assert is_safe(core)
    assert core.module.faults.latched == FAULT[cause.fault]
    assert core.window.world["shown_dac_mV"] == 0
    assert (core.module.run.on, core.window.gate) == (0, 0), "a run is given up"
    assert core.board.downs == (cause.fault == "brown_out")
    entry = core.ffi.new("struct tomoshibi_fault_entry *")
    assert core.lib.fault_entry(core.module, 0, entry)
    assert (entry.fault, entry.state) == (FAULT[cause.fault], before)
    assert (entry.value, entry.limit) == (cause.value, cause.limit)
    assert entry.counter == core.module.now


@EACH
def test_one_unit_less_is_no_fault(core: CoreBoard, cause: Cause) -> None:
    _on(core)
    cause.end(core)
    core.run_for(300)
    assert core.module.faults.latched == 0
    assert logged(core) == []


@EACH
def test_it_is_cleared_when_its_cause_is_gone_and_not_before(core: CoreBoard, cause: Cause) -> None:
    _on(core)
    cause.begin(core)
    core.turn()
    core.board.downs = 0  # a supply that falls ends the turns; this one comes back
    core.cut_power_after(0xFFFFFFFF)
    assert _clear(core) == (Status.still_present, FAULT[cause.fault])
    assert is_safe(core)
    assert core.command("bias", target_mV=1000)[:2] in [
        (Status.faulted, FAULT[cause.fault]),
        (Status.bad_state, State.fault),
    ]
    cause.end(core)
    core.run_for(50)
    assert is_safe(core), "it stays until it is cleared"
    assert _clear(core) == (Status.ok, 0)
    assert (core.module.state, core.module.faults.latched) == (State.idle, 0)
    assert core.module.bias.state == BiasState.off
    core.run_for(50)
    assert core.board.dac_mV == 0, "the bias comes back only on an order"
    bring_bias_on(core)


def test_a_run_is_given_up_and_says_so(core: CoreBoard) -> None:
    _running(core)
    core.messages()
    core.window.world["interlock_closed"] = 0
    core.turn()
    report = core.ffi.new("struct tomoshibi_report *")
    core.lib.run_report(core.module, report)
    assert report.ended == 4
    core.run_for(5)
    names = [NOTICES[int(h["code"])][0] for h, _ in core.messages() if h["kind"] == 3]
    assert {"fault", "run_ended"} <= set(names)


# --- several -------------------------------------------------------------------------------------


def test_the_first_fault_stays_named_and_the_others_are_logged_once(core: CoreBoard) -> None:
    _on(core)
    core.window.world["ambient_cC"] = 5000
    core.turn()
    core.window.world["interlock_closed"] = 0
    core.run_for(100)
    core.set_adc("current_nA", 2_000_000)
    core.run_for(100)
    assert core.module.faults.latched == FAULT["over_temperature"]
    assert logged(core) == [FAULT[n] for n in ("overcurrent", "interlock", "over_temperature")]
    core.window.world["ambient_cC"] = 2450
    assert _clear(core) == (Status.still_present, FAULT["overcurrent"]), "another one's cause is"
    core.set_adc("current_nA", None)
    assert _clear(core) == (Status.still_present, FAULT["interlock"])
    core.window.world["interlock_closed"] = 1
    assert _clear(core) == (Status.ok, 0)
    core.window.world["interlock_closed"] = 0
    core.turn()
    assert len(logged(core)) == 4, "after the latch was cleared it is a new fault"


def test_a_fault_is_told_to_the_host_with_its_numbers(core: CoreBoard) -> None:
    started(core)
    core.window.world["ambient_cC"] = 6000
    core.run_for(3)
    told = [p for h, p in core.messages()
            if h["kind"] == MessageKind.notice and h["code"] == FAULT_NOTICE]  # fmt: skip
    assert len(told) == 1
    entry = np.frombuffer(told[0], ENTRY)[0]
    assert (entry["fault"], entry["value"], entry["limit"]) == (2, 6000, 4500)
    assert entry == fault_log(core)[0]


# --- faults that take their time -----------------------------------------------------------------


@pytest.mark.parametrize("astray", [+1001, -1001])
def test_a_bias_that_does_not_follow_is_a_fault_after_200_ms(core: CoreBoard, astray: int) -> None:
    _on(core)
    core.set_adc("bias_mV", core.module.bias.set_mV + astray)
    core.run_for(200)
    assert core.module.faults.latched == 0
    core.turn()
    assert is_safe(core)
    assert core.module.faults.latched == FAULT["regulation"]


def test_five_tolerances_are_no_fault_and_a_short_excursion_is_none(core: CoreBoard) -> None:
    _on(core)
    bias = core.module.bias.set_mV
    core.set_adc("bias_mV", bias + 1000)
    core.run_for(500)
    for _ in range(5):
        core.command("beat")
        core.set_adc("bias_mV", bias + 2000)
        core.run_for(190)
        core.set_adc("bias_mV", bias)
        core.turn()
    assert core.module.faults.latched == 0


def test_a_supply_that_hangs_on_the_way_up_is_found_when_the_ramp_ends(core: CoreBoard) -> None:
    started(core)
    core.window.world["bias_stuck"] = 1
    core.command("bias", target_mV=20_000)
    core.run_for(1180)
    assert core.module.faults.latched == 0
    core.run_for(20)
    assert core.module.faults.latched == FAULT["regulation"]


def test_a_supply_that_does_not_switch_off_is_found_and_cannot_be_cleared(core: CoreBoard) -> None:
    _on(core)
    core.window.world["bias_stuck"] = 1
    write(core, "bias_slew", 100_000)
    core.command("bias", target_mV=0)
    core.run_for(400)
    core.command("beat")
    core.run_for(500)
    assert core.module.faults.latched == FAULT["regulation"]
    assert _clear(core) == (Status.still_present, FAULT["regulation"])
    core.window.world["bias_stuck"] = 0
    core.run_for(50)
    assert _clear(core) == (Status.ok, 0)


def test_no_ramp_is_taken_for_a_bias_astray(core: CoreBoard) -> None:
    started(core)
    write(core, "bias_slew", 100_000)
    write(core, "bias_tolerance_mV", 10)
    for target in (60_000, 1_000, 50_000, 0):
        core.command("bias", target_mV=target)
        core.run_for(900)
    assert logged(core) == []


def test_a_short_trips(core: CoreBoard) -> None:
    _on(core)
    core.window.world["short_uA"] = 2000
    core.turn(1)
    assert is_safe(core)
    assert core.module.faults.latched == FAULT["overcurrent"]


# --- the host ------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [100, 3000])
@pytest.mark.parametrize("state", [_ramping, _on, _running])
def test_a_silent_host_makes_the_bias_safe(
    core: CoreBoard, timeout: int, state: Callable[[CoreBoard], None]
) -> None:
    state(core)
    write(core, "host_timeout_ms", timeout)
    core.run_for(timeout - 2)
    assert core.module.faults.latched == 0
    core.run_for(5)
    assert is_safe(core)
    assert core.module.faults.latched == FAULT["host_lost"]
    assert _clear(core) == (Status.ok, 0), "who clears it is heard"


def test_damaged_commands_do_not_count_as_a_host(core: CoreBoard) -> None:
    _on(core)
    write(core, "host_timeout_ms", 1000)
    for _ in range(11):
        core.serial_in(b"\x05noise\x00")
        core.run_for(100)
    assert core.module.faults.latched == FAULT["host_lost"]


def test_without_bias_and_run_a_host_may_be_silent(core: CoreBoard) -> None:
    started(core)
    core.run_for(65_000, step_us=20_000)
    assert logged(core) == []


# --- resets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", list(ResetCause))
def test_after_any_reset_the_bias_is_0_until_it_is_ordered(
    core: CoreBoard, cause: ResetCause
) -> None:
    _on(core)
    core.start(int(cause))
    assert core.board.dac_mV == 0
    core.run_for(100)
    assert core.board.dac_mV == 0
    assert core.module.bias.requested_mV == 0


def test_a_watchdog_reset_is_a_latched_fault(core: CoreBoard) -> None:
    _on(core)
    core.start(int(ResetCause.watchdog))
    core.turn()
    assert is_safe(core)
    assert core.module.faults.latched == FAULT["watchdog"]
    assert logged(core) == [FAULT["watchdog"]]
    assert _clear(core) == (Status.ok, 0)


def test_a_brown_out_is_logged_once_and_latched_after_it(core: CoreBoard) -> None:
    _on(core)
    core.window.world["supply_mV"] = 3900
    core.turn()
    assert core.asked_to_stop
    core.window.world["supply_mV"] = 5000
    core.start(int(ResetCause.brown_out))
    core.run_for(2)
    assert logged(core) == [FAULT["brown_out"]]
    assert core.module.faults.latched == FAULT["brown_out"]
    told = [h for h, _ in core.messages() if h["kind"] == 3 and h["code"] == FAULT_NOTICE]
    assert len(told) == 1, "the notice comes when there is somebody to hear it"
    assert _clear(core) == (Status.ok, 0)


def test_a_brown_out_that_the_board_alone_saw_is_logged_at_the_start(core: CoreBoard) -> None:
    _on(core)
    core.start(int(ResetCause.brown_out))
    assert logged(core) == [FAULT["brown_out"]]


def test_a_supply_that_stays_low_does_not_restart_the_board_for_ever(core: CoreBoard) -> None:
    _on(core)
    core.window.world["supply_mV"] = 4400
    core.turn()
    core.start(int(ResetCause.brown_out))
    core.run_for(500)
    assert not core.asked_to_stop
    assert is_safe(core)
    assert logged(core) == [FAULT["brown_out"]]
    assert _clear(core) == (Status.still_present, FAULT["brown_out"])


def test_a_watchdog_reset_of_an_update_is_logged_once(core: CoreBoard) -> None:
    started(core)
    core.start(int(ResetCause.watchdog))  # the factory image logs it and hands over
    core.board.starts -= 1
    core.start(int(ResetCause.watchdog), slot=1)
    core.run_for(2)
    assert logged(core) == [FAULT["watchdog"]]
    assert core.module.faults.latched == FAULT["watchdog"]


def _told(core: CoreBoard) -> list[int]:
    core.run_for(3)
    return [
        int(np.frombuffer(payload, ENTRY)[0]["fault"])
        for header, payload in core.messages()
        if header["kind"] == MessageKind.notice and header["code"] == FAULT_NOTICE
    ]


def test_what_the_factory_image_logged_is_told_by_the_image_it_started(core: CoreBoard) -> None:
    core.window.bytes[WINDOW["nv"]] = 0  # half a configuration
    core.start(int(ResetCause.power_on))
    core.start(int(ResetCause.power_on), slot=1)
    assert _told(core) == logged(core) == [FAULT["config_defaults"]]


def test_faults_of_another_day_are_not_told_again(core: CoreBoard) -> None:
    core.start(int(ResetCause.power_on), slot=1)
    core.window.world["interlock_closed"] = 0
    assert _told(core) == [FAULT["interlock"]]
    core.window.world["interlock_closed"] = 1
    core.start(int(ResetCause.power_on), slot=1)
    assert _told(core) == []


def test_an_exhausted_stack_is_a_fault(core: CoreBoard) -> None:
    core.board.stack_size = 8192
    _on(core)
    core.board.stack_used = 8192 - 127
    core.run_for(1100)
    assert core.module.faults.latched == FAULT["stack"]
    assert _clear(core) == (Status.still_present, FAULT["stack"])
