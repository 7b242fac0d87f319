"""Two images side by side: one place, one window, also where their voxels are not alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pyqtgraph.Qt import QtCore, QtGui

from gui.app.console import application
from gui.image.image_file import StoredImage
from gui.stored.compare_window import CompareWindow
from gui.stored.runs_page import COMPARE_WORDS, RunsPage

pytestmark = [pytest.mark.gui, pytest.mark.timeout(120)]
Pump = Callable[..., None]
PLACE_MM = (-6.0, 9.0, 15.0)


def image(voxel_mm: float, hot: float, *, unit: str = "Bq/mL", frames: int = 1) -> StoredImage:
    """A cube of 60 mm, 1000 everywhere, but for what lies around ``PLACE_MM``."""
    size = round(60 / voxel_mm)
    centres = (np.arange(size) - 0.5 * (size - 1)) * voxel_mm
    x, y, z = np.meshgrid(centres, centres, centres, indexing="ij")
    away = np.maximum.reduce([abs(a - b) for a, b in zip((x, y, z), PLACE_MM, strict=True)])
    volume = np.where(away <= 4, hot, 1000.0).astype(np.float32)
    volume = np.repeat(volume[..., None], frames, axis=3)
    return StoredImage(Path("x.nii.gz"), volume, (voxel_mm,) * 3, unit, "HFS")


@pytest.fixture
def show(no_stray_exceptions: None, pump: Pump) -> Iterator[Callable[..., CompareWindow]]:
    application(headless=True)
    windows: list[CompareWindow] = []

    def make(left: StoredImage, right: StoredImage) -> CompareWindow:
        windows.append(CompareWindow(("left", left), ("right", right)))
        windows[-1].show()
        pump(lambda: True)
        return windows[-1]

    yield make
    for window in windows:
        window.close()
    pump(lambda: True)


def click(window: CompareWindow, side: int, plane: str, *, right_mm: float, up_mm: float) -> None:
    """Press and release the left button where a place is drawn."""
    view = window.sides[side].linked.by_name[plane]
    point = view.at_mm(right_mm, up_mm)
    for kind in (QtCore.QEvent.Type.MouseButtonPress, QtCore.QEvent.Type.MouseButtonRelease):
        button = QtCore.Qt.MouseButton.LeftButton
        event = QtGui.QMouseEvent(
            kind, point, view.mapToGlobal(point), button, button,
            QtCore.Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        application(headless=True).sendEvent(view, event)


def test_a_click_in_one_points_at_the_same_place_in_both(show) -> None:
    window = show(image(2.0, 9000.0), image(3.0, 5000.0))
    x, y, z = PLACE_MM
    click(window, 0, "Transaxial", right_mm=x, up_mm=y)
    click(window, 1, "Coronal", right_mm=x, up_mm=z)
    assert [side.words.toolTip() for side in window.sides] == ["✛ 9.00 kBq/mL", "✛ 5.00 kBq/mL"]
    for side in window.sides:
        for axis, place_mm in enumerate(PLACE_MM):
            n, size = side.image.volume.shape[axis], side.image.voxel_mm[axis]
            away_mm = abs((side.cursor[axis] - 0.5 * (n - 1)) * size - place_mm)
            assert away_mm <= 0.51 * (2.0 + 3.0)  # half a voxel of each


def test_one_level_is_one_colour_in_both(show) -> None:
    window = show(image(2.0, 2000.0), image(3.0, 4000.0))
    window.percentile_box.setCurrentText("maximum")
    assert window.uppers() == [4000.0, 4000.0]
    for side in window.sides:
        side.point_at(2, -20.0)  # far from what is hot: 1000 everywhere
    window.level.setValue(50)
    drawn = [side.linked.by_name["Transaxial"]._pixels for side in window.sides]
    greys = {int(pixel) & 0xFF for pixels in drawn for pixel in np.unique(pixels)}
    assert greys == {255 - 127}  # a half of the window 0 to 2000, inverted


def test_levels_of_different_units_are_not_compared_and_that_is_said(show) -> None:
    window = show(image(2.0, 9000.0), image(2.0, 50_000.0, unit="SUV"))
    window.percentile_box.setCurrentText("maximum")
    assert window.uppers()[0] != window.uppers()[1]
    assert "the units differ" in window.note.text()


def test_magnifying_one_magnifies_both_and_a_frame_is_its_own(show) -> None:
    window = show(image(2.0, 9000.0), image(3.0, 5000.0, frames=4))
    views = [side.linked.by_name["Sagittal"] for side in window.sides]
    views[0].viewport.magnify(2.0, {})
    views[0].looked.emit()
    assert views[1].viewport.zoom == 2.0
    assert not window.sides[0].frame.isEnabled() and window.sides[1].frame.maximum() == 3
    window.sides[0].linked.show_single("Coronal")
    assert [v.isHidden() for v in window.sides[1].linked.by_name.values()] == [True, False, True]


def test_two_images_of_the_page_are_compared_in_two_clicks(
    page: RunsPage, runs: Path, pump: Pump
) -> None:
    images = runs / "monday" / "images"
    other = np.full((20, 16, 12), 500.0, np.float32)
    nib.save(nib.Nifti1Image(other, np.diag([2.0, 2.0, 3.0, 1.0])), images / "osem.nii.gz")
    names = [page.table.item(row, 0).text() for row in range(page.table.rowCount())]
    page.table.selectRow(names.index("tuesday"))
    page.desk.buttons["Compare"].click()
    assert page.desk.words.toolTip() == "compare: no image is shown"
    page.table.selectRow(names.index("monday"))
    pump(lambda: page.image.shown is not None, bound_s=30)
    page.desk.buttons["Compare"].click()
    assert page.desk.words.toolTip() == COMPARE_WORDS
    assert page.compared is None
    page.image.choice.setCurrentIndex(1)
    pump(lambda: page.image.shown is not None, bound_s=30)
    page.desk.buttons["Compare"].click()
    assert page.compared is not None
    titles = [side.title.toolTip() for side in page.compared.sides]
    assert titles == ["monday · osem.nii.gz", "monday · bsrem.nii.gz"]
    first = page.compared
    for number in (0, 1):
        page.image.choice.setCurrentIndex(number)
        pump(lambda: page.image.shown is not None, bound_s=30)
        page.desk.buttons["Compare"].click()
    gone: list[bool] = []
    first.destroyed.connect(lambda: gone.append(True))
    pump(lambda: bool(gone), bound_s=10)
    assert page.compared is not None and page.compared is not first
    page.compared.close()
    pump(lambda: page.compared is None, bound_s=10)
