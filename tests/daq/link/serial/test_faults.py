"""Every fault of a module: bias goes safe, the host is told in words, and only a remedy helps."""

from __future__ import annotations

import time

import pytest

from daq.link.serial.line_errors import CommandRefused
from daq.link.serial.session import ModuleSession
from hw.wire.control import FAULTS, REGISTERS, BiasState, ResetCause, State, Status
from rigs.firmware.native_modules import bring_up, feed, mark, wait_until

pytestmark = pytest.mark.firmware

BY_NAME = {fault.name: fault for fault in FAULTS.values()}


def weather(machine, **world: int) -> None:
    for name, value in world.items():
        machine.window.world[name] = value


def wait_fault(session: ModuleSession, name: str):
    fault = BY_NAME[name].value
    return session.wait_for(lambda t: int(t["fault"]) == fault, within_s=8, what=f"fault {name}")


PRESENT = {
    "overcurrent": ({"short_uA": 5000}, {"short_uA": 0}),
    "over_temperature": ({"ambient_cC": 6000}, {"ambient_cC": 2450}),
    "interlock": ({"interlock_closed": 0}, {"interlock_closed": 1}),
}


@pytest.mark.parametrize("name", PRESENT)
def test_a_cause_that_is_there_switches_bias_off_and_cannot_be_cleared(
    session, machine, journal, tmp_path, name
):
    bring_up(session)
    bad, good = PRESENT[name]
    weather(machine, **bad)
    telemetry = wait_fault(session, name)
    assert telemetry["state"] == State.fault
    assert telemetry["bias_state"] == BiasState.tripped
    assert machine.window.world["shown_dac_mV"] == 0
    with pytest.raises(CommandRefused) as refused:
        session.command("bias", target_mV=50_000)
    assert refused.value.status == Status.faulted
    assert BY_NAME[name].text in str(refused.value)
    if name != "overcurrent":  # a short draws nothing once the bias is off
        with pytest.raises(CommandRefused) as refused:
            session.command("clear_fault")
        assert refused.value.status == Status.still_present
        assert "the cause is still there" in str(refused.value)
    weather(machine, **good)
    wait_until(lambda: _cleared(session))
    assert session.ask_telemetry()["state"] == State.idle
    assert session.ask_telemetry()["bias_state"] == BiasState.off
    assert any(line.startswith("alarm:") and BY_NAME[name].text in line for line in journal)
    wait_until(lambda: list((tmp_path / "transcripts").glob("module-003-*.txt")))
    dumps = [path.read_text() for path in (tmp_path / "transcripts").iterdir()]
    assert any(f"fault: {BY_NAME[name].text}" in text and "notice fault" in text for text in dumps)


def _cleared(session: ModuleSession) -> bool:
    try:
        session.command("clear_fault")
    except CommandRefused as error:
        if error.status == Status.still_present:
            return False
        raise
    return True


def test_a_bias_that_does_not_follow_is_a_fault(session, machine):
    bring_up(session)
    weather(machine, bias_stuck=1)
    session.command("bias", target_mV=40_000)
    telemetry = wait_fault(session, "regulation")
    assert telemetry["bias_state"] == BiasState.tripped
    weather(machine, bias_stuck=0)
    wait_until(lambda: _cleared(session))


def test_a_bias_above_its_bound_is_a_fault(session, machine):
    bring_up(session)
    weather(machine, bias_stuck=1)  # it stays where it is, and the bound moves below it
    session.write("bias_tolerance_mV", 5000)
    session.command("bias", target_mV=0)
    telemetry = session.wait_for(lambda t: int(t["fault"]) != 0, within_s=8, what="a fault")
    assert int(telemetry["fault"]) in (BY_NAME["over_voltage"].value, BY_NAME["regulation"].value)
    assert machine.window.world["shown_dac_mV"] == 0


def test_a_host_that_falls_silent_costs_the_bias(machine):
    with ModuleSession.open(machine.serial_url) as session:
        bring_up(session)
        session.write("host_timeout_ms", 300)
    wait_until(lambda: machine.window.world["shown_dac_mV"] == 0)
    assert machine.window.world["shown_state"] == State.fault
    with ModuleSession.open(machine.serial_url) as session:
        wait_fault(session, "host_lost")
        session.command("clear_fault")


def test_a_program_that_hangs_is_reset_and_says_so(session, machine, journal):
    bring_up(session)
    weather(machine, freeze=1)
    wait_until(lambda: session.starts == 2)
    assert int(session.identity["fault"]) == BY_NAME["watchdog"].value
    assert machine.window.world["shown_dac_mV"] == 0
    assert any("started anew (watchdog)" in line for line in journal)
    session.command("clear_fault")
    assert session.ask_telemetry()["state"] == State.idle


def test_a_supply_that_sags_resets_and_says_so(session, machine):
    bring_up(session)
    weather(machine, supply_mV=3900)
    wait_until(lambda: machine.window.world["shown_dac_mV"] == 0)
    weather(machine, supply_mV=5000)
    wait_until(lambda: session.starts == 2 and session.connected)
    wait_until(lambda: int(session.ask_telemetry()["fault"]) == BY_NAME["brown_out"].value)
    assert session.identity["reset_cause"] == ResetCause.brown_out
    wait_until(lambda: _cleared(session))
    telemetry = session.ask_telemetry()
    assert (telemetry["state"], telemetry["bias_state"]) == (State.idle, BiasState.off)


def test_a_power_cycle_is_noticed_though_the_count_of_starts_is_the_same(session, machine):
    before = int(session.identity["resets"])
    machine.power(False)
    time.sleep(0.2)
    machine.power(True)
    wait_until(lambda: session.starts == 2 and session.connected)
    assert int(session.identity["resets"]) == before


def test_a_detector_that_falls_silent_in_a_run_is_told_and_is_no_reason_to_stop(
    session, machine, journal
):
    bring_up(session)
    session.command("run", run_tag=7, periods=0, first_sequence=0)
    feed(machine, mark(0))
    text = BY_NAME["detector_silent"].text
    wait_until(lambda: any(text in line for line in journal))
    assert session.ask_telemetry()["state"] == State.running


def test_a_lost_sync_is_told(session, machine, journal):
    from hw.wire.protocol import WORD_KINDS, pack_words

    bring_up(session)
    session.command("run", run_tag=7, periods=0, first_sequence=0)
    feed(machine, mark(0))
    kind = WORD_KINDS["sync"]
    for period in range(1, 6):
        feed(machine, pack_words(time_ticks=[period], crystal=0, energy_dkeV=0, kind=kind))
    text = BY_NAME["sync_lost"].text
    wait_until(lambda: any(text in line for line in journal))
    assert session.ask_telemetry()["state"] == State.running
    session.command("abort")
    assert session.ask_telemetry()["state"] == State.idle


def test_a_damaged_configuration_is_told_after_the_next_start(session, machine, journal):
    from hw.wire.control import WINDOW

    session.write("energy_threshold", 777)
    session.command("save")
    start = WINDOW["nv"]
    machine.window.bytes[start : start + WINDOW["nv_bytes"]] &= 0x5A
    session.reset()
    text = BY_NAME["config_defaults"].text
    wait_until(lambda: any(text in line for line in journal) or _logged(session, "config_defaults"))
    assert session.read("energy_threshold") == REGISTERS["energy_threshold"].default


def _logged(session: ModuleSession, name: str) -> bool:
    count = session.command("fault_log", index=0).detail
    entries = [session.command("fault_log", index=i)["fault"] for i in range(min(count, 8))]
    return BY_NAME[name].value in entries
