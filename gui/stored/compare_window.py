"""Two stored images side by side: one crosshair in mm, one magnification, one window of levels.

If their units differ, no level of one means anything in the other: each then has a window of its
own, and the page says so.
"""

from __future__ import annotations

import numpy as np
from pyqtgraph.Qt import QtCore, QtWidgets

from gui.image.image_file import StoredImage
from gui.image.linked_views import LinkedViews
from gui.image.slices import centre_mm
from gui.image.viewport import Viewport
from gui.kit import theme
from gui.kit.colour_maps import Image
from gui.kit.panels import ElidedLabel
from gui.kit.pictures import PERCENTILES, PicturePanel, captioned
from gui.kit.wording import level_text, short_unit, shown_unit
from gui.kit.words import tr
from gui.stored.stored_image import PLACES, full_level

SIZE = (1160, 720)


class ComparedImage(QtWidgets.QWidget):
    """One of the two: its name, three linked views, its frame, the value at the crosshair.

    pointed : emits the place in mm, from the image's middle, that a person chose in it
    """

    pointed = QtCore.Signal(int, float)
    changed = QtCore.Signal()

    def __init__(self, name: str, image: StoredImage, viewport: Viewport) -> None:
        super().__init__()
        self.image, self.cursor = image, [size // 2 for size in image.volume.shape[:3]]
        self.linked = LinkedViews(viewport)
        shape = image.volume.shape
        self._shape = (shape[0], shape[1], shape[2])
        self.linked.set_space(self._shape, image.voxel_mm)
        self.linked.name_ends(image.position)
        self.linked.moved.connect(self._point)
        self.title = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self.title.show_text(name)
        self.words = ElidedLabel(size_px=theme.BASE_PX)
        self.frame = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.frame.setToolTip(tr("Frame or gate"))
        self.frame.setRange(0, shape[3] - 1)
        self.frame.setEnabled(shape[3] > 1)
        self.frame.valueChanged.connect(self.changed)
        self._lay_out()

    def _lay_out(self) -> None:
        views = QtWidgets.QGridLayout()
        for (row, column, across), view in zip(PLACES, self.linked.by_name.values(), strict=True):
            views.addWidget(view, row, column, 1, across)
        views.setRowStretch(0, 58)
        views.setRowStretch(1, 42)
        column_of_all = QtWidgets.QVBoxLayout(self)
        column_of_all.setContentsMargins(0, 0, 0, 0)
        column_of_all.addWidget(self.title)
        column_of_all.addLayout(views, 1)
        column_of_all.addWidget(self.words)
        column_of_all.addLayout(captioned((tr("Frame"), self.frame)))

    @property
    def volume(self) -> Image:
        """The shown frame."""
        return np.ascontiguousarray(self.image.volume[..., self.frame.value()])

    def _point(self, axis: int, index: int) -> None:
        place_mm = centre_mm(index, self._shape[axis], self.image.voxel_mm[axis])
        self.pointed.emit(axis, place_mm)

    def point_at(self, axis: int, place_mm: float) -> None:
        """Put the crosshair at the voxel nearest to a place."""
        size, voxel_mm = self._shape[axis], self.image.voxel_mm[axis]
        index = round(place_mm / voxel_mm + 0.5 * (size - 1))
        self.cursor[axis] = max(0, min(size - 1, index))

    def draw(self, upper: float, table: np.ndarray) -> None:
        """Draw all views in the window 0 to ``upper``."""
        volume = self.volume
        self.linked.draw(volume, self.cursor, upper, table)
        each, unit = shown_unit(self.image.unit)
        value = each * float(volume[tuple(self.cursor)])
        self.words.show_text(f"✛ {level_text(value)} {short_unit(unit)}")


class CompareWindow(PicturePanel):
    """A window of its own for the two images."""

    def __init__(self, left: tuple[str, StoredImage], right: tuple[str, StoredImage]) -> None:
        super().__init__(tr("COMPARE"), teaches=tr("Two stored images: one crosshair, one window."))
        self.setWindowTitle(f"{left[0]} | {right[0]}")
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(*SIZE)
        viewport = Viewport()
        self.sides = [ComparedImage(name, image, viewport) for name, image in (left, right)]
        self.alike = left[1].unit == right[1].unit
        pair = QtWidgets.QHBoxLayout()
        for side in self.sides:
            pair.addWidget(side, 1)
            side.pointed.connect(self._point)
            side.changed.connect(self._draw)
            side.linked.windowed.connect(self.change_level)
            side.linked.arranged.connect(self._arrange)
            for view in side.linked.by_name.values():
                view.looked.connect(self._repaint)
        self.body.addLayout(pair, 1)
        self.body.addWidget(self.bar)
        self.body.addLayout(
            captioned(
                (tr("Colours"), self.map_box), (tr("Window 0 to"), self.percentile_box, self.level)
            )
        )
        for box in (self.map_box, self.percentile_box):
            box.currentIndexChanged.connect(self._draw)
        self.level.valueChanged.connect(self._draw)
        if not self.alike:
            words = tr("⚠ the units differ: each image has a window of its own")
            self.note.show_text(words, theme.WARNING)
        self._draw()

    def uppers(self) -> list[float]:
        """Return the upper end of each image's window, in its own unit."""
        percentile = PERCENTILES[self.percentile_box.currentData()]
        share = self.level.value() / 100
        levels = [share * full_level(side.volume, percentile) for side in self.sides]
        return [max(levels)] * len(levels) if self.alike else levels

    def _draw(self) -> None:
        table, uppers = self._tables[self.map_box.currentData()], self.uppers()
        for side, upper in zip(self.sides, uppers, strict=True):
            side.draw(upper, table)
        each, unit = shown_unit(self.sides[0].image.unit)
        labels = ("0", level_text(each * uppers[0] / 2), level_text(each * uppers[0]))
        if not self.alike:
            labels, unit = ("0", "50 %", "100 %"), tr("of each window")
        self.bar.set_scale(table, labels, unit)

    def _point(self, axis: int, place_mm: float) -> None:
        for side in self.sides:
            side.point_at(axis, place_mm)
        self._draw()

    def _repaint(self) -> None:
        for side in self.sides:
            side.linked.repaint()

    def _arrange(self) -> None:
        """Show in both what is shown alone in one."""
        asked = self.sender()
        single = asked.single if isinstance(asked, LinkedViews) else ""
        for side in self.sides:
            side.linked.single = single
            for name, view in side.linked.by_name.items():
                view.setHidden(bool(single) and name != single)
