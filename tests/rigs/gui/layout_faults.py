"""What is wrong with how a window's widgets lie: cut text, widgets upon each other or outside.

Of a table: headers that are cut, rows that are not as high as their wrapped words, and cells that
are cut without a tool tip that has all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit.panels import ElidedLabel
from gui.kit.theme import FIELD_PX, SMALL_TOUCH_PX, TOUCH_PX

SLACK_PX = 1
"""Of rounding between a text's width and its label's."""


def layout_faults(window: QtWidgets.QWidget) -> list[str]:
    """Return each fault in words, with the widget's own words to find it by."""
    request = QtCore.QEvent.Type.LayoutRequest.value
    QtCore.QCoreApplication.sendPostedEvents(None, request)  # of words that just changed
    seen = [w for w in window.findChildren(QtWidgets.QWidget) if _is_seen(w, window)]
    return sorted(
        {
            *_cut(seen),
            *_cut_in_tables(seen),
            *_small(seen),
            *_outside(seen, window),
            *_overlaps(seen),
        }
    )


def _is_seen(widget: QtWidgets.QWidget, window: QtWidgets.QWidget) -> bool:
    return widget.isVisible() and widget.window() is window and widget.width() > 0


def _cut(widgets: list[QtWidgets.QWidget]) -> Iterator[str]:
    for widget in widgets:
        if isinstance(widget, QtWidgets.QLabel) and not isinstance(widget, ElidedLabel):
            room, needed = widget.width(), widget.sizeHint().width()
            if not widget.wordWrap() and widget.text() and room + SLACK_PX < needed:
                yield f"cut: {widget.text()!r} needs {needed} px, has {room}"
        if isinstance(widget, QtWidgets.QLabel) and widget.text() and not widget.wordWrap():
            high, needed = widget.height(), widget.sizeHint().height()
            if high + SLACK_PX < needed:
                yield f"cut: {widget.text()!r} needs {needed} px of height, has {high}"
        if isinstance(widget, QtWidgets.QPushButton | QtWidgets.QComboBox | QtWidgets.QCheckBox):
            room, needed = widget.width(), widget.minimumSizeHint().width()
            if room + SLACK_PX < needed:
                yield f"cut: {_words(widget)} needs {needed} px, has {room}"


def _small(widgets: list[QtWidgets.QWidget]) -> Iterator[str]:
    """Yield what is lower than a finger needs."""
    for widget in widgets:
        if isinstance(widget, QtWidgets.QPushButton):
            least = SMALL_TOUCH_PX if widget.objectName() == "small" else TOUCH_PX
        elif isinstance(widget, QtWidgets.QComboBox | QtWidgets.QAbstractSpinBox):
            least = FIELD_PX
        else:
            continue
        if widget.height() < least:
            yield f"small: {_words(widget)} is {widget.height()} px high, of {least}"


def _cut_in_tables(widgets: list[QtWidgets.QWidget]) -> Iterator[str]:
    for table in widgets:
        if isinstance(table, QtWidgets.QTableWidget):
            if table.horizontalHeader().isVisible():
                yield from _cut_headers(table)
            for row in (row for row in range(table.rowCount()) if _is_in_view(table, row)):
                yield from _cut_in_row(table, row)


def _is_in_view(table: QtWidgets.QTableWidget, row: int) -> bool:
    top = table.rowViewportPosition(row)
    return top + table.rowHeight(row) > 0 and top < table.viewport().height()


def _cut_headers(table: QtWidgets.QTableWidget) -> Iterator[str]:
    header = table.horizontalHeader()
    for column in range(table.columnCount()):
        item = table.horizontalHeaderItem(column)
        if item is None or table.isColumnHidden(column):
            continue
        room = header.sectionSize(column)
        needed = max(map(header.fontMetrics().horizontalAdvance, item.text().split("\n")))
        if room + SLACK_PX < needed:
            yield f"cut: header {item.text()!r} needs {needed} px, has {room}"


def _cut_in_row(table: QtWidgets.QTableWidget, row: int) -> Iterator[str]:
    high, needed = table.rowHeight(row), table.sizeHintForRow(row)
    if table.wordWrap() and high + SLACK_PX < needed:
        yield f"cut: {_row_words(table, row)!r} needs {needed} px of height, has {high}"
    for column in range(table.columnCount()):
        item = table.item(row, column)
        if item is None or not item.text() or item.toolTip() or table.isColumnHidden(column):
            continue
        room = table.columnWidth(column)
        needed = QtGui.QFontMetrics(item.font()).horizontalAdvance(item.text())
        if room + SLACK_PX < needed and high < 2 * QtGui.QFontMetrics(item.font()).lineSpacing():
            yield f"cut: {item.text()!r} needs {needed} px, has {room}, and no tool tip has it"


def _row_words(table: QtWidgets.QTableWidget, row: int) -> str:
    items = (table.item(row, column) for column in range(table.columnCount()))
    return " ".join(item.text() for item in items if item is not None)


def _outside(widgets: list[QtWidgets.QWidget], window: QtWidgets.QWidget) -> Iterator[str]:
    """Yield what lies beyond its parent; what scrolls may do so downwards."""
    for widget in widgets:
        if not isinstance(widget, QtWidgets.QLabel | QtWidgets.QPushButton | QtWidgets.QComboBox):
            continue
        parent = widget.parentWidget()
        while parent is not None and parent is not window:
            corner = widget.mapTo(parent, QtCore.QPoint(0, 0))
            right, bottom = corner.x() + widget.width(), corner.y() + widget.height()
            if right > parent.width() + SLACK_PX or corner.x() < -SLACK_PX:
                yield f"outside: {_words(widget)} ends at {right} of {parent.width()} px"
            if isinstance(parent, QtWidgets.QAbstractScrollArea):
                break
            if bottom > parent.height() + SLACK_PX and not _scrolls(parent):
                yield f"outside: {_words(widget)} ends {bottom} px down, of {parent.height()}"
            parent = parent.parentWidget()


def _scrolls(widget: QtWidgets.QWidget) -> bool:
    return isinstance(widget.parentWidget(), QtWidgets.QAbstractScrollArea)


def _overlaps(widgets: list[QtWidgets.QWidget]) -> Iterator[str]:
    families: dict[int, list[QtWidgets.QWidget]] = {}
    for widget in widgets:
        families.setdefault(id(widget.parentWidget()), []).append(widget)
    for family in families.values():
        for one, other in combinations(family, 2):
            if one.isWindow() or other.isWindow():
                continue
            if isinstance(one.parentWidget(), QtWidgets.QSplitter | QtWidgets.QAbstractScrollArea):
                continue
            common = one.geometry().intersected(other.geometry())
            if common.width() > SLACK_PX and common.height() > SLACK_PX:
                yield f"overlap: {_words(one)} and {_words(other)}"


def _words(widget: QtWidgets.QWidget) -> str:
    for name in ("text", "currentText"):
        if hasattr(widget, name) and getattr(widget, name)():
            return repr(getattr(widget, name)())
    return type(widget).__name__
