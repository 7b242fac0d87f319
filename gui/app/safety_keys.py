"""Keys that must work wherever the keyboard's focus is: in a field, on another page, in a question.

A Qt shortcut belongs to one window and does not know when a key is released. This filter sees the
keys of the focused window before any widget gets them: some must be held, others act at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyqtgraph.Qt import QtCore, QtGui

from gui.app.hold_button import HoldButton

_PRESS, _RELEASE = QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease


class SafetyKeys(QtCore.QObject):
    """Watches the focused window of this process until :meth:`close`.

    Parameters
    ----------
    parent : what owns it
    held : buttons by the key that must be held
    at_once : actions by key, done once for each press
    """

    def __init__(
        self,
        parent: QtCore.QObject,
        *,
        held: Mapping[str, HoldButton],
        at_once: Mapping[str, Callable[[], None]],
    ) -> None:
        super().__init__(parent)
        self._held = {_code(key): button for key, button in held.items()}
        self._at_once = {_code(key): act for key, act in at_once.items()}
        self._app = QtGui.QGuiApplication.instance()
        self._app.focusWindowChanged.connect(self._follow)
        self._follow(self._app.focusWindow())

    def close(self) -> None:
        """Stop watching the keys."""
        self._app.focusWindowChanged.disconnect(self._follow)
        self._held, self._at_once = {}, {}

    def _follow(self, window: QtGui.QWindow | None) -> None:
        """A key that is down as the focus goes is let go: its release would not be seen."""
        for button in self._held.values():
            button.let_go()
        if window is not None:
            window.installEventFilter(self)  # again for the same window: still once

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        """Take the keys named here; leave all others to the window."""
        if event.type() not in (_PRESS, _RELEASE):
            return False
        pressed = event.type() == _PRESS
        button, act = self._held.get(event.key()), self._at_once.get(event.key())
        if button is None and act is None:
            return False
        if event.isAutoRepeat():
            return True
        if button is not None:
            (button.key_down if pressed else button.key_up)()
        if act is not None and pressed:
            act()
        return True


def _code(key: str) -> int:
    return int(QtGui.QKeySequence(key)[0].key())
