"""The SPECT windows as bands behind the energy spectrum.

A photopeak is filled and carries its energy; scatter is hatched. Drawn in pixels over a fixed
range, so that a pattern keeps its grain and nothing is ranged.
"""

from __future__ import annotations

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from hw.messages.sort_settings import EnergyWindow

LEAST_PX = 4.0  # a window narrower than this is drawn this wide, or it could not be seen
_LABEL_PX = 12


class EnergyBands(QtWidgets.QGraphicsItem):
    """Bands of windows in a plot whose x range is 0..``shown_keV``."""

    def __init__(self, view: pg.ViewBox, *, shown_keV: float) -> None:
        super().__init__(view)
        self._view = view
        self.shown_keV = shown_keV
        self.windows: tuple[EnergyWindow, ...] = ()
        self.setZValue(-5)
        view.sigResized.connect(self._fit)

    def show_windows(self, windows: tuple[EnergyWindow, ...]) -> None:
        """Draw these windows; does nothing where they are the same."""
        if windows != self.windows:
            self.windows = windows
            self.update()

    def set_range(self, shown_keV: float) -> None:
        """Take another end of the x range."""
        if shown_keV != self.shown_keV:
            self.shown_keV = shown_keV
            self.update()

    def _fit(self) -> None:
        self.prepareGeometryChange()

    def boundingRect(self) -> QtCore.QRectF:
        """Return the whole plot area."""
        return QtCore.QRectF(self._view.rect())

    def band(self, window: EnergyWindow) -> QtCore.QRectF:
        """Return a window's place in px."""
        area = self.boundingRect()
        scale = area.width() / self.shown_keV
        low, high = scale * window.lld_keV, scale * min(window.uld_keV, self.shown_keV)
        thin = 0.5 * max(0.0, LEAST_PX - (high - low))
        top = area.top() + _LABEL_PX
        return QtCore.QRectF(
            area.left() + low - thin, top, high - low + 2 * thin, area.bottom() - top
        )

    def paint(self, painter: QtGui.QPainter, *_: object) -> None:
        """Draw the bands, scatter first."""
        painter.setFont(theme.font(10))
        for window in sorted(self.windows, key=lambda window: window.kind == "photopeak"):
            if window.lld_keV < self.shown_keV:
                self._paint_band(painter, window)

    def _paint_band(self, painter: QtGui.QPainter, window: EnergyWindow) -> None:
        band = self.band(window)
        colour = QtGui.QColor(theme.WINDOW_LOOKS[window.kind].colour)
        if window.kind == "scatter":
            painter.fillRect(band, QtGui.QBrush(colour, QtCore.Qt.BrushStyle.BDiagPattern))
            return
        fill = QtGui.QColor(colour)
        fill.setAlpha(70)
        painter.fillRect(band, fill)
        painter.fillRect(QtCore.QRectF(band.left(), band.top(), band.width(), 2), colour)
        painter.setPen(colour)
        words = QtCore.QRectF(band.center().x() - 30, band.top() - _LABEL_PX, 60, _LABEL_PX)
        painter.drawText(words, QtCore.Qt.AlignmentFlag.AlignCenter, label(window))


def label(window: EnergyWindow) -> str:
    """Return what a photopeak's band carries: the energy of its middle in keV."""
    return f"{0.5 * (window.lld_keV + window.uld_keV):.0f}"
