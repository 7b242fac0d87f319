"""The legend of the map of modules: a scale of colours with its unit, or the states."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.words import mark

_UNKNOWN = theme.Look(mark("unknown"), "?", theme.FAINT)
_EXPECTED = theme.Look(mark("not yet heard"), "·", theme.FAINT)
_HEIGHT_PX, _BAR_PX = 14, 96


class ModuleLegend(QtWidgets.QWidget):
    """One line under the map."""

    def __init__(self, brushes: list[QtGui.QBrush]) -> None:
        super().__init__()
        self._brushes = brushes
        self._scale: tuple[str, str, str] | None = None
        self._states: dict[str, int] = {}
        self.setFixedHeight(_HEIGHT_PX)

    @property
    def text(self) -> str:
        """The legend's text."""
        if self._scale is not None:
            low, high, unit = self._scale
            return f"{low} … {high}  {unit}" if low else unit
        return "  ".join(_state_words(state, n) for state, n in self._states.items() if n)

    def show_scale(self, low: str, high: str, unit: str) -> None:
        """Show a scale of colours; without ends, only the unit."""
        self._change((low, high, unit), {})

    def show_states(self, states: dict[str, int]) -> None:
        """Show the number of modules in each state, with its symbol."""
        self._change(None, states)

    def forget(self) -> None:
        """Show nothing."""
        self._change(None, {})

    def _change(self, scale: tuple[str, str, str] | None, states: dict[str, int]) -> None:
        if (scale, states) != (self._scale, self._states):
            self._scale, self._states = scale, states
            self.update()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the line."""
        painter = QtGui.QPainter(self)
        painter.setFont(theme.font(theme.SMALL_PX))
        if self._scale is None:
            self._paint_states(painter)
        else:
            self._paint_scale(painter, *self._scale)
        painter.end()

    def _paint_scale(self, painter: QtGui.QPainter, low: str, high: str, unit: str) -> None:
        place = 0.0
        if low:
            place = self._write(painter, place, low) + 5
            step = _BAR_PX / len(self._brushes)
            for number, brush in enumerate(self._brushes):
                painter.fillRect(QtCore.QRectF(place + number * step, 3, step + 0.5, 8), brush)
            place = self._write(painter, place + _BAR_PX + 5, high) + 8
        self._write(painter, place, unit)

    def _paint_states(self, painter: QtGui.QPainter) -> None:
        place = 0.0
        for state, number in self._states.items():
            if not number:
                continue
            box = QtCore.QRectF(place, 1, 13, 12)
            ground = theme.LIVE_FILL if state == "live" else theme.RAISED
            painter.fillRect(box, QtGui.QColor(ground))
            if state != "live":
                paint_state(painter, box, state, before_run=False)
            painter.setFont(theme.font(theme.SMALL_PX))
            place = self._write(painter, place + 17, f"{number} {theme.MODULE_LOOKS[state].word}")
            place += 9

    def _write(self, painter: QtGui.QPainter, place: float, text: str) -> float:
        """Write at ``place`` px; return where the text ends."""
        painter.setPen(QtGui.QColor(theme.DIM))
        room = QtCore.QRectF(place, 0, self.width() - place, _HEIGHT_PX)
        painter.drawText(room, QtCore.Qt.AlignmentFlag.AlignVCenter, text)
        return float(place + painter.fontMetrics().horizontalAdvance(text))


def _state_words(state: str, number: int) -> str:
    look = theme.MODULE_LOOKS[state]
    return f"{look.symbol} {number} {look.word}".strip()


def paint_state(
    painter: QtGui.QPainter, cell: QtCore.QRectF, state: str, *, before_run: bool
) -> None:
    """Draw the symbol of a module that is not live, over hatching if that is a fault."""
    look = theme.MODULE_LOOKS.get(state, _UNKNOWN)
    if state == "silent" and before_run:
        look = _EXPECTED
        painter.fillRect(cell, QtGui.QColor(theme.RAISED))
    elif state != "ended":
        colour = QtGui.QColor(look.colour)
        painter.fillRect(cell, QtGui.QColor(theme.BACKGROUND))
        painter.fillRect(cell, QtGui.QBrush(colour, QtCore.Qt.BrushStyle.BDiagPattern))
        mark = QtCore.QRectF(0, 0, cell.width(), min(15.0, cell.height()))
        mark.moveCenter(cell.center())
        painter.fillRect(mark, colour)
    painter.setPen(QtGui.QColor(_ink(look)))
    painter.setFont(theme.font(13, bold=True))
    painter.drawText(cell, QtCore.Qt.AlignmentFlag.AlignCenter, look.symbol)
    painter.setPen(QtCore.Qt.PenStyle.NoPen)


def _ink(look: theme.Look) -> str:
    """Return the colour of a symbol on its background."""
    return theme.TEXT if look in (_EXPECTED, theme.MODULE_LOOKS["ended"]) else theme.BACKGROUND
