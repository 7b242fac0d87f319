"""Commands whose request or reply is lost are asked again, and done once."""

from __future__ import annotations

import threading

import pytest

from daq.link.serial.line_errors import LinkLost, NoAnswer, SerialLinkError
from daq.link.serial.session import ModuleSession
from hw.wire.control import COMMANDS, State
from rigs.firmware.native_modules import RUN_TAG, begin_run, bring_up, wait_until
from rigs.scripted_module import ScriptedModule
from rigs.wire_proxy import WireProxy


def lose_first(name: str):
    """Return what a module does that loses its first reply to this command."""
    lost = []

    def hear(command):
        if command.code == COMMANDS[name].code and not lost:
            lost.append(command)
            return b""
        return None

    return hear


def test_a_lost_reply_is_asked_for_with_the_same_sequence_number():
    with ScriptedModule(hear=lose_first("save")) as module:
        with ModuleSession.open(module.url, timeout_s=0.1) as session:
            session.command("save")
            session.command("save")
            assert session.statistics.retransmits == 1
        saves = [m.sequence for m in module.heard if m.code == COMMANDS["save"].code]
        assert saves[0] == saves[1]
        assert saves[2] != saves[0]


def test_nothing_else_is_sent_between_a_command_and_its_repeat():
    with ScriptedModule(hear=lose_first("save")) as module:
        with ModuleSession.open(module.url, timeout_s=1.2) as session:  # two beats long
            session.command("save")
        codes = [m.code for m in module.heard]
        first = codes.index(COMMANDS["save"].code)
        assert codes[first + 1] == COMMANDS["save"].code


def test_a_round_trip_of_a_repeated_command_is_not_counted():
    with (
        ScriptedModule(hear=lose_first("save")) as module,
        ModuleSession.open(module.url, timeout_s=0.1) as session,
    ):
        assert session.command("save").round_trip_s == 0.0
        assert session.statistics.round_trip_ms()[1] < 90.0


def test_no_reply_at_all_ends_within_the_bound():
    with ScriptedModule(hear=lambda m: b"" if m.code == COMMANDS["save"].code else None) as module:
        with (
            ModuleSession.open(module.url, timeout_s=0.05) as session,
            pytest.raises(NoAnswer, match=r"no reply within 4 × 0\.05 s"),
        ):
            session.command("save")
        assert [m.code for m in module.heard].count(COMMANDS["save"].code) == 4


def test_commands_of_many_threads_take_turns():
    with ScriptedModule() as module, ModuleSession.open(module.url) as session:
        threads = [
            threading.Thread(target=lambda: [session.read("module") for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert session.statistics.retransmits == 0
        assert [m.code for m in module.heard].count(COMMANDS["read"].code) == 80


def test_a_callback_may_not_send_commands():
    raised = []

    def on_notice(name, record):
        try:
            session.command("telemetry")
        except SerialLinkError as error:
            raised.append(str(error))

    with ScriptedModule() as module, ModuleSession.open(module.url, on_notice=on_notice) as session:
        from os import write

        from daq.link.serial.packets import NOTICE, encode_message
        from hw.wire.control import STRUCTS

        notice = encode_message(NOTICE, 0, 2, bytes(STRUCTS["telemetry"].itemsize))
        write(module.master, notice)
        wait_until(lambda: raised)
    assert "may not send commands" in raised[0]


@pytest.mark.parametrize(
    ("command", "fields", "words"),
    [
        ("fly", {}, "there is no command 'fly'"),
        ("bias", {}, "takes target_mV"),
        ("bias", {"target_mV": 1, "colour": 2}, "colour"),
        ("bias", {"target_mV": -1}, "allowed is 0 to 4294967295"),
        ("save", {"tail": b"x"}, "1 bytes"),
        ("update_data", {"offset": 0, "tail": bytes(1021)}, "1024 are the most"),
    ],
)
def test_a_command_that_cannot_be_is_refused_before_it_is_sent(command, fields, words):
    with ScriptedModule() as module, ModuleSession.open(module.url) as session:
        heard = len([m for m in module.heard if m.code != COMMANDS["beat"].code])
        with pytest.raises(SerialLinkError, match=words):
            session.command(command, **fields)
        assert len([m for m in module.heard if m.code != COMMANDS["beat"].code]) == heard


@pytest.mark.firmware
@pytest.mark.parametrize("way", ["up", "down"])
def test_run_is_done_once_though_its_request_or_reply_is_lost(machine, tmp_path, way):
    with (
        WireProxy(machine.serial_url, tmp_path) as proxy,
        ModuleSession.open(proxy.url, module=3) as session,
    ):
        bring_up(session)
        session.write("telemetry_ms", 60_000)
        session.connection._quiet = True  # no beats: what is swallowed is to be this command's
        getattr(proxy, way).swallow = 22 if way == "up" else 35  # all of the reply, of the request
        begin_run(session)  # done twice it would be refused: the second one comes in state running
        assert session.statistics.retransmits >= 1
        telemetry = session.ask_telemetry()
        assert telemetry["state"] == State.running
        repeats = int(telemetry["repeats"])  # a slow machine may send a command once more
        if way == "up":
            assert repeats > 0
        else:  # one of those sent again came for the first time
            assert repeats < session.statistics.retransmits
        assert session.command("report")["run_tag"] == RUN_TAG
        session.command("abort")


@pytest.mark.firmware
def test_commands_to_a_closed_session_say_so(machine):
    session = ModuleSession.open(machine.serial_url)
    session.close()
    with pytest.raises(LinkLost, match="not connected"):
        session.command("telemetry")
