"""The emergency Bias OFF: in reach on every page, at once, and what became of it stays in view."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pyqtgraph.Qt import QtCore, QtWidgets
from PySide6.QtTest import QTest

from gui.app.window import ConsoleWindow
from gui.modules.bias_off import KEY
from hw.messages.commands import Command
from hw.messages.endpoints import Endpoints
from hw.messages.modules import ModuleState
from rigs.gui.feeder import Feeder, Script
from rigs.gui.module_feeder import ModuleFeeder, well

pytestmark = pytest.mark.gui

Pump = Callable[..., None]
OFF = {"action": "bias", "modules": [], "values": {"target_mV": 0}}


def switched_off(module: int, bias_mV: int = 0, bias_state: str = "off") -> ModuleState:
    state = well(module)
    state.bias_mV, state.target_mV, state.bias_state = bias_mV, 0, bias_state
    return state


class Bedside:
    """A console with its daq and modules."""

    def __init__(self, endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> None:
        self.feeder = Feeder(endpoints, Script(no_images=True))
        self.modules = ModuleFeeder(endpoints)
        self.console, self.pump = console, pump
        self.button = console.run_bar.bias_off

    def show(self, modules: list[ModuleState], words: str) -> None:
        """Publish modules until the button shows the words."""

        def shown() -> bool:
            self.modules.tell(modules)
            return self.words == words

        self.pump(shown)

    @property
    def words(self) -> str:
        name, _, words = self.button.text().partition("\n")
        assert name == "BIAS OFF"
        return str(words)

    @property
    def orders(self) -> list[Command]:
        return [command for command in self.feeder.commands if command.name == "module"]


@pytest.fixture
def bedside(endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> Iterator[Bedside]:
    made = Bedside(endpoints, console, pump)
    with made.feeder, made.modules:
        pump(lambda: console.link.state == "connected")
        yield made


def press(button: QtWidgets.QPushButton) -> None:
    QTest.mousePress(button, QtCore.Qt.MouseButton.LeftButton)


def test_it_acts_on_the_press_for_all_modules_and_asks_nothing(bedside: Bedside) -> None:
    bedside.show([well(0), well(1)], f"{KEY}   56.5 V")
    press(bedside.button)
    assert bedside.words == "sent …"
    bedside.pump(lambda: bool(bedside.orders))
    assert bedside.orders[0].args == OFF
    assert QtWidgets.QApplication.activeModalWidget() is None
    bedside.show([switched_off(0, 23_000, "ramping"), switched_off(1)], "↘ 23.0 V")
    bedside.show([switched_off(0), switched_off(1)], "✓ all off")
    bedside.show([well(0), well(1)], f"{KEY}   56.5 V")  # a person ramped it again


@pytest.mark.parametrize("where", ["console", "modules", "a field", "keys", "question"])
def test_its_key_acts_in_every_window(bedside: Bedside, where: str) -> None:
    console, page = bedside.console, bedside.console.module_page
    bedside.show([well(0)], f"{KEY}   56.5 V")
    if where in ("modules", "a field"):
        console.pages.show_page("Modules")
        page.orders.bias_V.setFocus()
    if where == "keys":
        console.show_keys()
    if where == "question":
        assert not console.close()
    bedside.pump(lambda: where in ("console", "modules", "a field") or not console.isActiveWindow())
    window = QtWidgets.QApplication.activeWindow()
    assert window is not None
    QTest.keyClick(window.windowHandle(), QtCore.Qt.Key.Key_F9)
    bedside.pump(lambda: bool(bedside.orders))
    assert [order.args for order in bedside.orders] == [OFF]


def test_it_is_sent_again_as_often_as_it_is_pressed(bedside: Bedside) -> None:
    bedside.feeder.script.answers = False
    bedside.show([well(0)], f"{KEY}   56.5 V")
    for _ in range(3):
        press(bedside.button)
    bedside.pump(lambda: len(bedside.orders) == 3)


def test_a_refusal_stays_in_view_with_its_reason(bedside: Bedside) -> None:
    bedside.feeder.script.refuse = "module 1: no answer"
    bedside.show([well(0), well(1)], f"{KEY}   56.5 V")
    press(bedside.button)
    bedside.show([well(0), well(1)], "✗ FAILED 56.5 V")
    assert bedside.button.toolTip().endswith("module 1: no answer")
    assert bedside.button.isEnabled()


def test_a_daq_that_does_not_answer_is_told(bedside: Bedside) -> None:
    bedside.feeder.script.answers = False
    bedside.console.desk._patience_s = 0.2
    bedside.show([well(0)], f"{KEY}   56.5 V")
    press(bedside.button)
    bedside.show([well(0)], "✗ NO ANSWER")


def test_a_module_that_is_not_heard_is_never_told_as_off(bedside: Bedside) -> None:
    bedside.show([well(0), well(1)], f"{KEY}   56.5 V")
    press(bedside.button)
    gone = switched_off(1)
    gone.link.connected = False
    bedside.show([switched_off(0), gone], "✗ 1 UNHEARD")


def test_what_a_silent_link_process_told_last_is_no_measurement(bedside: Bedside) -> None:
    bedside.show([well(0)], f"{KEY}   56.5 V")
    bedside.pump(lambda: bedside.words == f"{KEY}   ? V")
    press(bedside.button)
    bedside.pump(lambda: bedside.words == "✗ 1 UNHEARD")


def test_without_modules_it_is_grey_and_says_why(bedside: Bedside) -> None:
    assert not bedside.button.isEnabled()
    assert bedside.words == "no modules"
    assert "no module with our firmware" in bedside.button.toolTip()
    press(bedside.button)
    QTest.keyClick(bedside.console.windowHandle(), QtCore.Qt.Key.Key_F9)
    assert bedside.orders == []


@pytest.mark.parametrize("size", [(1024, 768), (1280, 800), (1920, 1080)])
def test_it_is_wholly_in_view_on_every_page_and_nothing_lies_upon_it(
    bedside: Bedside, size: tuple[int, int]
) -> None:
    window, button = bedside.console, bedside.button
    window.resize(*size)
    for page in window.pages.names:
        window.pages.show_page(page)
        bedside.show([well(m) for m in range(48)], f"{KEY}   56.5 V")
        bedside.pump(lambda: (window.width(), window.height()) == size)
        corner = button.mapTo(window, QtCore.QPoint(0, 0))
        place = QtCore.QRect(corner, button.size())
        assert window.rect().contains(place)
        for spot in (place.topLeft() + QtCore.QPoint(4, 4), place.center(), place.bottomRight()):
            assert window.childAt(spot - QtCore.QPoint(1, 1)) is button


@pytest.mark.parametrize("size", [(1024, 768), (1280, 800)])
def test_no_command_of_the_run_lies_upon_another(bedside: Bedside, size: tuple[int, int]) -> None:
    console = bedside.console
    console.resize(*size)
    bedside.pump(lambda: (console.width(), console.height()) == size)
    QtWidgets.QApplication.processEvents()
    bar = console.run_bar
    bedside.pump(lambda: bar.state.text() == "▶ RUNNING")
    parts = [bar.state, *bar.buttons.values(), bar.elapsed, bar.link, bar.bias_off]
    places = [QtCore.QRect(w.mapTo(bar, QtCore.QPoint(0, 0)), w.size()) for w in parts]
    for place in places:
        assert bar.rect().contains(place)
    for number, place in enumerate(places):
        assert not any(place.intersects(other) for other in places[number + 1 :])


@pytest.mark.parametrize("size", [(1024, 768), (1280, 800)])
def test_the_modules_page_fits_with_nothing_clipped(
    bedside: Bedside, size: tuple[int, int]
) -> None:
    console, page = bedside.console, bedside.console.module_page
    console.resize(*size)
    console.pages.show_page("Modules")
    bedside.show([well(m) for m in range(48)], f"{KEY}   56.5 V")
    bedside.pump(lambda: page.table.rowCount() == 48)
    assert (console.width(), console.height()) == size
    for widget in page.findChildren(QtWidgets.QWidget):
        controls = (QtWidgets.QPushButton, QtWidgets.QLineEdit, QtWidgets.QComboBox)
        if isinstance(widget, controls) and widget.isVisible() and widget.window() is console:
            place = QtCore.QRect(widget.mapTo(page, QtCore.QPoint(0, 0)), widget.size())
            assert page.rect().contains(place), widget
            assert widget.width() >= widget.minimumSizeHint().width(), widget.text()
    table = page.table
    assert table.columnWidth(1) >= 90
    assert not table.horizontalScrollBar().isVisible()
