"""The live page: magnified, windowed, projected, with regions, their curves and a page as PDF."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pyqtgraph.Qt import QtCore
from PySide6.QtTest import QTest

from daq.folder.identity.review_file import change_review
from daq.folder.region_file import write_regions
from gui.app.window import ConsoleWindow
from gui.image.slices import PLANES, cut
from gui.kit.colour_maps import mixed
from hw.messages.endpoints import Endpoints
from hw.regions import Box, Sphere
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui

Pump = Callable[..., None]
SHAPE = (30, 24, 18)
LEFT = QtCore.Qt.MouseButton.LeftButton
RIGHT = QtCore.Qt.MouseButton.RightButton


def spots() -> np.ndarray:
    """Two hot voxels that no one cut holds both of."""
    image = np.ones(SHAPE, dtype=np.float32)
    image[5, 6, 4], image[24, 18, 14] = 10, 8
    return image


@pytest.fixture
def live(endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> ConsoleWindow:
    console.activateWindow()
    pump(console.isActiveWindow)
    console.pages.show_page("Live")
    return console


def test_projections_show_what_no_cut_shows(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=spots())):
        pump(lambda: live.link.images > 0)
        QTest.keyClick(live, QtCore.Qt.Key.Key_P)
        pump(lambda: all(view.through_all for view in live.image.views.values()))
        grey = live.image._tables["Inverted grey"]
        for plane in PLANES:
            view = live.image.views[plane.name]
            dark = (view._pixels == grey[-1]).sum()
            assert dark >= 1 or live.image.upper > 10
            assert view.place_text().startswith("MIP")
        image = live.image._image
        np.testing.assert_array_equal(
            live.image.linked._projected[1]["Coronal"], image.max(axis=1)[:, ::-1].T
        )


def test_one_view_alone_by_key_and_by_double_click(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=spots())):
        pump(lambda: live.link.images > 0)
        seen = []
        for _ in range(4):
            QTest.keyClick(live, QtCore.Qt.Key.Key_E)
            pump(lambda: True)
            seen.append([name for name, view in live.image.views.items() if view.isVisible()])
        all_three = [plane.name for plane in PLANES]
        assert seen == [[all_three[0]], [all_three[1]], [all_three[2]], all_three]
        QTest.mouseDClick(live.image.views["Sagittal"], LEFT)
        pump(lambda: not live.image.views["Coronal"].isVisible())
        live.pages.show_page("Acquire")
        pump(lambda: all(view.isVisible() for view in live.image.views.values()))


def test_magnified_views_stay_linked_and_the_crosshair_is_where_the_mouse_is(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=spots())):
        pump(lambda: live.link.images > 0)
        before = {name: view.scale_px_mm() for name, view in live.image.views.items()}
        for _ in range(3):
            QTest.keyClick(live, QtCore.Qt.Key.Key_Plus)
        for name, view in live.image.views.items():
            assert view.scale_px_mm() == pytest.approx(1.25**3 * before[name])
        view = live.image.views["Transaxial"]
        place = view.place_of(18, 15).toPoint()
        QTest.mouseClick(view, LEFT, pos=place)
        assert live.image.cursor[:2] == [18, 15]
        QTest.keyClick(live, QtCore.Qt.Key.Key_Z)
        assert live.image.linked.viewport.zoom == 1


def test_the_right_button_sets_the_window_and_holds_it(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=spots())):
        pump(lambda: live.link.images > 0)
        before, view = live.image.upper, live.image.views["Transaxial"]
        view.windowed.emit(0.7)
        assert live.image.upper == pytest.approx(0.7 * before, rel=0.02)
        assert not live.image.auto.isChecked()
        view.windowed.emit(20.0)
        assert live.image.upper == pytest.approx(14 * before, rel=0.05)


def test_a_region_at_the_crosshair_is_sent_drawn_read_and_removed(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump, tmp_path: Path
) -> None:
    script = Script(image=spots(), frames=3, folder=str(tmp_path))
    with Feeder(endpoints, script) as feeder:
        pump(lambda: live.link.images > 0 and live.image.page.folder == tmp_path)
        live.image.move_cursor(0, 20)
        live.image.regions.kind.setCurrentText("box")
        QTest.keyClick(live, QtCore.Qt.Key.Key_R)
        pump(lambda: any(command.name == "regions" for command in feeder.commands))
        (sent,) = [c.args["regions"] for c in feeder.commands if c.name == "regions"]
        assert [(one["kind"], one["name"]) for one in sent] == [("box", "A")]
        assert sent[0]["centre_mm"][0] == pytest.approx(
            (20 - 14.5) * live.image._message.voxel_mm[0]
        )
        kept = [Sphere("A", (0.0, 0.0, 0.0), 20.0), Box("B", (4.0, 0.0, 2.0), (9.0, 9.0, 9.0))]
        write_regions(tmp_path, kept)
        pump(lambda: live.image.regions.regions == kept)
        assert [name for name, _ in live.image.views["Transaxial"].marks] == ["A", "B"]
        complete = [one for one in live.link.image.frames if one.complete]
        pump(lambda: [len(points) for points in live.image.curves.means] == 2 * [len(complete)])
        assert live.image.curves.names.toolTip().startswith("mean of ")
        assert complete
        live.image.regions.chosen.setCurrentText("A")
        live.image.regions.remove_chosen()
        pump(lambda: sum(command.name == "regions" for command in feeder.commands) == 2)
        left = [c.args["regions"] for c in feeder.commands if c.name == "regions"][-1]
        assert [one["name"] for one in left] == ["B"]


def test_a_damaged_region_file_is_told(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump, tmp_path: Path
) -> None:
    (tmp_path / "regions.json").write_text('{"regions": 7}')
    with Feeder(endpoints, Script(image=spots(), folder=str(tmp_path))):
        pump(lambda: live.image.regions.words.text().startswith("✗"))
        assert live.image.regions.regions == []


def test_a_mu_map_lies_beneath_and_none_is_told(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump, tmp_path: Path
) -> None:
    tools, script = live.image.tools, Script(image=spots(), folder=str(tmp_path))
    with Feeder(endpoints, script):
        pump(lambda: live.link.images > 0 and live.image.page.folder == tmp_path)
        tools.beneath.choice.setCurrentIndex(1)
        tools.beneath.choice.activated.emit(1)
        pump(lambda: "no µ map" in tools.words.toolTip())
        water = np.zeros((60, 60, 60), np.float32)
        water[20:40, 20:40, 20:40] = 0.017
        np.savez(tmp_path / "mu_map.npz", mu_per_mm=water, voxel_mm=np.full(3, 4.0))
        tools.beneath.choice.setCurrentIndex(1)
        tools.beneath.choice.activated.emit(1)
        pump(lambda: live.image.linked.beneath is not None)
        beneath = live.image.linked.beneath
        assert beneath.shape == live.image._message.shape
        assert beneath.max() == pytest.approx(1.0, rel=1e-4)
        tools.beneath.slider.setValue(0)
        plane = PLANES[0]
        grey = live.image._tables["Grey"]
        here = cut(beneath, plane, live.image.cursor[plane.through])
        pixels = live.image.views[plane.name]._pixels
        assert set(np.unique(pixels[here > 0.99])) == {grey[-1]}


def test_mixing_is_linear_in_each_channel() -> None:
    over, under = np.array([[0xFF204060]], np.uint32), np.array([[0xFF800000]], np.uint32)
    assert mixed(over, under, 1.0)[0, 0] == 0xFF204060
    assert mixed(over, under, 0.0)[0, 0] == 0xFF800000
    assert mixed(over, under, 0.5)[0, 0] == 0xFF502030


def test_the_page_as_pdf_says_what_was_corrected_and_what_not(
    endpoints: Endpoints, live: ConsoleWindow, pump: Pump, tmp_path: Path
) -> None:
    signed = {"verdict": "keep", "reviewed_by": "a physicist", "reviewed_at": "2026-11-23T12:00Z"}
    change_review(tmp_path, signed, now=datetime.now(UTC))
    with Feeder(endpoints, Script(image=spots(), folder=str(tmp_path))):
        pump(lambda: live.link.images > 0 and live.image.page.folder == tmp_path)
        live.image.page.write(tmp_path / "page.pdf")
        (tmp_path / "file").touch()
        live.image.page.write(tmp_path / "file" / "page.pdf")
        assert live.image.tools.words.text().startswith("✗")
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("not installed: pdftotext (./tomoshibi --apt test)")
    read = subprocess.run(
        [reader, str(tmp_path / "page.pdf"), "-"], capture_output=True, text=True, check=True
    )
    text = " ".join(read.stdout.split())
    assert read.stdout.count("\f") == 1  # one page
    assert "not a medical device" in text
    assert "NOT corrected for" in text
    assert "keep; reviewed by a physicist at 2026-11-23" in text
    assert f"Live image of {Script().run}" in text
    assert (tmp_path / "page.pdf").stat().st_mode & 0o077 == 0
