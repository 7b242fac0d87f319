"""Who has control of the run: named in the run bar, asked for, taken over, kept and given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daq.client.client import ClientError, ControlClient
from gui.app.window import ConsoleWindow
from gui.link.command_desk import CommandDesk
from gui.link.control_share import HEARTBEAT_S, ControlShare, console_name
from hw.messages.endpoints import Endpoints
from rigs.daq_in_thread import DaqInThread
from rigs.gui.deleted import delete_now
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui
Pump = Callable[..., None]


def actions(feeder: Feeder) -> list[str]:
    return [str(c.args["action"]) for c in feeder.commands if c.name == "control"]


def test_another_ones_control_greys_the_commands_and_is_asked_for_then_taken_over(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    bar, me = console.run_bar, console.desk.name
    script = Script(state="running", no_images=True, control="console of MT")
    with Feeder(endpoints, script) as feeder:
        pump(lambda: bar.control.text() == "◌ control: other")
        assert not any(button.isEnabled() for button in bar.buttons.values())
        assert "console of MT has control" in bar.control.toolTip()
        bar.control.click()
        pump(lambda: actions(feeder) == ["ask"])
        script.control_asked = me
        pump(lambda: bar.control.text() == "⚠ take it over?")
        bar.control.click()
        pump(lambda: "take" in actions(feeder))
        script.control, script.control_asked = me, ""
        pump(lambda: bar.control.text() == "● control: here")
        assert bar.buttons["stop"].isEnabled()


def test_who_is_asked_gives_it_with_a_click_and_a_closed_console_gives_it_up(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    me = console.desk.name
    script = Script(state="idle", no_images=True, control=me, control_asked="console of MT")
    with Feeder(endpoints, script) as feeder:
        pump(lambda: console.run_bar.control.text() == "⚠ asked: give it?")
        assert "console of MT asks for control" in console.run_bar.control.toolTip()
        console.run_bar.control.click()
        pump(lambda: "give" in actions(feeder))
        console.close()
        pump(lambda: actions(feeder).count("give") == 2)


def test_without_a_daq_nobody_knows(console: ConsoleWindow, pump: Pump) -> None:
    pump(lambda: console.run_bar.control.text() == "control: ?")
    assert not console.run_bar.control.isEnabled()


def test_a_heartbeat_a_second_while_it_is_held_or_asked_for(endpoints: Endpoints) -> None:
    now_s = [0.0]
    with Feeder(endpoints) as feeder:
        desk = CommandDesk(endpoints, name="me")
        share = ControlShare(desk, clock=lambda: now_s[0])
        told = feeder.telemetry()
        for holder, asking, beats in (("", "", 0), ("A", "B", 0), ("me", "", 1), ("A", "me", 1)):
            told.control, told.control_asked = holder, asking
            before = len(feeder.commands)
            now_s[0] += 2 * HEARTBEAT_S
            for _ in range(3):
                share.refresh(told)
                now_s[0] += 0.3 * HEARTBEAT_S
            desk.share_control("ask")  # what came before it has come, too
            _until(desk, lambda: not desk.pending)
            assert actions(feeder)[before:] == ["keep"] * beats + ["ask"]
        share.refresh(None)
        assert share.share == "unknown"
        desk.close()


def _until(desk: CommandDesk, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "no answer"
        desk.poll()
        time.sleep(0.005)


def test_a_console_names_itself_in_printable_letters() -> None:
    name = console_name()
    assert name.startswith("console of ")
    assert len(name) <= 80 and name.isprintable()


@pytest.fixture
def daq(tmp_path: Path) -> Iterator[DaqInThread]:
    with DaqInThread(tmp_path) as process:
        yield process


@pytest.mark.processes
def test_at_a_real_daq_the_console_takes_over_and_keeps_it(
    daq: DaqInThread, no_stray_exceptions: None, pump: Pump
) -> None:
    window = ConsoleWindow(daq.endpoints)
    window.show()
    window.timer.start()
    button, buttons = window.run_bar.control, window.run_bar.buttons
    with ControlClient(daq.endpoints, name="console of MT") as other:
        pump(lambda: button.text() == "○ control: free")
        other.call("arm")
        pump(lambda: button.text() == "◌ control: other")
        button.click()
        pump(lambda: button.text() == "⚠ take it over?")
        button.click()
        pump(lambda: button.text() == "● control: here")
        with pytest.raises(ClientError, match=r"reset: console of .* has control"):
            other.call("reset")
        buttons["reset"].held.emit()  # type: ignore[attr-defined]
        pump(lambda: window.run_bar.state.text() == "○ IDLE")
        window.leaving = True
        window.close()
        other.call("arm")  # given up with its console, not after its silence
    delete_now(window)
