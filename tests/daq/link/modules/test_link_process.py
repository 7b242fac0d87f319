"""The link process without lines: what modules are set to, how runs end, what the books say."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daq.link.modules.bring_up import NotReady, bring_up
from daq.link.modules.joint_run import MARK_S, REPORT_S, STOP_S, LinkRun
from daq.link.modules.run_outcome import GIVEN_UP, ModuleRun
from daq.link.modules.setup import ModuleSetup, SetupError, setup_of
from daq.link.serial.line_errors import CommandRefused
from hw.messages.source import Start
from hw.scanner.preset_file import load_scanner
from hw.wire.control import FAULTS, REGISTERS, STRUCTS, BiasState, DataPath, State

FAULT_OF = {fault.name: fault.value for fault in FAULTS.values()}


def a_report(**fields: int) -> np.void:
    record = np.zeros((), STRUCTS["report"])
    record["run_tag"] = 5
    for name, value in fields.items():
        record[name] = value
    return record[()]


# --- registers ------------------------------------------------------------------------------------


def test_the_presets_dead_time_reaches_the_firmware_to_the_tick():
    setup = setup_of(load_scanner("caremibrain"), data_path="ring", trigger_keV=100.0)
    registers = setup.of(7)
    assert registers["module"] == 7
    assert registers["dead_time_ticks"] == 8960  # 175 ns of 625/32 ps
    assert registers["paralysable"] == 0
    assert registers["energy_threshold"] == 1000
    assert registers["channels"] == 1024
    assert registers["data_path"] == DataPath.ring


def test_a_setting_that_no_module_takes_is_named_with_its_bounds():
    with pytest.raises(SetupError, match=r"energy_threshold is 20000 0\.1 keV, allowed is 0 to"):
        setup_of(load_scanner("bench2"), data_path="ring", trigger_keV=2000.0)


@pytest.mark.parametrize("preset", ["caremibrain", "bench2", "tof_brain", "gamma_head_lehr"])
def test_every_presets_registers_are_within_their_bounds(preset):
    setup = setup_of(load_scanner(preset), data_path="serial", trigger_keV=500.0, queue_words=65536)
    for name, value in setup.of(0).items():
        assert REGISTERS[name].min <= value <= REGISTERS[name].max, name


# --- bringing up ----------------------------------------------------------------------------------


class ScriptedSession:
    """A module that answers from a table of its own."""

    def __init__(self, *, fault: str = "", state: int = State.idle, bias_after: int = 1) -> None:
        self.registers = {name: spec.default for name, spec in REGISTERS.items()}
        self.commands: list[str] = []
        self.telemetry = np.zeros((), STRUCTS["telemetry"])
        self.telemetry["state"] = State.fault if fault else state
        self.telemetry["fault"] = FAULT_OF.get(fault, 0)
        self._bias_after = bias_after

    def read(self, name: str) -> int:
        return self.registers[name]

    def write(self, name: str, value: int) -> int:
        self.commands.append(f"write {name}")
        self.registers[name] = value
        return value

    def command(self, name: str, **fields: int) -> Any:
        if name == "telemetry":
            if "bias" in self.commands:
                self._bias_after -= 1
                if self._bias_after <= 0:
                    self.telemetry["bias_state"] = BiasState.on
            return SimpleNamespace(fields=self.telemetry[()])
        self.commands.append(name)
        if name in ("clear_fault", "abort", "update_abort"):
            self.telemetry["state"], self.telemetry["fault"] = State.idle, 0
        return SimpleNamespace(fields=None)


def up(session: ScriptedSession, setup: ModuleSetup) -> dict[str, int]:
    return bring_up(session, setup, 3)  # type: ignore[arg-type]


def test_only_what_differs_is_written_and_then_the_bias_comes():
    session = ScriptedSession(bias_after=3)
    registers = up(session, ModuleSetup({"telemetry_ms": 500, "energy_threshold": 900}, 56_000))
    assert session.commands == ["write module", "write energy_threshold", "bias"]
    assert registers["energy_threshold"] == 900
    assert registers["module"] == 3


@pytest.mark.parametrize("fault", ["watchdog", "brown_out", "host_lost"])
def test_faults_that_a_restart_leaves_are_cleared(fault):
    session = ScriptedSession(fault=fault)
    up(session, ModuleSetup({}, 56_000))
    assert session.commands[0] == "clear_fault"


@pytest.mark.parametrize("fault", ["interlock", "overcurrent", "over_temperature", "regulation"])
def test_other_faults_wait_for_a_person_and_the_bias_stays_off(fault):
    session = ScriptedSession(fault=fault)
    with pytest.raises(NotReady, match="remove the cause, then clear the fault"):
        up(session, ModuleSetup({}, 56_000))
    assert session.commands == []


@pytest.mark.parametrize(
    ("state", "command"), [(State.running, "abort"), (State.updating, "update_abort")]
)
def test_what_a_host_before_left_behind_is_ended(state, command):
    session = ScriptedSession(state=state)
    up(session, ModuleSetup({}, 56_000))
    assert session.commands[0] == command


def test_no_bias_is_ordered_once_the_link_process_leaves():
    session = ScriptedSession()
    with pytest.raises(NotReady, match="ending"):
        bring_up(session, ModuleSetup({}, 56_000), 3, give_up=lambda: True)  # type: ignore[arg-type]
    assert "bias" not in session.commands


def test_a_bias_over_the_modules_own_limit_is_not_sent():
    session = ScriptedSession()
    with pytest.raises(NotReady, match=r"61000 mV is asked for, its bias_max_mV is 60000"):
        up(session, ModuleSetup({}, 61_000))
    assert "bias" not in session.commands


def test_a_bias_that_does_not_come_is_told_with_what_is_there(monkeypatch):
    monkeypatch.setattr("daq.link.modules.bring_up.BIAS_S", 0.1)
    session = ScriptedSession(bias_after=10**6)
    with pytest.raises(NotReady, match=r"at 0 mV after 0\.1 s, 56000 mV were asked for"):
        up(session, ModuleSetup({}, 56_000))


# --- one module's part in a run -------------------------------------------------------------------


def test_a_report_of_another_run_or_of_one_that_goes_on_is_passed_over():
    run = ModuleRun(5, joined=True, joins=1)
    run.take_report(a_report(run_tag=4, ended=1))
    run.take_report(a_report(ended=0, hits=9))
    assert run.report is None
    assert not run.is_over


def test_hits_of_a_module_that_joined_once_are_known_and_after_a_reset_they_are_not():
    run = ModuleRun(5, joined=True, joins=1)
    run.take_report(a_report(ended=3, hits=90, discarded=10))
    assert run.is_over
    assert run.hits_seen == 100
    run.joins = 2
    assert run.hits_seen == -1


def test_a_run_that_was_given_up_may_be_joined_again():
    run = ModuleRun(5, joined=True, joins=1)
    run.take_report(a_report(ended=GIVEN_UP))
    assert not run.joined
    assert not run.is_over


# --- the end of a run -----------------------------------------------------------------------------


class Linked:
    """Stands in the place of a linked module."""

    def __init__(self, module: int, *, emulated: bool = True) -> None:
        self.module = module
        self.port = SimpleNamespace(emulated=emulated)
        self.run: ModuleRun | None = None
        self.connected = True
        self.frames_missing = False
        self.told: list[str] = []
        self.made = (0, 0)

    def begin_run(self, run_tag: int, periods: int) -> None:
        self.run = ModuleRun(run_tag, periods, joined=True, joins=1)

    def begin(self, task: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(task())
        return done

    def stop_run(self) -> None:
        self.told.append("stop")

    def abort_run(self) -> None:
        self.told.append("abort")

    def fetch_report(self) -> None:
        self.told.append("report")

    def close_books(self) -> tuple[int, int]:
        return self.made

    def end(self, **fields: int) -> None:
        assert self.run is not None
        self.run.take_report(a_report(ended=3, **fields))


def a_run(*modules: Linked, duration_s: float = 0.0) -> LinkRun:
    order = Start(run_tag=5, duration_s=duration_s)
    return LinkRun(order, modules, n_modules=3)  # type: ignore[arg-type]


def test_modules_that_end_with_the_detectors_last_mark_are_not_told_to_stop():
    modules = [Linked(0), Linked(2)]
    run = a_run(*modules, duration_s=10.0)
    assert [m.run.periods for m in modules if m.run] == [0, 0]
    run.advance(1.0)
    for number, linked in enumerate(modules):
        linked.made = (20, 300 + number)
        linked.end(frames=20, words=300, hits=330, dead=30)
    run.advance(2.0)
    run.advance(2.01)
    assert run.ended
    assert [m.told for m in modules] == [["report"], ["report"]]
    report = run.report()
    assert report.frames_sent == [20, 0, 20]
    assert report.singles_emitted == [300, 0, 301]
    assert report.hits_seen == [330, 0, 330]
    assert report.dead_events == [30, 0, 30]
    assert report.truth["dead"] == 60
    assert modules[0].run is None


def test_real_modules_count_their_periods_and_are_stopped_at_once():
    linked = Linked(0, emulated=False)
    run = a_run(linked, duration_s=0.1)
    assert linked.run is not None
    assert linked.run.periods == 20
    run.stop(5.0)
    run.advance(5.0)
    assert linked.told == ["stop"]


def test_a_module_that_does_not_end_is_stopped_then_given_up_and_the_report_comes_in_time():
    linked = Linked(1)
    run = a_run(linked)
    run.stop(0.0)
    for milliseconds in range(2000):
        run.advance(milliseconds / 1000)
        if run.ended:
            break
    assert linked.told == ["stop", "abort", "report"]
    assert milliseconds / 1000 <= MARK_S + 2 * STOP_S + REPORT_S < 1.3
    assert run.report().hits_seen == [0, -1, 0]


def test_a_module_that_cannot_be_spoken_to_holds_nobody_up():
    there, gone = Linked(0), Linked(1)
    run = a_run(there, gone)
    gone.connected = False
    run.stop(0.0)
    there.end()
    run.advance(0.001)
    run.advance(0.002)
    assert run.ended
    assert gone.told == ["report"]


def test_the_report_waits_for_frames_on_their_way_but_not_for_ever():
    linked = Linked(0)
    run = a_run(linked)
    linked.frames_missing = True
    linked.end()
    run.advance(0.0)
    run.advance(REPORT_S / 2)
    assert not run.ended
    run.advance(REPORT_S * 1.01)
    assert run.ended


def test_nobody_joins_a_run_that_is_ending():
    first, second = Linked(0), Linked(1)
    run = a_run(first, second)
    first.end()
    run.advance(0.0)
    assert second.run is not None
    assert second.run.closing


def test_a_refusal_names_the_command():
    refused = CommandRefused("module 1", "run", 10, 0, "the bias is not on")
    assert "run" in str(refused)
