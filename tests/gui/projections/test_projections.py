"""The console of a SPECT run: projections, windows, angles; nothing of pairs. And back to PET."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pyqtgraph.Qt import QtCore, QtGui

from gui.app.console import application
from gui.app.window import ConsoleWindow
from gui.kit import theme
from gui.kit.words import speak, tr
from gui.projections.planar_panel import ALL_PHOTOPEAKS
from gui.projections.planar_view import ProjectionView, angle_text
from hw.messages.endpoints import Endpoints
from hw.notices.language import LANGUAGES
from rigs.gui.feeder import SCENARIOS, Feeder, single_photons

pytestmark = pytest.mark.gui
Pump = Callable[..., None]


def shows_pictures(console: ConsoleWindow) -> bool:
    return console.projections.isVisible() and console.projections.whole.modules > 0


def test_a_run_of_single_photons_shows_projections_and_nothing_of_pairs(
    console: ConsoleWindow, endpoints: Endpoints, pump: Pump
) -> None:
    with Feeder(endpoints, SCENARIOS["head"]()):
        pump(lambda: shows_pictures(console) and console.singles_rates.isVisible())
        pump(lambda: console.sorting.values["Policy"].text().startswith("single photons"))
        assert not console.image.isVisible()  # there is none: projections have its place
        assert not console.timing.isVisible()
        assert not console.rates.isVisible()
        assert console.run_bar.what.text() == "SPECT console"
        facts = console.projections.facts
        pump(lambda: facts.badge.text() == "● LIVE")
        assert facts.values["Angle"].text() == "123.4°"
        pump(lambda: console.counters._captions["Prompts"].text() == "In windows")


def test_a_run_of_pairs_after_it_shows_its_image_again(
    console: ConsoleWindow, endpoints: Endpoints, pump: Pump
) -> None:
    with Feeder(endpoints, SCENARIOS["head"]()) as feeder:
        pump(lambda: shows_pictures(console))
        feeder.script = SCENARIOS["good"]()
        feeder.script.image = np.ones((4, 4, 4), np.float32)
        pump(lambda: console.image.isVisible() and console.timing.isVisible())
        assert console.rates.isVisible()
        assert not console.singles_rates.isVisible()
        assert console.run_bar.what.text() == "PET console"


def test_windows_are_chosen_photopeaks_first_and_all_of_them_together(
    console: ConsoleWindow, endpoints: Endpoints, pump: Pump
) -> None:
    with Feeder(endpoints, SCENARIOS["head"]()):
        panel = console.projections
        pump(lambda: shows_pictures(console) and panel.window_box.count() == 7)
        texts = [panel.window_box.itemText(k) for k in range(7)]
        assert texts[:3] == ["▮ Lu-177_113", "▮ Lu-177_208", ALL_PHOTOPEAKS]
        counts, _ = console.link.projections.arrays()  # type: ignore[union-attr]
        assert np.array_equal(panel.whole._counts, counts[1])
        panel.next_window()
        assert np.array_equal(panel.whole._counts, counts[4])
        panel.next_window()
        assert np.array_equal(panel.whole._counts, counts[1] + counts[4])
        assert panel.map_box.currentText() == "Inverted grey"
        console._next_map()
        assert panel.map_box.currentText() == "Grey"


def test_nine_columns_stand_side_by_side_without_overlap(
    console: ConsoleWindow, endpoints: Endpoints, pump: Pump
) -> None:
    with Feeder(endpoints, SCENARIOS["columns"]()):
        pump(lambda: shows_pictures(console))
        view = console.projections.recent
        frames = [view.frame(m) for m in range(9)]
        room = QtCore.QRectF(view.rect())
        assert all(room.contains(frame) for frame in frames)
        assert not any(a.intersects(b) for k, a in enumerate(frames) for b in frames[:k])
        assert view.caption(0)[0] == "0"
        assert view.caption(0)[1].startswith("−40")
        assert console.projections.facts.values["Angle"].text() == "−40.0° to 40.0°"


def test_a_point_on_a_picture_is_told_as_module_crystal_and_counts() -> None:
    view = ProjectionView("here")
    view.resize(300, 300)
    counts = np.arange(2 * 3 * 4, dtype=np.uint32).reshape(2, 3, 4)
    table = np.zeros(256, np.uint32)
    view.show_pictures(counts, (2.0, 2.0), [], upper=1.0, table=table, notes=())
    frame = view.frame(1)
    upper_right = QtCore.QPointF(frame.right() - 1, frame.top() + 1)
    assert view.describe(upper_right) == "module 1, crystal (3, 2): 23 counts"
    lower_left = QtCore.QPointF(frame.left() + 1, frame.bottom() - 1)
    assert view.describe(lower_left) == "module 1, crystal (0, 0): 12 counts"
    assert view.describe(QtCore.QPointF(0, 0)) == ""


def test_the_picture_has_v_upwards() -> None:
    view = ProjectionView("here")
    view.resize(200, 200)
    counts = np.zeros((1, 4, 4), np.uint32)
    counts[0, 3, 0] = 9  # the crystal at most positive v
    table = np.arange(256, dtype=np.uint32)
    view.show_pictures(counts, (1.0, 1.0), [], upper=9.0, table=table, notes=())
    assert view._pixels[0, 0, 0] == 255
    assert view._pixels[0].sum() == 255


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [112, 138, 220, 500])
def test_what_has_no_room_is_left_out_whole(width: int, language: str) -> None:
    application(headless=True)
    speak(language)
    try:
        view = ProjectionView(tr("Last {recent_s:.0f} s", recent_s=5))
        view.resize(width, 120)
        notes = tr("0 … {level} counts", level="8.00"), "0 … 8.00"
        table, counts = np.zeros(256, np.uint32), np.zeros((1, 4, 4), np.uint32)
        view.show_pictures(counts, (2.0, 2.0), [], upper=1.0, table=table, notes=notes)
        small = QtGui.QFontMetricsF(theme.font(theme.SMALL_PX))
        bold = QtGui.QFontMetricsF(theme.font(theme.SMALL_PX, bold=True))
        shown = view.shown_note()
        assert shown in (*notes, "")
        words_px = bold.horizontalAdvance(view.title) + small.horizontalAdvance(shown)
        assert words_px < width
        left, below = view.shown_directions(0.4 * width, 20.0)
        end = left + 25 + QtGui.QFontMetricsF(theme.font(10)).horizontalAdvance(below)
        assert end <= width and below.startswith("50 mm")
    finally:
        speak("en")


def test_a_module_that_has_not_told_its_angle_is_said_so(
    console: ConsoleWindow, endpoints: Endpoints, pump: Pump
) -> None:
    with Feeder(endpoints, single_photons("Tc-99m", 9, [None, *([1.0] * 8)])):
        pump(lambda: shows_pictures(console))
        assert console.projections.whole.caption(0)[1] == "?°"
        assert console.projections.facts.values["Angle"].text() == "⚠ unknown of 1 / 9"


def test_pictures_whose_bytes_do_not_fit_are_refused_in_words(
    console: ConsoleWindow, endpoints: Endpoints, pump: Pump
) -> None:
    from rigs.gui.feeder import projections

    def torn(feeder: Feeder) -> object:
        pictures = projections(feeder)
        pictures.counts = pictures.counts[:-4]
        return pictures

    script = SCENARIOS["head"]()
    script.projections = torn  # type: ignore[assignment]
    with Feeder(endpoints, script):
        pump(lambda: "projections of run" in console.link.fault)
    assert console.projections.whole.modules == 0


@pytest.mark.parametrize(
    ("angle", "text"), [(0.0, "0.0°"), (-12.34, "−12.3°"), (359.96, "360.0°"), (None, "?°")]
)
def test_angles_are_written_with_their_sign(angle: float | None, text: str) -> None:
    assert angle_text(angle) == text
