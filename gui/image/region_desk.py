"""The run's regions beside the live image: put one at the crosshair, size it, read it, remove it.

They are kept in the run (``regions.json``) by the daq; the imager reads the image in them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from pyqtgraph.Qt import QtCore, QtWidgets

from daq.folder.region_file import NAME, read_regions
from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.wording import ShownUnit, level_text, short_unit
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from hw.messages.pictures import ImageMessage
from hw.regions import (
    Box,
    Cylinder,
    Ellipsoid,
    Region,
    RegionError,
    Sphere,
    Threshold,
    Triple,
    regions_to_json,
)

KINDS = (mark("sphere"), mark("ellipsoid"), mark("cylinder"), mark("box"), mark("threshold"))
SHARE = 0.5
"""A threshold takes voxels from this share of the greatest value in its box on."""

USUAL_MM = 30.0
MOST_LINES = 6


def made(kind: str, name: str, centre_mm: Triple, size_mm: float, height_mm: float) -> Region:
    """Return a region of a kind; raises RegionError for impossible sizes.

    Parameters
    ----------
    kind : "sphere", "ellipsoid", "cylinder" or "box"
    name : by which the region is listed
    centre_mm : x, y and z in the image's frame, mm
    size_mm : extent across (x and y), mm; for a sphere its diameter
    height_mm : extent along z, mm; not used for a sphere
    """
    sizes = (size_mm, size_mm, height_mm)
    if kind == "sphere":
        return Sphere(name, centre_mm, size_mm)
    if kind == "ellipsoid":
        return Ellipsoid(name, centre_mm, sizes)
    if kind == "cylinder":
        return Cylinder(name, centre_mm, size_mm, height_mm)
    if kind == "box":
        return Box(name, centre_mm, sizes)
    return Threshold(name, centre_mm, sizes, SHARE)


def free_name(regions: list[Region]) -> str:
    """Return the first of A, B, … Z, A2, … that no region has."""
    taken = {one.name for one in regions}
    names = (f"{chr(65 + k % 26)}{k // 26 + 1 if k >= 26 else ''}" for k in range(26 * 26))
    return next(name for name in names if name not in taken)


class RegionDesk(QtWidgets.QWidget):
    """The regions of the run shown, and their readings.

    changed : emitted when the regions are others than before
    """

    changed = QtCore.Signal()

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__()
        self._desk = desk
        self.regions: list[Region] = []
        self._folder: Path | None = None
        self._stamp = (0, 0)
        self.place_mm: Triple = (0.0, 0.0, 0.0)
        self.kind = QtWidgets.QComboBox()
        for kind in KINDS:
            self.kind.addItem(tr(kind), kind)
        self.kind.setAccessibleName(tr("Kind of region"))
        self.kind.setToolTip(
            tr("threshold: voxels of a box above {value:.0f} % of its maximum", value=100 * SHARE)
        )
        self.size, self.height_ = (
            _length("xy", tr("Diameter or width of the region, along x and y, in mm")),
            _length("z", tr("Height of the region, along z, in mm")),
        )
        self.kind.currentIndexChanged.connect(lambda _: self._suit(self.kind.currentData()))
        self.add = QtWidgets.QPushButton(tr("+ at ✛"))
        self.add.setToolTip(tr("Keep a region of this kind and size at the crosshair (key R)"))
        self.add.clicked.connect(self.put_here)
        self.chosen = QtWidgets.QComboBox()
        self.chosen.setToolTip(tr("The region that the buttons are about"))
        self.move_ = QtWidgets.QPushButton(tr("to ✛"))
        self.move_.setToolTip(tr("Move the chosen region to the crosshair, in the size set above"))
        self.move_.clicked.connect(self.put_chosen_here)
        self.remove = QtWidgets.QPushButton("✕")
        self.remove.setToolTip(tr("Remove the chosen region"))
        self.remove.clicked.connect(self.remove_chosen)
        self.readings = CalmLabel(size_px=theme.BASE_PX)
        self.readings.setWordWrap(True)
        self.readings.setToolTip(
            tr("Mean of the image in the run's regions, ± its standard deviation")
        )
        self.words = ElidedLabel(size_px=theme.SMALL_PX)
        for control in (self.kind, self.size, self.height_, self.chosen):
            control.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
        for button in (self.add, self.move_, self.remove):
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self._lay_out()
        self._suit("sphere")

    def _lay_out(self) -> None:
        self.controls = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for widget in (self.controls, self.words):
            column.addWidget(widget)
        grid = QtWidgets.QGridLayout(self.controls)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.setVerticalSpacing(3)
        grid.addWidget(self.kind, 0, 0)
        grid.addWidget(self.size, 0, 1)
        grid.addWidget(self.height_, 0, 2)
        row = QtWidgets.QHBoxLayout()
        for widget, share in ((self.add, 0), (self.chosen, 1), (self.move_, 0), (self.remove, 0)):
            row.addWidget(widget, share)
        grid.addLayout(row, 1, 0, 1, 3)
        grid.setColumnStretch(0, 1)
        self.words.hide()

    def suit_to(self, extent_mm: Triple) -> None:
        """Offer sizes that fit into an image of this extent."""
        usual_mm = min(USUAL_MM, min(extent_mm) // 3)
        for box in (self.size, self.height_):
            box.setValue(usual_mm)

    def _suit(self, kind: str) -> None:
        self.height_.setEnabled(kind != "sphere")

    def follow(self, folder: Path | None) -> None:
        """Show the regions of the run in this folder, if they changed."""
        if folder != self._folder:
            self._folder, self._stamp, self.regions = folder, (0, 0), []
            self._list()
        stamp = _stamp(folder / NAME) if folder is not None else (0, 0)
        if stamp == self._stamp or folder is None:
            return
        self._stamp = stamp
        try:
            self.regions = read_regions(folder)
            self._say("")
        except RegionError as error:
            self.regions = []
            self._say(f"✗ {error}")
        self._list()

    def _list(self) -> None:
        before = self.chosen.currentText()
        self.chosen.clear()
        self.chosen.addItems([one.name for one in self.regions])
        self.chosen.setCurrentText(before)
        for widget in (self.chosen, self.move_, self.remove):
            widget.setEnabled(bool(self.regions))
        self.changed.emit()

    def show_readings(self, image: ImageMessage, unit: ShownUnit) -> None:
        """Show mean ± σ of the image in each region."""
        self.readings.show_text(region_words(image, unit))
        self.readings.setHidden(not image.regions)

    def put_here(self) -> None:
        """Keep a new region at the crosshair."""
        self._keep(lambda: [*self.regions, self._here(free_name(self.regions))])

    def put_chosen_here(self) -> None:
        """Move the chosen region to the crosshair."""
        name = self.chosen.currentText()
        self._keep(lambda: [self._here(name) if o.name == name else o for o in self.regions])

    def remove_chosen(self) -> None:
        """Remove the chosen region."""
        name = self.chosen.currentText()
        self._keep(lambda: [one for one in self.regions if one.name != name])

    def _here(self, name: str) -> Region:
        kind = str(self.kind.currentData())
        return made(kind, name, self.place_mm, self.size.value(), self.height_.value())

    def _keep(self, make: Callable[[], list[Region]]) -> None:
        try:
            regions = make()
        except RegionError as error:
            self._say(f"✗ {error}")
            return
        self._desk.keep_regions(msgspec.json.decode(regions_to_json(regions)))

    def _say(self, words: str) -> None:
        self.words.show_text(words, theme.WARNING if words else "")
        self.words.setHidden(not words)


def _length(axes: str, teaches: str) -> QtWidgets.QDoubleSpinBox:
    box = QtWidgets.QDoubleSpinBox()
    box.setRange(2.0, 500.0)
    box.setDecimals(0)
    box.setValue(USUAL_MM)
    box.setPrefix(f"{axes} ")
    box.setSuffix(" mm")
    box.setMinimumHeight(theme.FIELD_PX)
    box.setButtonSymbols(QtWidgets.QAbstractSpinBox.ButtonSymbols.NoButtons)
    box.setToolTip(teaches)
    box.setAccessibleName(teaches)
    return box


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def region_words(image: ImageMessage, shown: ShownUnit) -> str:
    """Return a line for each of the run's regions: mean ± σ."""
    each, unit = shown
    lines = []
    for one in image.regions[:MOST_LINES]:
        sigma = f" ± {level_text(each * one.sigma)}" if one.sigma > 0 else ""
        words = one.why_not or f"{level_text(each * one.mean)}{sigma} {short_unit(unit)}"
        lines.append(f"{one.name}: {words}")
    more = len(image.regions) - MOST_LINES
    return "\n".join([*lines, tr("and {more} more", more=more)] if more > 0 else lines)
