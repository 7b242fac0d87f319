"""What is wrong with how a window's widgets lie: cut text, widgets upon each other or outside."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit.panels import ElidedLabel

SLACK_PX = 1
"""Of rounding between a text's width and its label's."""


def layout_faults(window: QtWidgets.QWidget) -> list[str]:
    """Return each fault in words, with the widget's own words to find it by."""
    request = QtCore.QEvent.Type.LayoutRequest.value
    QtCore.QCoreApplication.sendPostedEvents(None, request)  # of words that just changed
    seen = [w for w in window.findChildren(QtWidgets.QWidget) if _is_seen(w, window)]
    return sorted({*_cut(seen), *_outside(seen, window), *_overlaps(seen)})


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
