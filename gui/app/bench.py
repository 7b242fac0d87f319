"""The columns that the pages share: which panels each page shows, for pairs or single photons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyqtgraph.Qt import QtCore, QtWidgets

COLUMNS_PX = [326, 532, 328]
GAP_PX = 6
RIGHT_PX = 296
"""What the counters' words need at the least."""


@dataclass(frozen=True)
class Panels:
    """What is shown of a run, column by column."""

    rates: QtWidgets.QWidget
    singles_rates: QtWidgets.QWidget
    spectrum: QtWidgets.QWidget
    timing: QtWidgets.QWidget
    image: QtWidgets.QWidget
    projections: QtWidgets.QWidget
    counters: QtWidgets.QWidget
    modules: QtWidgets.QWidget
    sorting: QtWidgets.QWidget
    journal: QtWidgets.QWidget
    alarms: QtWidgets.QWidget


class Bench(QtWidgets.QSplitter):
    """Three columns; :meth:`arrange` shows what a page is about.

    In a SPECT run with an image, the image is as large on the live page as in PET, and projections
    are below it on the first page and on that of the rates. Without an image they take its place.
    """

    def __init__(self, panels: Panels, moved: Callable[[list[int]], None]) -> None:
        """Make the columns; ``moved`` is told their widths in px as a person changes them."""
        super().__init__(QtCore.Qt.Orientation.Horizontal)
        self.setHandleWidth(GAP_PX)
        self.setChildrenCollapsible(False)
        self._panels, self._moved = panels, moved
        self._left = _stack(
            (panels.rates, 46), (panels.singles_rates, 46), (panels.spectrum, 27),
            (panels.timing, 27),
        )  # fmt: skip
        self._pictures = _stack((panels.image, 72), (panels.projections, 28))
        self._right = _stack(
            (panels.counters, 0), (panels.modules, 46), (panels.sorting, 0), (panels.alarms, 0),
            (panels.journal, 54),
        )  # fmt: skip
        self._right.setMinimumWidth(RIGHT_PX)
        for place, (column, share) in enumerate(
            ((self._left, 28), (self._pictures, 56), (self._right, 28))
        ):
            self.addWidget(column)
            self.setStretchFactor(place, share)
        self.setSizes(COLUMNS_PX)
        self.splitterMoved.connect(self._tell)
        self._page = ""

    def arrange(self, page: str, *, single_photons: bool, with_image: bool) -> None:
        """Show a page's panels."""
        self._page = page
        shown, panels = self._shown(page, single_photons=single_photons), self._panels
        pictures = {
            panels.image: page != "Rates" and (with_image or not single_photons),
            panels.projections: single_photons and not (page == "Live" and with_image),
        }
        kinds = {
            panels.rates: not single_photons,
            panels.timing: not single_photons,
            panels.singles_rates: single_photons,
            panels.modules: page != "Journal",
            panels.sorting: page != "Journal",
            panels.alarms: page == "Journal",
        }
        for widget, is_shown in (shown | pictures | kinds).items():
            widget.setVisible(is_shown)

    def _shown(self, page: str, *, single_photons: bool) -> dict[QtWidgets.QWidget, bool]:
        """Return which columns a page has."""
        columns = {
            "Live": {self._pictures},
            "Rates": {self._left, self._pictures} if single_photons else {self._left},
            "Journal": {self._right},
        }
        everything = {self._left, self._pictures, self._right}
        shown = columns.get(page, everything)
        return {column: column in shown for column in everything}

    def _tell(self) -> None:
        if self._page in ("", "Acquire"):
            self._moved(self.sizes())


def _stack(*parts: tuple[QtWidgets.QWidget, int]) -> QtWidgets.QWidget:
    column = QtWidgets.QWidget()
    layout = QtWidgets.QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(GAP_PX)
    for widget, share in parts:
        layout.addWidget(widget, share)
    return column
