"""The alarm strip is there as long as something waits for an answer; heard only where wanted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gui.app.alarm_list import AlarmList
from gui.app.alarm_strip import SOUND_EVERY_S, AlarmStrip, alarm_facts, alarm_help
from gui.app.console import application
from hw.messages.telemetry import Alarm
from rigs.gui.feeder import ALARMS

pytestmark = pytest.mark.gui
LOST, HARMED = ALARMS


def told(*alarms: Alarm, hidden: int = 0) -> Any:
    """Return what a strip looks at of telemetry."""
    return SimpleNamespace(alarms=list(alarms), alarms_hidden=hidden)


@pytest.fixture
def sent() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def strip(sent: list[tuple[str, dict[str, Any]]]) -> AlarmStrip:
    application(headless=True)
    desk: Any = SimpleNamespace(answer_alarms=lambda name, args: sent.append((name, args)))
    return AlarmStrip(desk)


def test_it_is_hidden_without_alarms_and_without_a_daq(strip: AlarmStrip) -> None:
    for nothing in (None, told()):
        strip.refresh(told(LOST))
        assert not strip.isHidden()
        strip.refresh(nothing)
        assert strip.isHidden()


def test_it_says_how_bad_what_why_and_what_to_do(strip: AlarmStrip) -> None:
    strip.refresh(told(LOST, HARMED, hidden=3))
    assert strip.look.text() == "◆ HIGH"
    assert strip.words.toolTip() == alarm_help(LOST)
    assert "Do: look at the source's process" in alarm_help(LOST)
    assert strip.facts.toolTip().startswith("4 more, key 8")
    assert "came first · cause still there" in alarm_facts(LOST)
    assert "×1\N{NARROW NO-BREAK SPACE}204" in alarm_facts(HARMED)
    assert "acknowledged by a technologist" in alarm_facts(HARMED)


def test_its_buttons_answer_the_alarm_that_is_shown(strip: AlarmStrip, sent: list[Any]) -> None:
    strip.refresh(told(LOST))
    strip.answer.click()
    strip.aside.click()
    assert sent == [
        ("acknowledge", {"numbers": [4]}),
        ("shelve", {"numbers": [4], "minutes": 10}),
    ]
    strip.refresh(told(HARMED))
    strip.answer.click()
    assert len(sent) == 2, "it was acknowledged"


def test_sound_comes_once_for_what_is_new_and_again_while_a_bad_one_waits() -> None:
    application(headless=True)
    heard: list[float] = []
    now = [0.0]
    desk: Any = None
    strip = AlarmStrip(desk, sound=lambda: heard.append(now[0]), clock=lambda: now[0])
    for step in range(int(20 * SOUND_EVERY_S)):
        now[0] = 0.1 * step
        strip.refresh(told(LOST))
    assert heard == pytest.approx([0.0, SOUND_EVERY_S], abs=0.11)
    answered = msgspec.structs.replace(LOST, answered_by="somebody")
    for _ in range(int(20 * SOUND_EVERY_S)):
        now[0] += 0.1
        strip.refresh(told(answered))
    assert len(heard) == 2


def test_the_list_has_cause_and_remedy() -> None:
    application(headless=True)
    page = AlarmList()
    page.refresh(told(LOST, HARMED))
    texts = [page.table.item(0, column).text() for column in range(page.table.columnCount())]
    assert texts[0] == "◆ HIGH"
    assert texts[1] == "source lost: emulator has fallen silent"
    assert "no word from it for 3 s" in texts[3]
    assert "look at the source's process" in texts[4]
    page.refresh(told())
    assert (page.table.rowCount(), page.note.text()) == (0, "none")
