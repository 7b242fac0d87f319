"""Plots of a calibration report as PNG, painted by Qt without a display.

Only what a report needs: panels beside each other, each with histograms as stepped lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 520, 380, 56
COLOURS = ("#9aa5b1", "#d9480f", "#1864ab")


@dataclass(frozen=True)
class Curve:
    """A histogram: (n + 1,) edges in the panel's unit and (n,) counts."""

    label: str
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[Any]


@dataclass(frozen=True)
class Panel:
    """One plot: a title, what the x axis is with its unit, and curves over it."""

    title: str
    axis: str
    curves: tuple[Curve, ...]


def histogram(
    label: str, values: npt.NDArray[Any], low: float, high: float, *, bins: int = 120
) -> Curve:
    """Return the histogram of values between two bounds."""
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return Curve(label, edges, counts)


def write_plot(path: Path, panels: list[Panel]) -> None:
    """Write the panels beside each other to a new PNG file; raises OSError."""
    with _qt_application():
        data = _png(panels)
    with path.open("xb") as file:
        file.write(data)


@contextmanager
def _qt_application() -> Iterator[None]:
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


def _png(panels: list[Panel]) -> bytes:
    from PySide6.QtCore import QBuffer, QByteArray
    from PySide6.QtGui import QColor, QImage, QImageWriter, QPainter

    image = QImage(PANEL_WIDTH * len(panels), PANEL_HEIGHT, QImage.Format.Format_RGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    try:
        for index, panel in enumerate(panels):
            _paint(painter, panel, PANEL_WIDTH * index)
    finally:
        painter.end()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    QImageWriter(buffer, QByteArray(b"PNG")).write(image)
    return bytes(buffer.data().data())


def _paint(painter: Any, panel: Panel, left: int) -> None:
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QColor, QPen, QPolygonF

    width, height = PANEL_WIDTH - 2 * MARGIN, PANEL_HEIGHT - 2 * MARGIN
    x0, y0 = left + MARGIN, MARGIN + height
    low = min(float(curve.edges[0]) for curve in panel.curves)
    high = max(float(curve.edges[-1]) for curve in panel.curves)
    top = 1.08 * max(1.0, *(float(curve.counts.max()) for curve in panel.curves))
    painter.setPen(QColor("black"))
    painter.drawRect(x0, MARGIN, width, height)
    painter.drawText(x0, MARGIN - 12, panel.title)
    painter.drawText(x0 + width // 2 - 50, y0 + 40, panel.axis)
    painter.drawText(left + 6, MARGIN + 6, f"{top:.3g}")
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = round(x0 + fraction * width)
        painter.drawLine(x, y0, x, y0 + 4)
        painter.drawText(x - 14, y0 + 20, f"{low + fraction * (high - low):.4g}")
    for number, curve in enumerate(panel.curves):
        painter.setPen(QPen(QColor(COLOURS[number % len(COLOURS)]), 2))
        x_px = x0 + (np.repeat(curve.edges, 2)[1:-1] - low) / (high - low) * width
        y_px = y0 - np.repeat(curve.counts, 2) / top * height
        painter.drawPolyline(
            QPolygonF([QPointF(float(x), float(y)) for x, y in zip(x_px, y_px, strict=True)])
        )
        painter.drawText(x0 + 10, MARGIN + 18 + 16 * number, curve.label)
