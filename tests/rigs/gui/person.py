"""A person at the console: hands that reach what is on the screen, and eyes that see no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pyqtgraph.Qt import QtCore, QtWidgets
from PySide6.QtTest import QTest

from gui.app.hold_button import HOLD_S
from gui.app.window import ConsoleWindow
from rigs.gui.layout_faults import layout_faults

BOUND_S = 120.0
LEFT = QtCore.Qt.MouseButton.LeftButton
Key = QtCore.Qt.Key
T = TypeVar("T")


def until(what: Callable[[], T], words: str) -> T:
    """Let Qt work until something is there, and return it; ends the program after the bound."""
    deadline = time.monotonic() + BOUND_S
    while not (found := what()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{words} did not come within {BOUND_S:g} s")
        QtWidgets.QApplication.processEvents()
        time.sleep(0.01)
    return found


@dataclass
class Person:
    """Hands and eyes at the console: counts clicks and keys, sees only what is on the screen.

    acknowledged_ms : from the click on Start to the console's word that the daq has done it
    """

    window: ConsoleWindow
    shots: Path | None = None
    clicks: int = 0
    keys: int = 0
    acknowledged_ms: float = 0.0
    _shot: int = 0

    def click(self, widget: QtWidgets.QWidget) -> None:
        """Click the middle of a part, once it can be clicked."""
        words = _named(widget)
        until(lambda: widget.isVisible() and widget.isEnabled(), f"{words}, to be clicked,")
        place = widget.rect().center()
        top = widget.window()
        there = top.childAt(widget.mapTo(top, place))  # None outside the window
        if there is not widget and not (there and widget.isAncestorOf(there)):
            raise SystemExit(f"{words} is not where it is to be clicked: {_named(there)} is")
        QTest.mouseClick(widget, LEFT, pos=place)
        self.clicks += 1

    def page(self, name: str) -> None:
        """Go to a page by the rail."""
        self.click(self.window.pages.rail.buttons[name])
        until(lambda: self.window.pages.current == name, f"page {name}")

    def write(self, line: QtWidgets.QLineEdit, text: str) -> None:
        """Click into a field and type."""
        self.click(line)
        QTest.keyClicks(line, text)
        self.keys += len(text)

    def choose(self, box: QtWidgets.QComboBox, text: str) -> None:
        """Open a list by a click and choose what begins so by a second one."""
        starts = QtCore.Qt.MatchFlag.MatchStartsWith
        until(lambda: box.findText(text, starts) >= 0, f"{_named(box)}: {text!r}, to be chosen,")
        place = box.findText(text, starts)
        self.click(box)
        until(box.view().isVisible, f"the list of {_named(box)}")
        viewport = box.view().viewport()
        item = box.view().visualRect(box.model().index(place, box.modelColumn())).center()
        QTest.mouseMove(viewport, item)
        opened, moment_s = time.monotonic(), QtWidgets.QApplication.doubleClickInterval() / 1000
        until(lambda: time.monotonic() > opened + moment_s + 0.2, "a moment")  # no double click
        QTest.mouseClick(viewport, LEFT, pos=item)
        self.clicks += 1
        until(lambda: box.currentIndex() == place, f"{_named(box)} at {text!r}")

    def overwrite(self, line: QtWidgets.QLineEdit, text: str) -> None:
        """Type in place of what stands in a field that has the keys."""
        QTest.keyClick(line, Key.Key_A, QtCore.Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(line, text)
        self.keys += len(text) + 1

    def key(self, key: QtCore.Qt.Key) -> None:
        """Press a key in the window."""
        QTest.keyClick(self.window, key)
        self.keys += 1

    def hold(self, button: QtWidgets.QAbstractButton) -> None:
        """Hold a button of what ends or discards."""
        until(button.isEnabled, f"{_named(button)}, to be held,")
        QTest.mousePress(button, LEFT)
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > HOLD_S + 0.3, "the hold")
        QTest.mouseRelease(button, LEFT)
        self.clicks += 1

    def answer(self, text: str, act: Callable[[], None]) -> None:
        """Do what asks for a line, and answer it."""

        def type_it() -> None:
            asked = QtWidgets.QApplication.activeModalWidget()
            if asked is None:
                QtCore.QTimer.singleShot(50, type_it)
                return
            line = asked.findChild(QtWidgets.QLineEdit)
            if line.text():
                self.overwrite(line, text)
            else:
                QTest.keyClicks(line, text)
                self.keys += len(text)
            QTest.keyClick(line, Key.Key_Return)
            self.keys += 1

        QtCore.QTimer.singleShot(50, type_it)
        act()

    def look(self, name: str) -> None:
        """See whether the page can be read, and keep it."""
        faults = [one for one in layout_faults(self.window) if "StaleVeil" not in one]  # it covers
        if faults:
            raise SystemExit("\n".join([f"{name}:", *faults]))
        if self.shots is not None:
            self._shot += 1
            self.window.grab().save(str(self.shots / f"{self._shot:02d}-{name}.png"))


def _named(widget: QtWidgets.QWidget | None) -> str:
    if widget is None:
        return "nothing"
    text = getattr(widget, "text", lambda: "")()
    return f"{type(widget).__name__} {(widget.accessibleName() or text).split(chr(10))[0]!r}"
