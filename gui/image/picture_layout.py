"""Where the views lie: small, with the text beside them, or large, with the text at the right."""

from __future__ import annotations

from collections.abc import Mapping

from pyqtgraph.Qt import QtWidgets

from gui.image.slices import CORONAL, SAGITTAL, TRANSAXIAL

SIDE_PX, MOST_PX = 300, 16_777_215
"""Width of the words where the views are large; no bound (QWIDGETSIZE_MAX)."""


Shares = tuple[int, int]
_THREE = (TRANSAXIAL.name, CORONAL.name, SAGITTAL.name)


class PictureLayout(QtWidgets.QHBoxLayout):
    """Three views with the frames below them, and a column of text over controls.

    When the views are small, the column takes the upper right quarter. When they are large, it has
    the whole height, and ``curves`` takes the fourth quarter. A single view takes the place of all
    three. Text scrolls where there is not enough height; controls only beside small views, what is
    ``under`` the text never.
    """

    def __init__(
        self,
        blocks: Mapping[str, QtWidgets.QWidget],
        text: QtWidgets.QScrollArea,
        under: QtWidgets.QWidget,
        controls: QtWidgets.QWidget,
        curves: QtWidgets.QWidget,
        frames: QtWidgets.QWidget,
    ) -> None:
        """Lay the parts out.

        Parameters
        ----------
        blocks : each view with its slider, by the plane's name
        text : what is said of the image, which scrolls
        under : tools and the scale of colours, below the text
        controls : of the window, which scroll with the text beside small views
        curves : of the regions, shown beside large views
        frames : the strip below the views
        """
        super().__init__()
        self._blocks, self._curves = blocks, curves
        self.side = QtWidgets.QWidget()
        self.side.setMinimumWidth(text.minimumWidth())
        self._text, self._controls = text, controls
        column = QtWidgets.QVBoxLayout(self.side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(text, 1)
        column.addWidget(under)
        self._heights = (286, 156)
        self._large, self._single = False, ""
        self._least_px = text.minimumWidth()
        self.setSpacing(8)
        self._rows = QtWidgets.QVBoxLayout()
        self._rows.setSpacing(4)
        self._upper, self._lower = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        for row in (self._upper, self._lower):
            row.setSpacing(8)
            self._rows.addLayout(row)
        self._rows.addWidget(frames)
        self.addLayout(self._rows, 1)

    def set_heights(self, upper: float, lower: float) -> None:
        """Set how the rows share the height when the views are small."""
        self._heights = (int(upper), int(lower))
        self.arrange()

    def set_large(self, large: bool) -> None:
        """Show the views large or small."""
        if large != self._large:
            self._large = large
            self.arrange()

    def set_single(self, name: str) -> None:
        """Show one view alone, "" for all three."""
        if name != self._single:
            self._single = name
            self.arrange()

    def arrange(self) -> None:
        """Put everything in its place; call it once the layout belongs to a widget."""
        transaxial, coronal, sagittal = (self._blocks[name] for name in _THREE)
        for widget in (transaxial, coronal, sagittal, self._curves, self.side):
            for row in (self._upper, self._lower, self):
                row.removeWidget(widget)
        if self._single:
            alone = self._blocks[self._single]
            others = [one for one in self._blocks.values() if one is not alone]
            self._fill([alone], [*others, self._curves], (1, 0))
        elif self._large:
            self._fill([transaxial, coronal], [sagittal, self._curves], (1, 1))
        else:
            self._fill([transaxial], [coronal, sagittal, self._curves], self._heights)
        self._place_side()
        # hidden or shown when they are in a widget: one without would become a window of its own
        for name, block in self._blocks.items():
            block.setHidden(bool(self._single) and name != self._single)
        self._curves.setHidden(not self._large or bool(self._single))

    def _fill(
        self, upper: list[QtWidgets.QWidget], lower: list[QtWidgets.QWidget], shares: Shares
    ) -> None:
        for row, widgets in ((self._upper, upper), (self._lower, lower)):
            for widget in widgets:
                row.addWidget(widget, 60)
        self._rows.setStretch(0, shares[0])
        self._rows.setStretch(1, shares[1])

    def _place_side(self) -> None:
        holder = self.side if self._large else self._text.widget()
        if self._controls.parentWidget() is not holder:
            holder.layout().addWidget(self._controls)
        if self._large:
            self.side.setFixedWidth(SIDE_PX)
            self.addWidget(self.side)
        else:
            self.side.setMinimumWidth(self._least_px)
            self.side.setMaximumWidth(MOST_PX)
            self._upper.addWidget(self.side, 40)
