"""What ends or discards must be held: neither a click nor a short press is enough."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pyqtgraph.Qt import QtCore
from PySide6.QtTest import QTest

from gui.app.console import application
from gui.app.hold_button import HOLD_S, REPEAT_S, HoldButton

pytestmark = pytest.mark.gui


class Held:
    """A button with a clock that only moves when told, and how often it acted."""

    def __init__(self) -> None:
        application(headless=True)
        self.now_s = 100.0
        self.acted = 0
        self.button = HoldButton("Stop", clock=lambda: self.now_s)
        self.button.held.connect(self._act)

    def _act(self) -> None:
        self.acted += 1

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.button.step()


@pytest.fixture
def held() -> Held:
    return Held()


def test_held_for_its_time_it_acts_once(held: Held) -> None:
    held.button.begin()
    held.wait(0.6 * HOLD_S)
    assert held.button.fraction == pytest.approx(0.6)
    assert held.acted == 0
    held.wait(0.4 * HOLD_S)
    held.wait(5 * HOLD_S)
    assert (held.acted, held.button.fraction) == (1, 0.0)


def test_a_key_whose_repeats_come_as_releases_and_presses_is_held(held: Held) -> None:
    held.button.key_down()
    for _ in range(25):
        held.wait(0.04 * HOLD_S)
        held.button.key_up()
        held.wait(0.002)
        held.button.key_down()
    assert held.acted == 1


def test_a_key_held_on_after_it_acted_does_not_act_again(held: Held) -> None:
    held.button.key_down()
    held.wait(HOLD_S)
    held.button.key_up()
    held.button.key_down()
    held.wait(2 * HOLD_S)
    assert held.acted == 1


@pytest.mark.parametrize("up_after_s", [0.5, HOLD_S - 0.01])
def test_a_key_let_go_too_early_does_nothing(held: Held, up_after_s: float) -> None:
    held.button.key_down()
    held.wait(up_after_s)
    held.button.key_up()
    for _ in range(20):
        held.wait(REPEAT_S / 5)
    assert (held.acted, held.button.fraction) == (0, 0.0)
    assert held.button.text() == "Hold 1 s"


@pytest.mark.parametrize("let_go_after", [0.0, 0.5, 0.99])
def test_let_go_too_early_it_does_nothing_but_says_how(held: Held, let_go_after: float) -> None:
    held.button.begin()
    held.wait(let_go_after * HOLD_S)
    held.button.let_go()
    assert held.button.text() == "Hold 1 s"
    held.wait(3 * HOLD_S)
    assert held.acted == 0
    assert held.button.text() == "Stop"


def test_short_presses_do_not_add_up(held: Held) -> None:
    for _ in range(5):
        held.button.begin()
        held.wait(0.4 * HOLD_S)
        held.button.let_go()
        held.wait(0.1)
    assert held.acted == 0


def test_disabled_while_held_it_gives_up(held: Held) -> None:
    held.button.begin()
    held.button.setEnabled(False)
    held.wait(2 * HOLD_S)
    held.button.setEnabled(True)
    held.wait(2 * HOLD_S)
    assert held.acted == 0


def test_disabled_it_cannot_be_held(held: Held) -> None:
    held.button.setEnabled(False)
    held.button.begin()
    held.wait(2 * HOLD_S)
    assert held.acted == 0


def test_it_never_has_the_focus_and_a_click_does_nothing(held: Held) -> None:
    assert held.button.focusPolicy() == QtCore.Qt.FocusPolicy.NoFocus
    held.button.click()
    assert held.acted == 0


def test_it_fills_while_it_is_held(held: Held) -> None:
    def reds() -> int:
        picture = held.button.grab().toImage()
        row = [picture.pixelColor(x, 4) for x in range(picture.width())]
        return sum(colour.red() > colour.blue() + 40 for colour in row)

    held.button.resize(100, 32)
    assert reds() == 0
    held.button.begin()
    held.now_s += 0.5 * HOLD_S
    assert 45 <= reds() <= 55


def test_the_mouse_holds_it_in_real_time(pump: Callable[..., None]) -> None:
    application(headless=True)
    button, acted = HoldButton("Stop"), []
    button.held.connect(lambda: acted.append(True))
    button.show()
    QTest.mousePress(button, QtCore.Qt.MouseButton.LeftButton)
    pump(lambda: acted == [True])
    QTest.mouseRelease(button, QtCore.Qt.MouseButton.LeftButton)
    assert button.text() == "Stop"
