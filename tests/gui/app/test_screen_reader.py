"""A screen reader finds a name at all that can be used or looked at, on every page."""

from __future__ import annotations

from collections.abc import Iterator

import pyqtgraph as pg
import pytest
from pyqtgraph.Qt import QtGui, QtWidgets

from gui.app.stale_veil import StaleVeil
from gui.app.window import ConsoleWindow
from gui.image.frame_strip import FrameStrip
from gui.image.slice_views import SliceView
from gui.kit.colour_maps import ColourBar
from gui.modules.scanner_map import ModuleGrid
from gui.projections.planar_view import ProjectionView

pytestmark = pytest.mark.gui

USED = (
    QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox,
    QtWidgets.QLineEdit, QtWidgets.QSlider, QtWidgets.QTableWidget, QtWidgets.QPlainTextEdit,
)  # fmt: skip
LOOKED_AT = (
    SliceView, ProjectionView, FrameStrip, ModuleGrid, ColourBar, StaleVeil, pg.PlotWidget,
)  # fmt: skip
PARTS_OF_OTHERS = (
    QtWidgets.QAbstractSpinBox, QtWidgets.QComboBox, QtWidgets.QTableView, QtWidgets.QHeaderView,
)  # fmt: skip


def to_be_named(root: QtWidgets.QWidget) -> Iterator[QtWidgets.QWidget]:
    for widget in root.findChildren(QtWidgets.QWidget):
        if isinstance(widget, USED + LOOKED_AT) and not isinstance(
            widget.parentWidget(), PARTS_OF_OTHERS
        ):
            yield widget


def heard(widget: QtWidgets.QWidget) -> str:
    """Return what is read out: the name; a button without one is called by its words."""
    if isinstance(widget, QtWidgets.QAbstractButton):
        told = QtGui.QAccessible.queryAccessibleInterface(widget)
        return str(told.text(QtGui.QAccessible.Text.Name))
    return str(widget.accessibleName())


def test_all_that_is_used_or_looked_at_has_a_name(console: ConsoleWindow) -> None:
    seen = list(to_be_named(console))
    assert len(seen) > 80  # of all pages: those not shown are made, too
    # a veil that is hidden has no words yet
    nameless = [
        f"{type(one).__name__} in {type(one.parentWidget()).__name__}: {heard(one)!r}"
        for one in seen
        if sum(letter.isalpha() for letter in heard(one)) < 2 and not isinstance(one, StaleVeil)
    ]
    assert nameless == []
