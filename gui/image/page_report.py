"""The live page as a PDF: views, scale and readings, and which corrections were applied."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.words import mark, tr
from hw.whole_file import PRIVATE_FILE, whole_file

DPI = 150
_MARGIN_MM = 15
_LINE = 1.35
DISCLAIMER = mark("Research software — not a medical device. No diagnosis may rest on this page.")


@dataclass(frozen=True)
class PageContent:
    """What the page says.

    facts : captions and values, in their order
    corrections : (name, whether it is applied, how or why not)
    readings : a line for each region
    """

    title: str
    facts: Mapping[str, str]
    corrections: Sequence[tuple[str, bool, str]]
    readings: Sequence[str]
    note: str = ""


def write_page(path: Path, content: PageContent, pictures: Iterable[QtWidgets.QWidget]) -> Path:
    """Write the page, readable by its owner alone, whole or not at all; raises FileWriteError."""
    buffer = QtCore.QBuffer()
    buffer.open(QtCore.QIODevice.OpenModeFlag.WriteOnly)
    writer = QtGui.QPdfWriter(buffer)
    writer.setPageSize(QtGui.QPageSize(QtGui.QPageSize.PageSizeId.A4))
    writer.setResolution(DPI)
    margins = QtCore.QMarginsF(*[_MARGIN_MM] * 4)
    writer.setPageMargins(margins, QtGui.QPageLayout.Unit.Millimeter)
    writer.setTitle(content.title)
    writer.setCreator("Tomoshibi")
    painter = QtGui.QPainter(writer)
    _Page(painter, writer.width(), writer.height()).draw(content, list(pictures))
    painter.end()
    with whole_file(path, mode=PRIVATE_FILE) as file:
        file.write(bytes(buffer.data().data()))
    return path


class _Page:
    """A page that is filled from the top."""

    def __init__(self, painter: QtGui.QPainter, width: int, height: int) -> None:
        self._painter, self._width, self._height = painter, width, height
        self._y = 0.0

    def draw(self, content: PageContent, pictures: list[QtWidgets.QWidget]) -> None:
        """Fill it."""
        self._words(content.title, size_pt=15, bold=True)
        made = dt.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        self._words(tr("printed {made}", made=made), size_pt=8)
        self._pictures(pictures)
        for caption, value in content.facts.items():
            self._words(f"{caption}: {value}")
        if content.note:
            self._words(content.note)
        self._head(tr("Corrections"))
        for name, applied, how in content.corrections:
            words = tr("✓ corrected for") if applied else tr("✗ NOT corrected for")
            self._words(f"{words} {name}{': ' if how else ''}{how}", bold=not applied)
        if content.readings:
            self._head(tr("Regions: mean ± standard deviation"))
            for line in content.readings:
                self._words(line)
        self._y = self._height - 12 * DPI / 72
        self._words(tr(DISCLAIMER), size_pt=8, bold=True)

    def _head(self, text: str) -> None:
        self._y += 6 * DPI / 72
        self._words(text, size_pt=11, bold=True)

    def _words(self, text: str, *, size_pt: float = 9, bold: bool = False) -> None:
        font = theme.font(theme.BASE_PX, bold=bold)
        font.setPointSizeF(size_pt)
        self._painter.setFont(font)
        self._painter.setPen(QtGui.QColor("black"))
        area = QtCore.QRectF(0, self._y, self._width, self._height)
        flags = QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.TextFlag.TextWordWrap
        taken = self._painter.boundingRect(area, flags, text)
        self._painter.drawText(area, flags, text)
        self._y += taken.height() + (_LINE - 1) * size_pt * DPI / 72

    def _pictures(self, pictures: list[QtWidgets.QWidget]) -> None:
        """In a row, each as it is on the screen, on as much of the width as it has there."""
        shown = [one for one in pictures if one.isVisible() and one.width() > 0]
        total = sum(one.width() for one in shown)
        if not total:
            return
        scale = self._width / total
        left = 0.0
        for one in shown:
            self._painter.save()
            self._painter.translate(left, self._y)
            self._painter.scale(scale, scale)
            one.render(self._painter, QtCore.QPoint())
            self._painter.restore()
            left += scale * one.width()
        self._y += scale * max(one.height() for one in shown) + 8 * DPI / 72
