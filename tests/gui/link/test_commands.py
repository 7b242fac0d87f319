"""Commands: sent without waiting, followed to their end, withdrawn when nobody answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gui.kit.words import speak
from gui.link.command_desk import ALLOWED, CommandDesk
from hw.messages.endpoints import Endpoints
from hw.notices.catalogue import notice
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def poll_until(desk: CommandDesk, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        desk.poll()
        time.sleep(0.005)


def test_the_state_machine_allows_what_the_daq_allows() -> None:
    assert {state: set(names) for state, names in ALLOWED.items()} == {
        "idle": {"arm"},
        "armed": {"start", "reset"},
        "running": {"stop"},
        "stopping": set(),
        "closed": {"arm", "reset"},
        "error": {"reset"},
    }


def test_a_command_is_pending_until_done(endpoints: Endpoints) -> None:
    with Feeder(endpoints, Script(state="idle")) as feeder:
        desk = CommandDesk(endpoints)
        desk.set_sorting({"policy": "all"})
        desk.send("arm")
        assert desk.is_pending("arm")
        assert "waiting for the daq" in desk.notice.text
        poll_until(desk, lambda: not desk.pending)
        assert desk.notice.text == "✓ arm: done"
        assert [(c.name, c.args) for c in feeder.commands] == [
            ("arm", {"settings": {"policy": "all"}})
        ]
        desk.close()


def test_a_refusal_shows_the_daqs_reason(endpoints: Endpoints) -> None:
    with Feeder(endpoints, Script(refuse="no source is attached")):
        desk = CommandDesk(endpoints)
        desk.send("start")
        poll_until(desk, lambda: not desk.pending)
        assert desk.notice.text == "✗ start refused: no source is attached"
        assert desk.notice.severity == "alarm"
        desk.close()


def test_a_refusal_by_id_is_said_in_the_language_that_is_spoken(endpoints: Endpoints) -> None:
    why = notice("refused.control", holder="desk 2")
    with Feeder(endpoints, Script(refuse=why)):
        speak("ja")
        try:
            desk = CommandDesk(endpoints)
            desk.send("start")
            poll_until(desk, lambda: not desk.pending)
        finally:
            speak("en")
        assert "desk 2 が操作権を持っています" in desk.notice.text
        desk.close()


def test_a_second_click_sends_nothing_more(endpoints: Endpoints) -> None:
    with Feeder(endpoints, Script(answers=False)) as feeder:
        desk = CommandDesk(endpoints)
        desk.send("stop")
        desk.send("stop")
        poll_until(desk, lambda: bool(feeder.commands))
        assert len(feeder.commands) == len(desk.pending) == 1
        desk.close()


def test_an_unanswered_command_is_withdrawn_and_never_reaches_a_late_daq(
    endpoints: Endpoints,
) -> None:
    clock = Clock()
    desk = CommandDesk(endpoints, clock=clock)
    desk.send("start")
    clock.now_s += 4.9
    desk.poll()
    assert desk.is_pending("start")
    clock.now_s += 0.2
    desk.poll()
    assert not desk.pending
    assert desk.notice.text == "⚠ start: no answer from the daq for 5 s; withdrawn"
    time.sleep(0.3)  # the linger of the dropped connection
    with Feeder(endpoints, Script(state="armed")) as feeder:
        desk.send("ping")
        poll_until(desk, lambda: not desk.pending)
        assert [command.name for command in feeder.commands] == ["ping"]
    desk.close()


def test_good_news_goes_away_and_bad_news_stays(endpoints: Endpoints) -> None:
    clock = Clock()
    with Feeder(endpoints, Script(state="idle")) as feeder:
        desk = CommandDesk(endpoints, clock=clock)
        desk.send("arm")
        poll_until(desk, lambda: not desk.pending)
        clock.now_s += 60
        assert desk.notice.text == ""
        feeder.script.refuse = "no"
        desk.send("start")
        poll_until(desk, lambda: not desk.pending)
        clock.now_s += 60
        assert desk.notice.text == "✗ start refused: no"
        desk.close()
