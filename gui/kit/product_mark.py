"""The product's mark: the character 灯 (tomoshibi, a lamp's light) drawn stroke by stroke.

Drawn and not written, because a bare system has no font with the character.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme

PRODUCT = "Tomoshibi"

# Six strokes on a 100×100 square, y downwards: the radical "fire" at the left, "nail" at the right.
_STROKES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((12, 34), (15, 45), (16, 54)),
    ((45, 30), (42, 42), (36, 50)),
    ((30, 10), (30, 40), (26, 64), (8, 92)),
    ((29, 58), (38, 70), (45, 84)),
    ((52, 24), (95, 24)),
    ((76, 24), (76, 84), (73, 89), (62, 85)),
)


def paint_mark(painter: QtGui.QPainter, *, size_px: float, colour: str = "") -> None:
    """Draw the mark into the square of ``size_px`` at the painter's origin, by itself in amber."""
    pen = QtGui.QPen(QtGui.QColor(colour or theme.LAMP), size_px * 0.075)
    pen.setCapStyle(QtCore.Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(QtCore.Qt.PenJoinStyle.RoundJoin)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.setPen(pen)
    for stroke in _STROKES:
        points = [QtCore.QPointF(x * size_px / 100, y * size_px / 100) for x, y in stroke]
        painter.drawPolyline(QtGui.QPolygonF(points))


def mark_icon() -> QtGui.QIcon:
    """Return the mark as the window's icon."""
    pixmap = QtGui.QPixmap(64, 64)
    pixmap.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(pixmap)
    paint_mark(painter, size_px=64)
    painter.end()
    return QtGui.QIcon(pixmap)


class Mark(QtWidgets.QWidget):
    """The mark as a widget of fixed size."""

    def __init__(self, size_px: int) -> None:
        super().__init__()
        self.setAccessibleName(PRODUCT)
        self.setFixedSize(size_px, size_px)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the mark."""
        painter = QtGui.QPainter(self)
        paint_mark(painter, size_px=self.width())
        painter.end()
