"""One stray key ends no scan: windows opened in mid-run, and the keys that people press."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pyqtgraph.Qt import QtCore, QtWidgets
from PySide6.QtTest import QTest

from gui.app.console import application
from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.deleted import delete_now
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui

Pump = Callable[..., None]
Key = QtCore.Qt.Key
OPENINGS = 11


@pytest.fixture
def running(endpoints: Endpoints) -> Iterator[Feeder]:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        yield feeder


def key(window: QtWidgets.QWidget, code: QtCore.Qt.Key) -> None:
    """Type a key as the window system does: into the window that has the focus."""
    application(headless=True)
    QTest.keyClick(window.windowHandle(), code)


def opened(endpoints: Endpoints, pump: Pump) -> ConsoleWindow:
    """Return a console that was opened in mid-run, has the focus, and may stop the run."""
    application(headless=True)
    window = ConsoleWindow(endpoints)
    window.resize(1280, 800)
    window.show()
    window.timer.start(20)
    pump(lambda: window.run_bar.buttons["stop"].isEnabled() and window.isActiveWindow())
    return window


def test_no_key_ends_a_scan_in_any_of_eleven_windows_opened_in_mid_run(
    endpoints: Endpoints, running: Feeder, pump: Pump, no_stray_exceptions: None
) -> None:
    for _ in range(OPENINGS):
        window = opened(endpoints, pump)
        for code in (Key.Key_Space, Key.Key_Return, Key.Key_Enter, Key.Key_F7, Key.Key_F8):
            key(window, code)
        heard = window.link.telemetries
        pump(lambda window=window, heard=heard: window.link.telemetries > heard + 2)
        window.leaving = True
        window.close()
        delete_now(window)
    assert [command.name for command in running.commands] == []
    assert running.script.state == "running"


def test_no_key_ends_a_scan_wherever_the_focus_is(
    endpoints: Endpoints, running: Feeder, console: ConsoleWindow, pump: Pump
) -> None:
    pump(lambda: console.run_bar.buttons["stop"].isEnabled())
    for page in ("Acquire", "Modules"):
        console.pages.show_page(page)
        takers = [
            widget
            for widget in console.findChildren(QtWidgets.QWidget)
            if widget.window() is console and widget.isVisible() and widget.isEnabled()
            and widget.focusPolicy() & QtCore.Qt.FocusPolicy.TabFocus
            and not isinstance(widget, QtWidgets.QPushButton)
        ]  # fmt: skip
        assert takers
        for widget in takers:
            widget.setFocus()
            for code in (Key.Key_Space, Key.Key_Return):
                QTest.keyClick(widget, code)
    assert [command.name for command in running.commands if command.name != "live"] == []


def test_what_ends_or_discards_never_takes_the_focus(console: ConsoleWindow) -> None:
    bar, page = console.run_bar.buttons, console.module_page
    orders = [page.orders.buttons[name] for name in ("bias_off", "reset", "update")]
    for button in (*bar.values(), *orders, page.scan_form.halt):
        assert button.focusPolicy() == QtCore.Qt.FocusPolicy.NoFocus, button.text()


@pytest.mark.parametrize("page", ["Acquire", "Modules"])
def test_f7_held_stops_the_run_from_any_page(
    running: Feeder, console: ConsoleWindow, pump: Pump, page: str
) -> None:
    window = console
    window.pages.show_page(page)
    window.activateWindow()
    pump(lambda: console.run_bar.buttons["stop"].isEnabled() and window.isActiveWindow())
    QTest.keyPress(window.windowHandle(), Key.Key_F7)
    assert running.commands == []
    pump(lambda: [command.name for command in running.commands] == ["stop"])
    QTest.keyRelease(window.windowHandle(), Key.Key_F7)


def test_a_held_key_is_let_go_as_the_focus_leaves(
    running: Feeder, console: ConsoleWindow, pump: Pump
) -> None:
    stop = console.run_bar.buttons["stop"]
    pump(lambda: stop.isEnabled() and console.isActiveWindow())
    QTest.keyPress(console.windowHandle(), Key.Key_F7)
    assert stop.text() == "Hold 1 s"
    console.show_keys()
    pump(lambda: not console.isActiveWindow())
    assert stop.fraction == 0.0
    box = QtWidgets.QApplication.activeModalWidget()
    assert box is not None
    box.close()


def test_a_page_that_is_shown_takes_no_key_for_itself(
    endpoints: Endpoints, running: Feeder, pump: Pump, no_stray_exceptions: None
) -> None:
    """A field that had the focus by itself would take the next page's key as a letter."""
    window = opened(endpoints, pump)
    held = {}
    for number, name in enumerate(window.pages.names, start=1):
        window.pages.show_page(window.pages.names[0])
        pump(lambda: True)
        for code in (getattr(Key, f"Key_{number}"), Key.Key_1):
            key(window, code)
            pump(lambda: True)
        if window.pages.current != window.pages.names[0]:
            held[name] = type(window.focusWidget()).__name__
    window.leaving = True
    window.close()
    window.deleteLater()
    assert not held
