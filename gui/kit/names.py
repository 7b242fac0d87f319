"""Names that a screen reader says, for what shows no words of its own.

A button is called by its words. What has neither words nor a name of its own is called by the
first sentence of its tool tip (:func:`name_the_rest`), which every such widget has.
"""

from __future__ import annotations

import re

from pyqtgraph.Qt import QtWidgets

_FIRST = re.compile(r"^[^.:;\n(（。：]+")


def name_the_rest(root: QtWidgets.QWidget) -> None:
    """Name all in a widget that has a tool tip, and neither a name nor words."""
    for widget in root.findChildren(QtWidgets.QWidget):
        if widget.accessibleName() or _has_words(widget):
            continue
        first = _FIRST.match(widget.toolTip())
        if first is not None:
            widget.setAccessibleName(first[0].strip())


def _has_words(widget: QtWidgets.QWidget) -> bool:
    if isinstance(widget, QtWidgets.QLabel):
        return True
    shown = widget.text() if isinstance(widget, QtWidgets.QAbstractButton) else ""
    return sum(letter.isalpha() for letter in shown) > 1
