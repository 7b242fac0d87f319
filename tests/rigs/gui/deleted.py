"""Windows of tests that really go: what stays makes each later change of style slower."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets


def delete_now(window: QtWidgets.QWidget) -> None:
    """Delete a closed window and all in it at once.

    ``deleteLater`` alone waits for an event loop to begin, which tests never do: hundreds of
    windows stayed, and each test of colours restyled all of them. So do the widgets that a window
    has replaced, which are no longer in it.
    """
    window.deleteLater()
    delete_what_waits()


def delete_what_waits() -> None:
    """Delete what ``deleteLater`` was called of, as an event loop does."""
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
