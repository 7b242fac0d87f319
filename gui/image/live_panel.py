"""The image: three linked views, the facts about it, and its display window.

The window always starts at 0 and ends at a share of a percentile of the image. There is no SUV
window: the live image has no weight and injected activity to compute SUV.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.image.frame_strip import FrameStrip
from gui.image.shown_facts import ImageFacts
from gui.image.slice_views import SliceView
from gui.image.slices import (
    AXES,
    CORONAL,
    PLANES,
    SAGITTAL,
    TRANSAXIAL,
    LevelReference,
    Plane,
    centre_mm,
    hottest,
)
from gui.image.time_windows import WindowChooser
from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel, scrolling
from gui.kit.pictures import PERCENTILES, PicturePanel, captioned, dim
from gui.kit.wording import grouped, level_text, short_unit, shown_unit
from gui.link.command_desk import CommandDesk
from gui.link.daq_view import Link
from hw.messages.pictures import ImageMessage

NARROW_PX = 500


class ImagePanel(PicturePanel):
    """The live image."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__(
            "LIVE IMAGE",
            teaches="Reconstructed while the data arrive. Axes are the scanner's: z runs along it.",
        )
        self._message: ImageMessage | None = None
        self._reference = LevelReference()
        self.cursor = [0, 0, 0]
        self.views = {plane.name: SliceView(plane) for plane in PLANES}
        self.sliders = {plane.name: self._slider(plane) for plane in PLANES}
        self.facts = ImageFacts()
        self.window_box = WindowChooser(desk)
        self.strip = FrameStrip()
        self._rows = QtWidgets.QVBoxLayout()
        self._rows.setSpacing(4)
        self.brief = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self.brief.hide()
        self.body.addWidget(self.brief)
        self.side = self._side()
        self._rows.addLayout(_row((self._block(TRANSAXIAL), 60), (self.side, 40)))
        self._rows.addLayout(_row((self._block(CORONAL), 1), (self._block(SAGITTAL), 1)))
        self._share_height(1.3 * 220, 156)
        self.body.addLayout(self._rows, 1)
        self.body.addWidget(self.strip)
        for view in self.views.values():
            view.moved.connect(self.move_cursor)

    def _block(self, plane: Plane) -> QtWidgets.QWidget:
        block = QtWidgets.QWidget()
        block.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred
        )
        column = QtWidgets.QVBoxLayout(block)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.views[plane.name], 1)
        column.addWidget(self.sliders[plane.name])
        return block

    def _share_height(self, upper: float, lower: float) -> None:
        self._rows.setStretch(0, int(upper))
        self._rows.setStretch(1, int(lower))

    def _slider(self, plane: Plane) -> QtWidgets.QSlider:
        slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        slider.setEnabled(False)
        slider.setToolTip(f"{plane.name} cut along {AXES[plane.through]}")
        slider.valueChanged.connect(lambda index: self.move_cursor(plane.through, index))
        return slider

    def _side(self) -> QtWidgets.QWidget:
        side = QtWidgets.QWidget()
        side.setMinimumWidth(234)
        side.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred
        )
        column = QtWidgets.QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.facts)
        column.addStretch(1)
        self.at_cursor = ElidedLabel(size_px=theme.BASE_PX)
        column.addWidget(self.at_cursor)
        column.addWidget(self.bar)
        column.addLayout(self._window_controls())
        return scrolling(side)

    def _window_controls(self) -> QtWidgets.QLayout:
        self.percentile_box.setToolTip(
            "Upper end of the window: this percentile of the voxels above zero"
        )
        self.level.setToolTip("Upper end of the window, as a share of the percentile's level")
        self.auto = QtWidgets.QCheckBox("Auto")
        self.auto.setChecked(True)
        self.auto.setToolTip("Let the window follow the image (key A). Off: hold the level")
        self.map_box.currentIndexChanged.connect(self._draw)
        self.percentile_box.currentTextChanged.connect(self._choose_percentile)
        self.level.valueChanged.connect(self._draw)
        self.auto.toggled.connect(self._rewindow)
        for control in (self.map_box, self.percentile_box, self.auto):
            control.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
        self.share = CalmLabel("100 %")
        self.share.setMinimumWidth(42)
        return captioned(
            ("Events", self.window_box),
            ("Colours", self.map_box),
            ("Window 0 to", self.percentile_box, self.auto),
            ("Level", self.level, self.share),
        )

    def refresh(self, link: Link, *, new_image: bool) -> None:
        """Show a new image if there is one, and the age of the image in any case."""
        if new_image and link.image is not None:
            self._take(link.image)
        self.facts.refresh_age(link)
        if not self.brief.isHidden():
            self.brief.show_text(*self.facts.brief())
        if link.telemetry is not None and link.image_is_of_run:
            for view in self.views.values():
                view.name_ends(link.telemetry.patient_position)
        self.window_box.refresh(link)
        dim(self.views.values(), dimmed=bool(link.image) and not link.image_is_of_run)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Where there is no room beside the views, tell the most important above them."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW_PX
        self.side.setHidden(narrow)
        self.brief.setHidden(not narrow)

    def _take(self, message: ImageMessage) -> None:
        first = self._message is None or self._message.shape != message.shape
        new_run = self._message is None or self._message.run != message.run
        self._message = message
        if first:
            self._enter_space(message)
        if self.auto.isChecked() or new_run:
            self._reference.follow(message.array(), at_once=new_run)
        self.facts.refresh_image(message)
        self.window_box.follow(message)
        self._draw()

    def _enter_space(self, message: ImageMessage) -> None:
        self.cursor = [size // 2 for size in message.shape]
        for plane in PLANES:
            view, slider = self.views[plane.name], self.sliders[plane.name]
            view.set_space(message.shape, message.voxel_mm)
            slider.blockSignals(True)
            slider.setRange(0, message.shape[plane.through] - 1)
            slider.setValue(self.cursor[plane.through])
            slider.blockSignals(False)
            slider.setEnabled(True)
        upper_mm, lower_mm = (self.views[name].extent_mm()[1] for name in ("Transaxial", "Coronal"))
        self._share_height(1.2 * upper_mm + 40, lower_mm + 40)

    def _draw(self) -> None:
        if self._message is None:
            return
        image, upper = self._message.array(), self.upper
        self.share.show_text(f"{self.level.value()} %")
        table = self._tables[self.map_box.currentText()]
        for view in self.views.values():
            view.show_cut(image, self.cursor, upper, table)
        each, unit = shown_unit(self._message.unit)
        labels = "0", level_text(each * upper / 2), level_text(each * upper)
        self.bar.set_scale(table, labels, unit)
        height = (self.cursor[TRANSAXIAL.through] + 0.5) / self._message.shape[TRANSAXIAL.through]
        self.strip.show_frames(self._message.frames, height, table)
        self._say_cursor()

    @property
    def upper(self) -> float:
        """Upper end of the window in the image's unit."""
        return self._reference.value * self.level.value() / 100.0

    def _say_cursor(self) -> None:
        message = self._message
        if message is None:
            return
        places = (
            grouped(centre_mm(*axis))
            for axis in zip(self.cursor, message.shape, message.voxel_mm, strict=False)
        )
        each, unit = shown_unit(message.unit)
        value = each * float(message.array()[tuple(self.cursor)])
        self.at_cursor.show_text(
            f"✛ ({', '.join(places)}) mm:  {level_text(value)} {short_unit(unit)}"
        )

    def move_cursor(self, axis: int, index: int) -> None:
        """Move the crosshair to ``index`` along one axis, in all views."""
        if self._message is None or self.cursor[axis] == index:
            return
        if not 0 <= index < self._message.shape[axis]:
            return
        self.cursor[axis] = index
        slider = self.sliders[next(plane.name for plane in PLANES if plane.through == axis)]
        slider.setValue(index)
        self._draw()

    def step(self, axis: int, steps: int) -> None:
        """Move the crosshair by some voxels along one axis."""
        self.move_cursor(axis, self.cursor[axis] + steps)

    def centre(self) -> None:
        """Move the crosshair to the image's centre."""
        if self._message is not None:
            self._jump([size // 2 for size in self._message.shape])

    def seek_hottest(self) -> None:
        """Move the crosshair to the hottest voxel."""
        if self._message is not None:
            self._jump(list(hottest(self._message.array())))

    def _jump(self, cursor: list[int]) -> None:
        for axis, index in enumerate(cursor):
            self.move_cursor(axis, index)

    def _choose_percentile(self, name: str) -> None:
        self._reference.percentile = PERCENTILES[name]
        if self._message is not None:
            self._reference.follow(self._message.array(), at_once=True)
        self._draw()

    def _rewindow(self) -> None:
        if self._message is not None and self.auto.isChecked():
            self._reference.follow(self._message.array(), at_once=True)
        self._draw()


def _row(*parts: tuple[QtWidgets.QWidget, int]) -> QtWidgets.QHBoxLayout:
    row = QtWidgets.QHBoxLayout()
    row.setSpacing(8)
    for part, share in parts:
        row.addWidget(part, share)
    return row
