"""Buttons of the views: magnify, projections, one view alone, what lies beneath, a page as PDF."""

from __future__ import annotations

from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.image.beneath import BeneathChooser
from gui.image.linked_views import LinkedViews
from gui.kit import theme
from gui.kit.colour_maps import colour_tables
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.words import mark, tr
from hw.messages.pictures import ImageMessage

SUV_IS = mark("SUV by body weight, from the run's study; activity as of the run's start")
NO_SUV = mark(
    "No SUV: it needs weight, injected activity and its time on the Study "
    "page before the run, a calibrated scanner, and a nuclide with "
    "correction of decay"
)


class ViewTools(QtWidgets.QWidget):
    """A row of buttons, and one for the image beneath.

    cursor : returns where the crosshair is, which magnifying keeps in its place
    redraw : draws the views anew
    """

    def __init__(
        self, views: LinkedViews, *, cursor: Callable[[], list[int]], redraw: Callable[[], None]
    ) -> None:
        super().__init__()
        self._views, self._redraw = views, redraw
        self.beneath = BeneathChooser()
        self.words = ElidedLabel(size_px=theme.SMALL_PX)
        self.words.hide()
        self.mip = _button("MIP", tr("Maximum intensity projections in place of cuts (key P)"))
        self.mip.setCheckable(True)
        self.mip.toggled.connect(self._project)
        self.suv = _button("SUV", tr(NO_SUV))
        self.suv.setCheckable(True)
        self.suv.setEnabled(False)
        self.page = _button(
            tr("PDF…"), tr("This page as a PDF, with what was corrected and what not")
        )
        buttons = (
            _button("−", tr("Smaller (key −)"), lambda: views.zoom(-1, cursor())),
            _button(
                "+", tr("Larger (key +); or Ctrl and the wheel"), lambda: views.zoom(1, cursor())
            ),
            _button(tr("All"), tr("The whole image in three views (key Z)"), views.show_all),
            _button("⤢", tr("One view alone, the next, all three (key E)"), views.next_single),
            self.mip,
            self.suv,
            self.page,
        )
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(3)
        for place, button in enumerate(buttons):
            grid.addWidget(button, place // 4, place % 4)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(grid)
        column.addLayout(self._beneath_row())
        column.addWidget(self.words)
        self.beneath.changed.connect(self._mix)
        self.beneath.said.connect(self.say)

    def _beneath_row(self) -> QtWidgets.QLayout:
        row = QtWidgets.QHBoxLayout()
        caption = CalmLabel(tr("Beneath"))
        caption.setObjectName("dim")
        row.addWidget(caption)
        row.addWidget(self.beneath.choice, 1)
        row.addWidget(self.beneath.slider, 1)
        return row

    @property
    def wants_suv(self) -> bool:
        """Whether values should be shown as SUV where possible."""
        return self.suv.isChecked()

    def offer_suv(self, image: ImageMessage) -> None:
        """Let SUV be chosen if it can be computed; if not, its button says what is missing.

        The choice is kept: an image without SUV is shown in its own unit meanwhile.
        """
        can = image.suv_per_unit > 0
        self.suv.setEnabled(can)
        self.suv.setToolTip(tr(SUV_IS) if can else f"{why_no_suv(image)}\n{tr(NO_SUV)}")

    def _project(self, on: bool) -> None:
        self._views.mip = on
        self._redraw()

    def _mix(self) -> None:
        self._views.beneath, self._views.share = self.beneath.image, self.beneath.share
        self._views.beneath_table = colour_tables()["Grey"]
        self._redraw()

    def say(self, words: str) -> None:
        """Show what became of a request; "" for nothing."""
        self.words.show_text(words, "" if words.startswith("✓") else theme.WARNING)
        self.words.setHidden(not words)


def why_no_suv(image: ImageMessage) -> str:
    """Return what this image lacks for SUV: of the run or, if that is whole, of its study."""
    lacks = []
    if image.unit != "Bq/mL":
        lacks.append(tr("the scanner is not calibrated for activity"))
    if not image.corrections.get("decay", False):
        lacks.append(tr("decay is not corrected for"))
    study = tr("weight, injected activity or its time is missing in the run's study")
    return "✗ " + "; ".join(lacks or [study])


def _button(
    text: str, teaches: str, act: Callable[[], object] | None = None
) -> QtWidgets.QPushButton:
    button = QtWidgets.QPushButton(text)
    button.setToolTip(teaches)
    button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
    if act is not None:
        button.clicked.connect(lambda: act())
    return button
