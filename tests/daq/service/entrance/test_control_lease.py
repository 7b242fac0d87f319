"""Control of the run: one holds it, others ask or take it over, and silence ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from daq.client.client import ClientError, ControlClient, DisplayClient
from daq.errors import RunError
from daq.folder.journal import Journal
from daq.service.entrance.command_journal import NAME
from daq.service.entrance.control_lease import CHANGING, LEASE_S, ControlLease
from hw.messages.commands import Command, Reply
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread

KEY = "this user"
BIAS_OFF = {"action": "bias", "modules": [], "values": {"target_mV": 0}}


class Stage:
    """A lease, its journal, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.journal = Journal()
        self.lease = ControlLease(self.journal, clock=lambda: self.now_s)

    def orders(self, client: str, name: str = "stop", *, key: str = KEY, **args: Any) -> str:
        command = Command(id=1, name=name, client=client, args=args)  # type: ignore[arg-type]
        why = self.lease.why_not(key, command)
        return why.text if why else ""

    def does(self, client: str, action: str, *, key: str = KEY) -> dict[str, Any]:
        command = Command(id=1, name="control", client=client, args={"action": action})
        return self.lease.act(key, command)

    @property
    def told(self) -> list[str]:
        return [entry.text.removeprefix("control: ") for entry in self.journal.tail]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_first_that_commands_has_control_and_others_are_refused_in_words(stage: Stage) -> None:
    assert stage.lease.holder == ""
    assert stage.orders("A", "arm") == ""
    assert stage.lease.holder == "A"
    for name in CHANGING:
        args = {"action": "write"} if name == "module" else {}
        assert stage.orders("B", name, **args).startswith("A has control: ask for it")
        assert stage.orders("A", name, **args) == ""
    assert stage.told == ["A has it"]


def test_who_does_not_say_who_he_is_is_obeyed_while_nobody_holds_it(stage: Stage) -> None:
    assert stage.orders("", "arm") == ""
    assert stage.lease.holder == ""
    stage.orders("A")
    assert stage.orders("", "stop").startswith("A has control")
    with pytest.raises(RunError, match="say who you are"):
        stage.does("", "take")


@pytest.mark.parametrize("name", ["ping", "status", "fault", "mark", "regions", "control"])
def test_what_changes_no_run_is_free_for_all_and_takes_nothing(stage: Stage, name: str) -> None:
    assert stage.orders("A", name) == ""
    assert stage.lease.holder == ""
    stage.orders("A")
    assert stage.orders("B", name) == ""


def test_bias_off_is_taken_from_everybody_and_hands_control_to_nobody(stage: Stage) -> None:
    assert stage.orders("B", "module", **BIAS_OFF) == ""
    assert stage.lease.holder == ""
    stage.orders("A")
    for client in ("B", ""):
        assert stage.orders(client, "module", **BIAS_OFF) == ""
    on = {**BIAS_OFF, "values": {"target_mV": 56_500}}
    assert stage.orders("B", "module", **on).startswith("A has control")


def test_silence_ends_it_and_a_heartbeat_keeps_it(stage: Stage) -> None:
    stage.orders("A")
    for _ in range(10):
        stage.now_s += LEASE_S
        stage.does("A", "keep")
        stage.lease.look()
        assert stage.lease.holder == "A"
    stage.now_s += LEASE_S + 0.01
    stage.lease.look()
    assert stage.lease.holder == ""
    assert stage.told[-1] == "A has fallen silent: nobody has control"
    assert stage.orders("B") == ""


def test_another_heartbeat_keeps_nothing(stage: Stage) -> None:
    stage.orders("A")
    stage.now_s += LEASE_S + 0.01
    assert stage.does("B", "keep") == {"holder": "", "asking": "", "yours": False}


def test_it_is_asked_for_and_given(stage: Stage) -> None:
    stage.orders("A")
    assert stage.does("B", "ask") == {"holder": "A", "asking": "B", "yours": False}
    stage.does("B", "ask")  # he asks once
    assert stage.does("A", "give") == {"holder": "B", "asking": "", "yours": False}
    assert stage.orders("A").startswith("B has control")
    assert stage.told == ["A has it", "B asks A for it", "given by A to B"]


def test_who_asks_gets_it_at_once_where_nobody_has_it(stage: Stage) -> None:
    assert stage.does("B", "ask")["yours"]
    stage.does("B", "give")
    assert stage.lease.holder == ""
    assert stage.told[-1] == "B has given it up: nobody has control"


def test_who_asks_and_falls_silent_asks_no_more(stage: Stage) -> None:
    stage.orders("A")
    stage.does("B", "ask")
    stage.now_s += LEASE_S - 0.01
    stage.does("A", "keep")
    stage.now_s += 0.02
    stage.lease.look()
    assert (stage.lease.holder, stage.lease.asking) == ("A", "")


def test_taking_it_over_is_seen_by_all(stage: Stage) -> None:
    stage.orders("A")
    assert stage.does("B", "take")["yours"]
    assert stage.told[-1] == "B has taken it over from A"
    assert stage.journal.tail[-1].severity == "warning"
    assert stage.orders("A").startswith("B has control")
    with pytest.raises(RunError, match="not yours to give: B has it"):
        stage.does("A", "give")


def test_who_gives_what_has_lapsed_meanwhile_is_not_refused(stage: Stage) -> None:
    assert stage.does("A", "give") == {"holder": "", "asking": "", "yours": False}


def test_the_same_name_with_another_key_is_another_client(stage: Stage) -> None:
    stage.orders("A", key="ward-1")
    assert stage.orders("A", key="ward-2").startswith("A has control")
    stage.now_s += LEASE_S - 0.01
    stage.does("A", "keep", key="ward-2")
    stage.now_s += 0.02
    stage.lease.look()
    assert stage.lease.holder == ""


@pytest.mark.parametrize("action", ["", "grab", None, [], 7])
def test_another_action_is_refused_in_words(stage: Stage, action: Any) -> None:
    command = Command(id=1, name="control", client="A", args={"action": action})
    with pytest.raises(RunError, match="the actions are keep, ask, give, take"):
        stage.lease.act(KEY, command)


# --- a real daq -----------------------------------------------------------------------------------


@pytest.fixture
def daq(tmp_path: Path) -> Iterator[DaqInThread]:
    with DaqInThread(tmp_path) as process:
        yield process


@pytest.mark.processes
def test_two_consoles_at_a_real_daq(daq: DaqInThread, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(ControlClient(daq.endpoints, name="first"))
        second = stack.enter_context(ControlClient(daq.endpoints, name="second"))
        first.call("arm")
        with pytest.raises(ClientError, match="reset: first has control: ask for it"):
            second.call("reset")
        replies: list[Reply] = []
        second.send("reset")
        wait_until(lambda: bool(replies) or replies.extend(second.poll()), "the refusal")
        assert (replies[0].reason_id, replies[0].reason_values) == (
            "refused.control", {"holder": "first"},
        )  # fmt: skip
        with pytest.raises(ClientError, match="reset: first has control"):
            daq.control.call("reset")  # a tool that does not say who it is
        with pytest.raises(ClientError) as refused:
            second.call("module", **BIAS_OFF)  # refused for want of modules, not of control
        assert "has control" not in str(refused.value)
        assert second.call("control", action="ask")["holder"] == "first"
        display = DisplayClient(daq.endpoints)
        told: list[Any] = []

        def both_are_named() -> bool:
            told[:] = [display.telemetry(0.1)]
            return told[0] is not None and bool(told[0].control_asked)

        wait_until(both_are_named, "telemetry that names both")
        display.close()
        assert (told[0].control, told[0].control_asked) == ("first", "second")
        assert second.call("control", action="take")["yours"]
        second.call("reset")
        second.call("control", action="keep")
        second.call("control", action="give")
        daq.control.call("arm")
    journal = [entry.text for entry in daq.service.life.journal.tail]
    assert "control: second has taken it over from first" in journal
    lines = [json.loads(line) for line in (tmp_path / "runs" / NAME).read_text().splitlines()]
    taken = [line["as"] for line in lines if line["command"] == "control"]
    assert len(taken) == 3 and len(set(taken)) == 1
    assert not any("keep" in str(line) for line in lines)
