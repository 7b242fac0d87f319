"""Pages of the console: what each shows, by key and by its button; the layout that is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyqtgraph.Qt import QtCore
from PySide6.QtTest import QTest

from gui.app.bench import COLUMNS_PX
from gui.app.saved_layout import SavedLayout
from gui.app.window import PAGES, ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.deleted import delete_now
from rigs.gui.feeder import SCENARIOS, Feeder, Script

pytestmark = pytest.mark.gui
Pump = Callable[..., None]
Key = QtCore.Qt.Key

SHOWN: dict[str, set[str]] = {
    "Acquire": {
        "rates",
        "spectrum",
        "timing",
        "image",
        "counters",
        "modules",
        "sorting",
        "journal",
    },
    "Study": {"study"},
    "Live": {"image"},
    "Rates": {"rates", "spectrum", "timing"},
    "Modules": {"module_page"},
    "Runs": {"runs"},
    "QC": {"qc"},
    "Journal": {"counters", "journal"},
}


def shown(console: ConsoleWindow) -> set[str]:
    names = set().union(*SHOWN.values())
    return {name for name in names if getattr(console, name).isVisible()}


@pytest.mark.parametrize("number", range(len(PAGES)))
def test_each_page_has_its_panels_by_key_and_by_its_button(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, number: int
) -> None:
    name = list(PAGES)[number]
    with Feeder(endpoints):
        pump(lambda: console.run_bar.state.text() == "▶ RUNNING")
        QTest.keyClick(console, Key.Key_1 + number)
        assert shown(console) == SHOWN[name]
        QTest.keyClick(console, Key.Key_1)
        button = console.pages.rail.buttons[name]
        QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)
        assert shown(console) == SHOWN[name]
        assert button.isChecked()
        assert min(button.width(), button.height()) >= 44  # a finger's width


def test_a_digit_in_a_field_is_a_digit(console: ConsoleWindow, pump: Pump) -> None:
    console.pages.show_page("Modules")
    field = console.module_page.orders.bias_V
    field.setFocus()
    QTest.keyClicks(field, "52")
    assert field.text() == "52"
    assert console.pages.current == "Modules"


def test_a_SPECT_image_is_as_large_as_one_of_PET(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    console.pages.show_page("Live")
    sizes = []
    volume = np.ones((64, 64, 64), np.float32)
    for script in (Script(), replace(SCENARIOS["head"](), no_images=False)):
        script.image = volume
        with Feeder(endpoints, script):
            pump(lambda: console.link.image is not None and console.link.image_is_of_run)
            pump(lambda: console.image.isVisible() and not console.projections.isVisible())
            pump(lambda: console.image.views["Transaxial"].height() > 100)
            sizes.append(console.image.views["Transaxial"].size())
    assert sizes[0] == sizes[1]


def test_the_layout_is_kept_and_can_be_undone(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, tmp_path: Path
) -> None:
    kept = SavedLayout(tmp_path / "console.ini")
    first = ConsoleWindow(endpoints, kept)
    first.resize(1200, 760)
    first.show()
    first.pages.show_page("Rates")
    first._note_columns([350, 500, 300])
    first.close()
    again = ConsoleWindow(endpoints, SavedLayout(tmp_path / "console.ini"))
    assert kept.size == (1200, 760)
    assert again.pages.current == "Rates"
    assert again._columns_px == [350, 500, 300]
    again.reset_layout()
    assert (again.pages.current, again._columns_px) == ("Acquire", COLUMNS_PX)
    assert SavedLayout(tmp_path / "console.ini").size is None
    again.close()
    for window in (first, again):
        delete_now(window)


@pytest.mark.parametrize(
    "content",
    ["", "size=9x9", "size=ax2\ncolumns=1x1x1\npage=Nowhere", "\0\xff", "size=" + "9" * 99],
)
def test_a_damaged_layout_is_as_good_as_none(
    endpoints: Endpoints, console: ConsoleWindow, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "console.ini"
    path.write_text(f"[General]\n{content}\n", encoding="utf-8")
    layout = SavedLayout(path)
    assert layout.size is None
    window = ConsoleWindow(endpoints, layout)
    assert window.pages.current == "Acquire"
    assert window._columns_px == COLUMNS_PX
    window.close()
    delete_now(window)
