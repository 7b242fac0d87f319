"""Language and colours change in an open window; what was typed, seen and chosen stays."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyqtgraph.Qt import QtCore, QtGui, QtTest, QtWidgets

from gui.app import manual
from gui.app.console import application
from gui.app.saved_layout import SavedLayout
from gui.app.window import PAGES, ConsoleWindow
from gui.kit import theme, words
from gui.kit.palettes import DARK, LIGHT
from hw.messages.endpoints import Endpoints
from rigs.gui.drawn import drawn
from rigs.gui.feeder import Feeder, Script, trouble

pytestmark = pytest.mark.gui

Pump = Callable[..., None]


@pytest.fixture(autouse=True)
def _as_before(no_stray_exceptions: None) -> Iterator[None]:
    yield
    words.speak("en")
    theme.apply_theme(application(headless=True), "dark")


def test_what_was_typed_seen_and_chosen_stays(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, trouble()):
        pump(drawn(console))
        console.pages.show_page("Study")
        console.study.editors["weight_kg"].setText("62.5")
        console.study.editors["patient_position"].setCurrentIndex(3)
        console.image.step(2, 5)
        pump(lambda: console.journal.table.rowCount() > 0)
        cursor, rows = list(console.image.cursor), console.journal.table.rowCount()
        history = console.rates.history
        console.speak("ja")
        assert console.pages.current == "Study"
        assert console.study.editors["weight_kg"].text() == "62.5"
        assert console.study.editors["patient_position"].currentIndex() == 3
        assert console.image.cursor == cursor
        assert console.journal.table.rowCount() >= rows
        assert console.rates.history is history
        pump(drawn(console))


def test_keys_work_once_after_a_change(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="running")):
        pump(drawn(console))
        for language in ("ja", "en"):
            console.speak(language)
        pump(drawn(console))
        console.activateWindow()
        pump(console.isActiveWindow)
        QtTest.QTest.keyClick(console, QtCore.Qt.Key.Key_4)
        assert console.pages.current == "Rates"
        before = list(console.image.cursor)
        QtTest.QTest.keyClick(console, QtCore.Qt.Key.Key_Up)
        moved = [now - then for now, then in zip(console.image.cursor, before, strict=True)]
        assert moved == [0, 1, 0]


def test_nothing_of_the_old_widgets_is_left(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="running")):
        pump(drawn(console))

        def count() -> int:
            QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
            gc.collect()
            return len(console.findChildren(QtCore.QObject))

        console.colour("light")
        pump(drawn(console))
        first = count()
        for palette in ("dark", "light"):
            console.colour(palette)
            pump(drawn(console))
        assert count() <= 1.05 * first


def test_colours_are_those_of_the_palette(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="running")):
        pump(drawn(console))
        for palette, colours in (("light", LIGHT), ("dark", DARK)):
            console.colour(palette)
            pump(drawn(console))
            shown = console.grab().toImage()
            assert shown.pixelColor(2, 2) == QtGui.QColor(colours["BACKGROUND"])
            assert console.run_bar.state.colour == colours["GOOD"]


def test_a_change_waits_for_a_job(endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> None:
    console.runs.desk.worker.start("a job", "--help")
    assert console.busy
    console.footer.refresh("", busy=console.busy)
    assert not console.footer.colours.isEnabled()
    console.speak("ja")
    assert words.spoken() == "en"
    pump(lambda: not console.busy)
    console.speak("ja")
    assert words.spoken() == "ja"


def test_what_was_chosen_is_kept(endpoints: Endpoints, tmp_path: Path) -> None:
    application(headless=True)
    kept = SavedLayout(tmp_path / "console.ini")
    window = ConsoleWindow(endpoints, kept)
    window.speak("ja")
    window.colour("light")
    window.reset_layout()
    window.close()
    again = SavedLayout(tmp_path / "console.ini")
    assert again.chosen("language", ("en", "ja")) == "ja"
    assert again.chosen("theme", ("dark", "light")) == "light"
    assert again.chosen("theme", ("dark",)) == ""


@pytest.mark.parametrize("page", PAGES)
def test_the_manual_opens_at_the_page_that_is_shown(
    endpoints: Endpoints, console: ConsoleWindow, page: str
) -> None:
    console.pages.show_page(page)
    console.show_manual()
    (opened,) = console.findChildren(manual.Manual)
    assert opened.text.textCursor().block().text() == page
    opened.close()


def test_the_manual_reads_files_of_this_machine_alone(console: ConsoleWindow) -> None:
    console.show_manual()
    (opened,) = console.findChildren(manual.Manual)
    kind = QtGui.QTextDocument.ResourceType.ImageResource
    assert opened.text.loadResource(kind, QtCore.QUrl("http://localhost/x.png")) is None
    picture = opened.text.loadResource(kind, QtCore.QUrl("images/console_live.png"))
    assert 0 < picture.width() <= opened.text.viewport().width()
    opened.close()


def test_a_manual_that_is_not_there_says_so(
    console: ConsoleWindow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(manual, "PAGE", tmp_path / "console.md")
    console.show_manual()
    (opened,) = console.findChildren(manual.Manual)
    assert str(tmp_path) in opened.text.toPlainText()
    opened.close()


def test_a_language_that_cannot_be_written_is_not_offered(
    console: ConsoleWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theme, "can_write", lambda _language: False)
    console.colour("light")
    console.footer.refresh("", busy=False)
    assert not console.footer.language.isEnabled()
    assert "apt-get install" in console.footer.language.toolTip()


def test_every_button_has_words_for_a_screen_reader(console: ConsoleWindow) -> None:
    buttons = console.findChildren(QtWidgets.QAbstractButton)
    mute = [b for b in buttons if not (b.text() or b.accessibleName() or b.toolTip())
            and not b.objectName().startswith("qt_")]  # fmt: skip
    assert not [type(button).__name__ for button in mute]
