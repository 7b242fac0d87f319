"""The image: three linked views, the facts about it, and its display window.

The window always starts at 0 and ends at a share of a percentile of the image. SUV can be shown
where the run's study has weight and injected activity, and the image is in Bq/mL.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from daq.errors import LogError
from daq.folder.identity.review_file import read_review
from gui.image.frame_player import FramePlayer
from gui.image.linked_views import LinkedViews
from gui.image.noise_goal import NoiseGoal
from gui.image.page_button import PageButton
from gui.image.page_report import PageContent
from gui.image.picture_layout import PictureLayout
from gui.image.region_curves import RegionCurves
from gui.image.region_desk import RegionDesk, region_words
from gui.image.shown_facts import ImageFacts
from gui.image.slices import (
    AXES,
    PLANES,
    TRANSAXIAL,
    LevelReference,
    Plane,
    centre_mm,
    hottest,
)
from gui.image.time_windows import WindowChooser
from gui.image.view_tools import ViewTools
from gui.kit import theme
from gui.kit.colour_maps import Image
from gui.kit.panels import CalmLabel, ElidedLabel, scrolling
from gui.kit.pictures import PERCENTILES, PicturePanel, captioned, dim
from gui.kit.wording import ShownUnit, grouped, level_text, short_unit, shown_unit
from gui.kit.words import tr
from gui.link.command_desk import CommandDesk
from gui.link.daq_view import Link
from hw.messages.corrections import label_of
from hw.messages.pictures import ImageMessage

NARROW_PX, LEAST_PX = 500, 302
"""Of the panel's width: below the first the views stand alone; the least."""


class ImagePanel(PicturePanel):
    """The live image."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__(
            tr("LIVE IMAGE"),
            teaches=tr(
                "Reconstructed while the data arrive. Axes are the scanner's: z runs along it."
            ),
        )
        self._message: ImageMessage | None = None
        self._image: Image = np.zeros((1, 1, 1), dtype=np.float32)
        self._reference = LevelReference()
        self.cursor = [0, 0, 0]
        self.linked = LinkedViews()
        self.views = self.linked.by_name
        self.sliders = {plane.name: self._slider(plane) for plane in PLANES}
        self.facts = ImageFacts()
        self.goal = NoiseGoal()
        self.regions = RegionDesk(desk)
        self.tools = ViewTools(self.linked, cursor=lambda: self.cursor, redraw=self._draw)
        self.page = PageButton(self.tools.page, self._page_content, self._page_pictures)
        self.page.said.connect(self.tools.say)
        self.tools.suv.toggled.connect(self._rescale)
        self.window_box = WindowChooser(desk)
        self.player = FramePlayer()
        self.strip = self.player.strip
        self.brief = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self.brief.hide()
        self.body.addWidget(self.brief)
        text, under, controls = self._text(), self._under(), self._window_controls()
        self.blocks = {plane.name: self._block(plane) for plane in PLANES}
        self.curves = RegionCurves()
        self._large = False
        self._layout = PictureLayout(self.blocks, text, under, controls, self.curves, self.player)
        self.body.addLayout(self._layout, 1)
        self._layout.arrange()
        self.linked.moved.connect(self.move_cursor)
        self.linked.windowed.connect(self._change_window)
        self.linked.arranged.connect(lambda: self._layout.set_single(self.linked.single))
        self.regions.changed.connect(self._show_regions)
        self.player.changed.connect(self._draw)
        self.set_large(False)

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

    def _slider(self, plane: Plane) -> QtWidgets.QSlider:
        slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        slider.setEnabled(False)
        slider.setToolTip(
            tr("{name} cut along {value}", name=tr(plane.name), value=AXES[plane.through])
        )
        slider.valueChanged.connect(lambda index: self.move_cursor(plane.through, index))
        return slider

    def _text(self) -> QtWidgets.QScrollArea:
        text = QtWidgets.QWidget()
        text.setMinimumWidth(234)
        text.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred
        )
        column = QtWidgets.QVBoxLayout(text)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.facts.put_before_corrections(self.regions.readings)
        column.addWidget(self.facts)
        column.addStretch(1)
        return scrolling(text)

    def _under(self) -> QtWidgets.QWidget:
        """Return the tools, the value at the crosshair and the scale of colours."""
        under = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(under)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.at_cursor = ElidedLabel(size_px=theme.BASE_PX)
        for widget in (self.goal, self.regions, self.tools, self.at_cursor, self.bar):
            column.addWidget(widget)
        return under

    def _window_controls(self) -> QtWidgets.QWidget:
        self.auto = QtWidgets.QCheckBox(tr("Auto"))
        self.auto.setChecked(True)
        self.auto.setToolTip(tr("Let the window follow the image (key A). Off: hold the level"))
        self.map_box.currentIndexChanged.connect(self._draw)
        self.percentile_box.currentIndexChanged.connect(self._choose_percentile)
        self.level.valueChanged.connect(self._draw)
        self.auto.toggled.connect(self._rewindow)
        for control in (self.map_box, self.percentile_box, self.auto):
            control.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
        self.share = CalmLabel("100 %")
        self.share.setMinimumWidth(42)
        controls = QtWidgets.QWidget()
        rows = captioned(
            (tr("Events"), self.window_box),
            (tr("Colours"), self.map_box),
            (tr("Window 0 to"), self.percentile_box, self.auto),
            (tr("Level"), self.level, self.share),
        )
        rows.setContentsMargins(0, 0, 0, 0)
        controls.setLayout(rows)
        return controls

    def refresh(self, link: Link, *, new_image: bool) -> None:
        """Show a new image if there is one, and the age of the image in any case."""
        if new_image and link.image is not None:
            self._take(link.image)
        self.facts.refresh_age(link)
        if not self.brief.isHidden():
            self.brief.show_text(*self.facts.brief())
        if link.telemetry is not None and link.image_is_of_run:
            self.linked.name_ends(link.telemetry.patient_position)
        self._follow_run(link)
        self.tools.beneath.refresh()
        self.window_box.refresh(link)
        dim(self.views.values(), dimmed=bool(link.image) and not link.image_is_of_run)

    def minimumSizeHint(self) -> QtCore.QSize:
        """Return the least room: beside other panels it does without what is beside the views."""
        least = super().minimumSizeHint()
        return least if self._large else QtCore.QSize(min(least.width(), LEAST_PX), least.height())

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """When there is no room beside the views, show the most important facts above them."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW_PX and not self._large
        self._layout.side.setHidden(narrow)
        self.brief.setHidden(not narrow)

    def _take(self, message: ImageMessage) -> None:
        first = self._message is None or self._message.shape != message.shape
        new_run = self._message is None or self._message.run != message.run
        self._message, self._image = message, message.array()
        if first:
            self._enter_space(message)
        if self.auto.isChecked() or new_run:
            self._reference.follow(self._image, at_once=new_run)
        self.goal.follow(message)
        self.player.follow(message.frames, new_run=new_run)
        self.facts.refresh_image(message)
        self.tools.offer_suv(message)
        self.window_box.follow(message)
        self._rescale()

    def _rescale(self) -> None:
        """Show all that has a unit in the one chosen."""
        if self._message is None:
            return
        self.regions.show_readings(self._message, self._unit)
        self.curves.follow(self._message, self.regions.regions, self._unit)
        self._draw()

    @property
    def _unit(self) -> ShownUnit:
        message = self._message
        if message is None:
            return ShownUnit(1.0, "")
        return shown_unit(message.unit, message.suv_per_unit if self.tools.wants_suv else 0.0)

    def _enter_space(self, message: ImageMessage) -> None:
        self.cursor = [size // 2 for size in message.shape]
        self.linked.set_space(message.shape, message.voxel_mm)
        nx, ny, nz = message.shape
        dx, dy, dz = message.voxel_mm
        self.regions.suit_to((nx * dx, ny * dy, nz * dz))
        for plane in PLANES:
            slider = self.sliders[plane.name]
            slider.blockSignals(True)
            slider.setRange(0, message.shape[plane.through] - 1)
            slider.setValue(self.cursor[plane.through])
            slider.blockSignals(False)
            slider.setEnabled(True)
        upper_mm, lower_mm = (self.views[name].extent_mm()[1] for name in ("Transaxial", "Coronal"))
        self._layout.set_heights(1.2 * upper_mm + 40, lower_mm + 40)

    def _draw(self) -> None:
        if self._message is None:
            return
        image, upper = self._shown, self.upper
        self.share.show_text(f"{self.level.value()} %")
        table = self._tables[self.map_box.currentData()]
        self.linked.draw(image, self.cursor, upper, table)
        each, unit = self._unit
        labels = "0", level_text(each * upper / 2), level_text(each * upper)
        self.bar.set_scale(table, labels, unit)
        height = (self.cursor[TRANSAXIAL.through] + 0.5) / self._message.shape[TRANSAXIAL.through]
        self.strip.show_frames(self._message.frames, height, table)
        self._say_cursor()

    @property
    def _shown(self) -> Image:
        """The live image, or the frame that was chosen, on the live image's voxels."""
        shape = self._image.shape
        return self.player.image_for((shape[0], shape[1], shape[2]), self._image)

    @property
    def upper(self) -> float:
        """Upper end of the window in the image's unit."""
        return self._reference.value * self.level.value() / 100.0

    def _say_cursor(self) -> None:
        message = self._message
        if message is None:
            return
        x, y, z = map(centre_mm, self.cursor, message.shape, message.voxel_mm)
        places = (grouped(place) for place in (x, y, z))
        self.regions.place_mm = (x, y, z)
        each, unit = self._unit
        value = each * float(self._shown[tuple(self.cursor)])
        self.at_cursor.show_text(
            tr(
                "✛ ({join}) mm:  {level} {short_unit}",
                join=", ".join(places),
                level=level_text(value),
                short_unit=short_unit(unit),
            )
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
            self._jump(list(hottest(self._shown)))

    def _jump(self, cursor: list[int]) -> None:
        for axis, index in enumerate(cursor):
            self.move_cursor(axis, index)

    def _choose_percentile(self) -> None:
        self._reference.percentile = PERCENTILES[self.percentile_box.currentData()]
        if self._message is not None:
            self._reference.follow(self._image, at_once=True)
        self._draw()

    def _rewindow(self) -> None:
        if self._message is not None and self.auto.isChecked():
            self._reference.follow(self._image, at_once=True)
        self._draw()

    def _change_window(self, factor: float) -> None:
        """Change the upper end of the window, which is held from then on."""
        self.auto.setChecked(False)
        low, high = self.level.minimum(), self.level.maximum()
        asked = self.level.value() * factor
        if low < asked < high:
            self.level.setValue((math.ceil if factor > 1 else math.floor)(asked))
        else:  # beyond the slider: what counts as 100 % moves
            self._reference.value *= factor
            self._draw()

    def set_large(self, large: bool) -> None:
        """Be a page of its own, with regions, their curves and the views' tools, or one panel among
        others.
        """
        self._large = large
        for part in (self.goal, self.regions.controls, self.tools, self.player.controls):
            part.setHidden(not large)
        self._layout.set_large(large)
        if not large and self.linked.single:
            self.linked.show_single("")

    def _show_regions(self) -> None:
        self.linked.regions = self.regions.regions
        self._rescale()

    def _follow_run(self, link: Link) -> None:
        """Suit the run shown: its regions, its µ map, where its page would go."""
        message, telemetry = self._message, link.telemetry
        if message is None or telemetry is None or not link.image_is_of_run:
            return
        folder = Path(telemetry.folder) if telemetry.folder else None
        self.regions.follow(folder)
        space = message.shape, message.voxel_mm, telemetry.patient_position
        self.tools.beneath.follow(space, folder)
        self.page.folder = folder

    def _page_content(self) -> PageContent:
        message = self._message
        if message is None:
            return PageContent(tr("No image"), {}, [], [])
        facts = {name: value.text() for name, value in self.facts.values.items()}
        each, unit = self._unit
        facts["Window"] = tr("0 to {level} {unit}", level=level_text(each * self.upper), unit=unit)
        if self.player.shown is not None:
            facts["Pictures"] = tr("frame {time}, not live", time=self.player.caption())
        facts["Review"] = _review_words(self.page.folder)
        corrections = [
            (tr(label_of(name)), applied, message.how.get(name, ""))
            for name, applied in sorted(message.corrections.items(), key=lambda item: not item[1])
        ]
        words = region_words(message, self._unit)
        title = tr("Live image of {run}", run=message.run)
        return PageContent(title, facts, corrections, words.splitlines(), message.note)

    def _page_pictures(self) -> list[QtWidgets.QWidget]:
        return [view for view in self.views.values() if view.isVisible()]

    def go_on_from(self, before: ImagePanel) -> None:
        """Take over what another panel of this kind shows, with its settings."""
        for own, other in (
            (self.map_box, before.map_box),
            (self.percentile_box, before.percentile_box),
        ):
            own.setCurrentIndex(other.currentIndex())
        self.level.setValue(before.level.value())
        self.auto.setChecked(before.auto.isChecked())
        self._reference = before._reference
        self.curves.go_on_from(before.curves)
        self.goal.go_on_from(before.goal)
        if before._message is not None:
            self._take(before._message)
            self._jump(before.cursor)
            self.tools.suv.setChecked(before.tools.suv.isChecked())

    def end(self) -> None:
        """End the work in the background."""
        self.tools.beneath.end()


def _review_words(folder: Path | None) -> str:
    """Return what became of the run, and who signed it; that nobody did, where nobody has."""
    try:
        review = read_review(folder) if folder is not None else None
    except LogError as error:
        return tr("cannot be read: {error}", error=error)
    return (review.words() if review is not None else "") or tr("not reviewed")
