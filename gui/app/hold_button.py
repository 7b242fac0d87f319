"""A button for what ends or discards: it acts only when held for a second.

It fills while it is held, by mouse or by its key, and empties when let go too early. It never has
the keyboard focus, so that no Space or Enter meant for something else reaches it, and a click alone
does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.words import tr

HOLD_S = 1.0
_STEP_MS = 20
_HINT_S = 2.0
"""How long the button says that it must be held, after it was let go too early."""
REPEAT_S = 0.1
"""A key down again so soon was never up: a busy machine tears the halves of a repeat apart."""


class HoldButton(QtWidgets.QPushButton):
    """A push button that emits ``held`` once, after it was held for ``HOLD_S``.

    Parameters
    ----------
    caption : its text while nobody touches it
    clock : seconds, for the tests
    """

    held = QtCore.Signal()

    def __init__(self, caption: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(caption)
        self._caption = caption
        self._clock = clock
        self._since_s: float | None = None
        self._key_up_s: float | None = None
        self._hint_until_s = 0.0
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(_STEP_MS)
        self._timer.timeout.connect(self.step)
        self.pressed.connect(self.begin)
        self.released.connect(self.let_go)

    @property
    def fraction(self) -> float:
        """How much of the time it has been held, 0 to 1."""
        if self._since_s is None:
            return 0.0
        return min(1.0, (self._clock() - self._since_s) / HOLD_S)

    def begin(self) -> None:
        """Begin to hold, unless the button is disabled or held already."""
        if self.isEnabled() and self._since_s is None:
            self._since_s = self._clock()
            self._timer.start()
            self.show_caption(self._caption)

    def key_down(self) -> None:
        """Begin to hold; go on as before if the release was only half of a key's repetition."""
        repeated = self._key_up_s is not None and self._clock() - self._key_up_s < REPEAT_S
        self._key_up_s = None
        if not repeated:
            self.begin()

    def key_up(self) -> None:
        """Stop holding, and let go unless the key is down again within ``REPEAT_S``."""
        self._key_up_s = self._clock()

    def let_go(self) -> None:
        """Stop holding; if that is too early, only the hint is shown."""
        self._key_up_s = None
        if self._since_s is not None:
            self._since_s = None
            self._hint_until_s = self._clock() + _HINT_S
            self.show_caption(self._caption)

    def step(self) -> None:
        """Act once the button has been held long enough; give up if it was disabled in the
        meantime.
        """
        if self._key_up_s is not None and self._since_s is not None:
            if self._clock() - self._key_up_s >= REPEAT_S:
                self.let_go()
        elif self._since_s is None:
            if self._clock() >= self._hint_until_s:
                self._timer.stop()
        elif not self.isEnabled():
            self._since_s = None
        elif self.fraction >= 1.0:
            self._since_s = None
            self.held.emit()
        self.show_caption(self._caption)
        self.update()

    def show_caption(self, caption: str) -> None:
        """Show this text, or how to use the button while that matters."""
        self._caption = caption
        hints = self.isEnabled() and (
            self._since_s is not None or self._clock() < self._hint_until_s
        )
        text = tr("Hold {hold_s:g} s", hold_s=HOLD_S) if hints else caption
        if self.text() != text:
            self.setText(text)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Fill the button from the left while it is held."""
        super().paintEvent(event)
        if self.fraction > 0:
            painter = QtGui.QPainter(self)
            colour = QtGui.QColor(theme.ALARM)
            colour.setAlpha(130)
            painter.fillRect(0, 0, round(self.fraction * self.width()), self.height(), colour)
            painter.end()
