"""Closing a console in mid-run asks, and never ends the scan by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pyqtgraph.Qt import QtCore
from PySide6.QtTest import QTest

from gui.app.leave_question import LEAVE, STAY, STOP
from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui

Pump = Callable[..., None]


def asked(console: ConsoleWindow, pump: Pump) -> None:
    """Close a console that has heard its daq, until it asks."""
    pump(lambda: console.link.state == "connected")
    assert not console.close()
    pump(lambda: console.question.isVisible() and console.question.isActiveWindow())


def names(feeder: Feeder) -> list[str]:
    return [command.name for command in feeder.commands]


@pytest.mark.parametrize("state", ["running", "stopping"])
def test_closing_in_mid_run_asks_and_leaving_ends_no_scan(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, state: str
) -> None:
    with Feeder(endpoints, Script(state=state, no_images=True)) as feeder:
        asked(console, pump)
        assert "The scan goes on without this window" in console.question.text()
        assert endpoints.base in console.question.informativeText()
        console.question.answers[LEAVE].click()
        pump(lambda: not console.isVisible())
        assert names(feeder) == []


def test_the_scan_is_stopped_by_its_own_answer_and_the_window_stays_to_show_it(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        asked(console, pump)
        console.question.answers[STOP].click()
        pump(lambda: console.run_bar.state.text() == "✓ CLOSED")
        assert names(feeder) == ["stop"]
        assert console.isVisible()
        assert console.close()


@pytest.mark.parametrize("key", ["Space", "Return", "Enter", "Escape"])
def test_a_stray_key_stays(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, key: str
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        asked(console, pump)
        assert console.question.focusWidget() is console.question.answers[STAY]
        QTest.keyClick(console.question.windowHandle(), getattr(QtCore.Qt.Key, f"Key_{key}"))
        pump(lambda: not console.question.isVisible())
        assert console.isVisible() and names(feeder) == []


def test_tab_reaches_nothing_that_ends_or_leaves(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)):
        asked(console, pump)
        for _ in range(4):
            QTest.keyClick(console.question.windowHandle(), QtCore.Qt.Key.Key_Tab)
            focused = console.question.focusWidget()
            assert focused not in (console.question.answers[STOP], console.question.answers[LEAVE])


@pytest.mark.parametrize("state", ["idle", "armed", "closed", "error"])
def test_without_a_scan_it_closes_at_once(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, state: str
) -> None:
    with Feeder(endpoints, Script(state=state, no_images=True)):
        pump(lambda: console.link.state == "connected")
        assert console.close()


def test_one_that_was_told_to_leave_does_not_ask(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)):
        pump(lambda: console.run_bar.state.text() == "▶ RUNNING")
        console.leaving = True
        assert console.close()
