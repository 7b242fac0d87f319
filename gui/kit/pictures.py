"""What panels of pictures share: the column of facts, and how a picture is displayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.colour_maps import ColourBar, colour_tables
from gui.kit.panels import CalmLabel, FactsGrid, Panel
from gui.kit.wording import age_text
from gui.kit.words import mark, tr

STALE_AFTER_S = 2.0
PERCENTILES = {"99 %": 99.0, "99.5 %": 99.5, "99.9 %": 99.9, mark("maximum"): 100.0}


def fill(box: QtWidgets.QComboBox, names: Iterable[str]) -> None:
    """Offer names in the current language; each item's data is the name itself."""
    for name in names:
        box.addItem(tr(name), name)


class FactsColumn(QtWidgets.QWidget):
    """A column of text beside pictures: a badge, then the facts, which ``teaches`` explains."""

    def __init__(self, badge: str, teaches: Mapping[str, str]) -> None:
        super().__init__()
        self.column = QtWidgets.QVBoxLayout(self)
        self.column.setContentsMargins(4, 0, 0, 0)
        self.column.setSpacing(2)
        self.badge = CalmLabel(badge, size_px=15, bold=True)
        self.column.addWidget(self.badge)
        facts = FactsGrid(teaches)
        self.values = facts.values
        self.column.addLayout(facts)
        self.column.addSpacing(4)

    def show_age(self, age_s: float, more: str = "", *, stale: bool) -> None:
        """Show the pictures' age, marked if they are stale."""
        text = age_text(age_s) + more
        self.values["Age"].show_text(f"⚠ {text}" if stale else text, theme.WARNING if stale else "")


class PicturePanel(Panel):
    """A panel of pictures with the choice of colours and of the upper end of the window."""

    def __init__(self, title: str, *, teaches: str) -> None:
        super().__init__(title, teaches=teaches)
        self._tables = colour_tables()
        self.bar = ColourBar()
        self.map_box = QtWidgets.QComboBox()
        fill(self.map_box, self._tables)
        self.map_box.setToolTip(tr("Colour map (key C: next). Inverted grey: black is hot"))
        self.percentile_box = QtWidgets.QComboBox()
        fill(self.percentile_box, PERCENTILES)
        self.percentile_box.setCurrentIndex(1)
        self.percentile_box.setToolTip(
            tr("Upper end of the window: this percentile of the voxels above zero")
        )
        self.level = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.level.setToolTip(tr("Upper end of the window, as a share of the percentile's level"))
        self.level.setRange(5, 200)
        self.level.setValue(100)

    def next_map(self) -> None:
        """Switch to the next colour map."""
        self.map_box.setCurrentIndex((self.map_box.currentIndex() + 1) % self.map_box.count())

    def change_level(self, factor: float) -> None:
        """Change the upper end of the window by a factor, by a step at least."""
        self.level.setValue(round(self.level.value() * factor + (0.5 if factor > 1 else -0.5)))


def captioned(*rows: tuple[str, *tuple[QtWidgets.QWidget, ...]]) -> QtWidgets.QGridLayout:
    """Return rows of one or two controls, each row with its caption."""
    grid = QtWidgets.QGridLayout()
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(4)
    for row, (name, *controls) in enumerate(rows):
        caption = CalmLabel(name)
        caption.setObjectName("dim")
        grid.addWidget(caption, row, 0)
        for column, control in enumerate(controls, start=1):
            grid.addWidget(control, row, column, 1, 3 - len(controls))
    grid.setColumnStretch(1, 1)
    return grid


def dim(views: Iterable[QtWidgets.QWidget], *, dimmed: bool) -> None:
    """Draw views as those of an earlier run, or not."""
    for view in views:
        if view.dimmed != dimmed:
            view.dimmed = dimmed
            view.update()
