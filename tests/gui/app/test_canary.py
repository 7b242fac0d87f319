"""The Qt binding itself: the right one, of a version that does not destroy None."""

from __future__ import annotations

import sys

import pytest
from pyqtgraph.Qt import QT_LIB, QtCore, QtGui, QtWidgets

from gui.app.console import application
from gui.kit import theme

pytestmark = pytest.mark.gui


def test_the_binding_is_pyside6_in_the_range_that_was_tried() -> None:
    assert QT_LIB == "PySide6"
    version = tuple(int(part) for part in QtCore.__version__.split(".")[:2])
    assert (6, 8) <= version < (6, 12)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal from Python 3.12 on")
def test_void_calls_keep_the_references_to_none() -> None:
    application(headless=True)
    label = QtWidgets.QLabel()
    before = sys.getrefcount(None)
    for _ in range(20_000):
        label.setText("")
    assert sys.getrefcount(None) > before - 1_000


def test_every_symbol_of_the_console_has_a_glyph() -> None:
    application(headless=True)
    metrics = QtGui.QFontMetrics(theme.font())
    looks = [
        *theme.STATE_LOOKS.values(),
        *theme.CONDITION_LOOKS.values(),
        *theme.SEVERITY_LOOKS.values(),
        *theme.MODULE_LOOKS.values(),
        *theme.RANDOMS_LOOKS.values(),
        *theme.WINDOW_LOOKS.values(),
    ]
    symbols = {look.symbol for look in looks} | set("●✛τΔ−±–…≤·×₁₂\N{NARROW NO-BREAK SPACE}")
    assert [s for s in symbols if not metrics.inFontUcs4(ord(s))] == []


def test_no_state_is_told_by_colour_alone() -> None:
    for looks in (
        theme.STATE_LOOKS,
        theme.CONDITION_LOOKS,
        theme.SEVERITY_LOOKS,
        theme.MODULE_LOOKS,
        theme.RANDOMS_LOOKS,
        theme.WINDOW_LOOKS,
    ):
        assert len({look.word for look in looks.values()}) == len(looks)
        assert len({look.symbol for look in looks.values()}) == len(looks)
