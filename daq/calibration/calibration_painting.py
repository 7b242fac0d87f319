"""How panels are painted: the same strokes on an image (PNG) and on a page (PDF).

Qt is imported inside, for only a calibration with a report needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from daq.calibration.calibration_plot import Curve, Panel, Picture, Points

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 520, 380, 56
COLOURS = ("#9aa5b1", "#d9480f", "#1864ab", "#2b8a3e", "#862e9c")
PDF_DPI = 144
DOT = 3
MOST_IN_A_ROW = 3


@contextmanager
def qt_application() -> Iterator[None]:
    """Have Qt's application, which fonts need; one of our own ends with the painting, so that a
    console may start its own in the same process."""
    from PySide6.QtGui import QGuiApplication

    if QGuiApplication.instance() is not None:
        yield
        return
    application = QGuiApplication(["tomoshibi", "-platform", "offscreen"])
    try:
        yield
    finally:
        application.shutdown()


def _paper(panels: list[Panel]) -> tuple[int, int, int]:
    """Return (panels in a row, width, height): more than three stand in rows of two."""
    columns = len(panels) if len(panels) <= MOST_IN_A_ROW else 2
    return columns, PANEL_WIDTH * columns, PANEL_HEIGHT * -(-len(panels) // columns)


def paint_png(panels: list[Panel]) -> bytes:
    """Return the panels as a PNG."""
    from PySide6.QtCore import QBuffer, QByteArray
    from PySide6.QtGui import QColor, QImage, QImageWriter, QPainter

    _, width, height = _paper(panels)
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    try:
        _paint_all(painter, panels)
    finally:
        painter.end()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    QImageWriter(buffer, QByteArray(b"PNG")).write(image)
    return bytes(buffer.data().data())


def paint_pdf(panels: list[Panel]) -> bytes:
    """Return the panels as a PDF of one page, as vectors."""
    from PySide6.QtCore import QBuffer, QMarginsF, QSizeF
    from PySide6.QtGui import QPageSize, QPainter, QPdfWriter

    _, width, height = _paper(panels)
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    writer.setResolution(PDF_DPI)
    points = QSizeF(width * 72 / PDF_DPI, height * 72 / PDF_DPI)
    writer.setPageSize(QPageSize(points, QPageSize.Unit.Point))
    writer.setPageMargins(QMarginsF(0, 0, 0, 0))
    painter = QPainter(writer)
    try:
        _paint_all(painter, panels)
    finally:
        painter.end()
    return bytes(buffer.data().data())


def _paint_all(painter: Any, panels: list[Panel]) -> None:
    from PySide6.QtGui import QFont

    font = QFont()
    font.setPixelSize(12)
    painter.setFont(font)
    columns, _, _ = _paper(panels)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        _Painting(painter, panel, PANEL_WIDTH * column, PANEL_HEIGHT * row).paint()


class _Painting:
    """One panel's frame: from its values to places on the paper."""

    def __init__(self, painter: Any, panel: Panel, left: int, top: int) -> None:
        self.painter, self.panel, self.left = painter, panel, left
        self.y1 = top + MARGIN
        self.width, self.height = PANEL_WIDTH - 2 * MARGIN, PANEL_HEIGHT - 2 * MARGIN
        self.x0, self.y0 = left + MARGIN, self.y1 + self.height
        self.low, self.high, self.bottom, self.top = panel.limits()

    def paint(self) -> None:
        """Paint the panel: the frame last, so that a picture does not hide it."""
        for number, curve in enumerate(self.panel.curves):
            if isinstance(curve, Picture):
                self._picture(curve)
                continue
            self._colour(COLOURS[number % len(COLOURS)], 2)
            if isinstance(curve, Curve):
                self._line(np.repeat(curve.edges, 2)[1:-1], np.repeat(curve.counts, 2))
            else:
                self._points(curve)
            self.painter.drawText(self.x0 + 10, self.y1 + 18 + 16 * number, curve.label)
        self._axes()

    def _colour(self, name: str, width: int = 1) -> None:
        from PySide6.QtGui import QColor, QPen

        self.painter.setPen(QPen(QColor(name), width))

    def _axes(self) -> None:
        painter = self.painter
        self._colour("black")
        painter.drawRect(self.x0, self.y1, self.width, self.height)
        painter.drawText(self.x0, self.y1 - 12, self.panel.title)
        painter.drawText(self.x0 + self.width // 2 - 50, self.y0 + 40, self.panel.axis)
        self._before_axis(self.y1 + 6, self.top)
        self._before_axis(self.y0 + 4, self.bottom)
        painter.drawText(self.left + 4, self.y1 + self.height // 2, self.panel.y_axis)
        for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = round(self.x0 + fraction * self.width)
            painter.drawLine(x, self.y0, x, self.y0 + 4)
            text = f"{self.low + fraction * (self.high - self.low):.4g}"
            painter.drawText(x - 14, self.y0 + 20, text)

    def _before_axis(self, y: int, value: float) -> None:
        """Write a value to the left of the frame, up to it."""
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        width = self.painter.fontMetrics().horizontalAdvance(text)
        self.painter.drawText(max(self.left + 2, self.x0 - 6 - width), y, text)

    def _places(self, x: Any, y: Any) -> list[Any]:
        from PySide6.QtCore import QPointF

        across = self.x0 + (np.asarray(x) - self.low) / (self.high - self.low) * self.width
        up = self.y0 - (np.asarray(y) - self.bottom) / (self.top - self.bottom) * self.height
        return [QPointF(float(a), float(b)) for a, b in zip(across, up, strict=True)]

    def _line(self, x: Any, y: Any) -> None:
        from PySide6.QtGui import QPolygonF

        self.painter.drawPolyline(QPolygonF(self._places(x, y)))

    def _points(self, points: Points) -> None:
        good = np.isfinite(points.x) & np.isfinite(points.y)
        x, y = points.x[good], points.y[good]
        if points.line:
            self._line(x, y)
            return
        for place in self._places(x, y):
            self.painter.drawEllipse(place, DOT, DOT)

    def _picture(self, picture: Picture) -> None:
        from PySide6.QtCore import QRect
        from PySide6.QtGui import QImage

        values = np.nan_to_num(picture.image.astype(np.float64))[::-1]
        span = float(np.ptp(values)) or 1.0
        grey = np.ascontiguousarray(255 - 255 * (values - values.min()) / span).astype(np.uint8)
        rows, columns = grey.shape
        image = QImage(grey.tobytes(), columns, rows, columns, QImage.Format.Format_Grayscale8)
        self.painter.drawImage(QRect(self.x0, self.y1, self.width, self.height), image)
