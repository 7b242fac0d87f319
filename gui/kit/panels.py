"""The parts of every panel: a titled frame, and labels that are redrawn only when they change."""

from __future__ import annotations

from collections.abc import Mapping

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit.theme import BASE_PX, SMALL_PX, font
from gui.kit.words import tr

LEAST_PX = 76
"""Of what scrolls: five lines."""

FOREIGN_PX = 1
"""By how much a line may be higher than the console's own font asks for."""


class CalmLabel(QtWidgets.QLabel):
    """A label that is cheap to set 20 times a second: Qt is called only when it differs.

    A single line is as high in Japanese as in English: fonts for it ask for up to a third more than
    their letters need, by which a page would not fit a small screen.
    """

    def __init__(self, text: str = "", *, size_px: int = BASE_PX, bold: bool = False) -> None:
        super().__init__(text)
        self._shown = text
        self._colour = ""
        self.setFont(font(size_px, bold=bold))
        self.setTextFormat(QtCore.Qt.TextFormat.PlainText)

    @property
    def colour(self) -> str:
        """The requested colour, "" for the panel's own."""
        return self._colour

    def show_text(self, text: str, colour: str = "") -> None:
        """Show ``text``; ``colour`` only if it differs from the panel's own."""
        if text != self._shown:
            self._shown = text
            self.setText(text)
        if colour != self._colour:
            self._colour = colour
            self.setStyleSheet(f"color: {colour};" if colour else "")

    def sizeHint(self) -> QtCore.QSize:
        """Return the room that the text needs."""
        return self._of_own_height(super().sizeHint())

    def minimumSizeHint(self) -> QtCore.QSize:
        """Return the least room."""
        return self._of_own_height(super().minimumSizeHint())

    def _of_own_height(self, size: QtCore.QSize) -> QtCore.QSize:
        if self.wordWrap() or "\n" in self._shown:
            return size
        margins = self.contentsMargins()
        most = self.fontMetrics().lineSpacing() + FOREIGN_PX + margins.top() + margins.bottom()
        return QtCore.QSize(size.width(), min(size.height(), most))


class ElidedLabel(CalmLabel):
    """A label that never asks for more width than it gets; its tooltip has the whole text."""

    def __init__(self, *, size_px: int = BASE_PX, bold: bool = False) -> None:
        super().__init__(size_px=size_px, bold=bold)
        self._whole = self._fitted = ""
        self.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred
        )

    def show_text(self, text: str, colour: str = "") -> None:
        """Show as much of ``text`` as fits."""
        if text != self._whole:
            self._whole = text
            self.setToolTip(text)
            self._fitted = self._fitting()
        super().show_text(self._fitted, colour)

    def _fitting(self) -> str:
        mode = QtCore.Qt.TextElideMode.ElideRight
        return str(self.fontMetrics().elidedText(self._whole, mode, max(20, self._room_px())))

    def _room_px(self) -> int:
        return int(self.width()) - 2

    def resizeEvent(self, event: object) -> None:
        """Fit the text to the new width."""
        super().resizeEvent(event)
        self._fitted = self._fitting()
        super().show_text(self._fitted, self._colour)


class ReasonLabel(ElidedLabel):
    """A reason in at most two lines, which a person must read to go on."""

    def __init__(self, *, size_px: int) -> None:
        super().__init__(size_px=size_px)
        self.setWordWrap(True)
        self.setMaximumHeight(2 * self.fontMetrics().lineSpacing() + 2)

    def _room_px(self) -> int:
        return int(1.8 * self.width())


class Swatch(QtWidgets.QWidget):
    """A piece of a line as it is drawn in a plot: colour and dash."""

    def __init__(self, pen: QtGui.QPen) -> None:
        super().__init__()
        self._pen = pen
        self.setFixedSize(22, 8)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the piece of line."""
        painter = QtGui.QPainter(self)
        painter.setPen(self._pen)
        painter.drawLine(0, 4, self.width(), 4)
        painter.end()


class Panel(QtWidgets.QFrame):
    """A framed part of the console with a title, a note to the right of it, and a body."""

    def __init__(self, title: str, *, teaches: str = "") -> None:
        super().__init__()
        self.setObjectName("panel")
        self.note = CalmLabel(size_px=SMALL_PX)
        self.note.setObjectName("note")
        heading = CalmLabel(title, size_px=BASE_PX)
        heading.setObjectName("title")
        heading.setToolTip(teaches)
        self._head = QtWidgets.QHBoxLayout()
        self._head.addWidget(heading)
        self._head.addStretch(1)
        self._head.addWidget(self.note)
        self.body = QtWidgets.QVBoxLayout(self)
        self.body.setContentsMargins(10, 6, 10, 6)
        self.body.setSpacing(4)
        self.body.addLayout(self._head)

    def add_legend(self, name: str, pen: QtGui.QPen) -> None:
        """Show in the heading which line is which."""
        caption = CalmLabel(name, size_px=SMALL_PX)
        caption.setObjectName("dim")
        self._head.setSpacing(6)
        place = self._head.count() - 2
        self._head.insertSpacing(place, 6)
        self._head.insertWidget(place + 1, Swatch(pen))
        self._head.insertWidget(place + 2, caption)


class FactsGrid(QtWidgets.QGridLayout):
    """Captions and their values, filled row by row; the tooltip of both explains the fact.

    values, captions : the labels by the facts' names
    """

    def __init__(self, teaches: Mapping[str, str], *, columns: int = 1) -> None:
        super().__init__()
        self.setVerticalSpacing(1)
        self.setHorizontalSpacing(8)
        self.captions: dict[str, CalmLabel] = {}
        self.values: dict[str, CalmLabel] = {}
        for number, (name, words) in enumerate(teaches.items()):
            row, column = divmod(number, columns)
            self.captions[name], self.values[name] = CalmLabel(tr(name)), CalmLabel("–")
            self.captions[name].setObjectName("dim")
            for place, label in enumerate((self.captions[name], self.values[name])):
                label.setToolTip(tr(words))
                self.addWidget(label, row, 2 * column + place)
        for column in range(columns):
            self.setColumnStretch(2 * column + 1, 1)


def scrolling(content: QtWidgets.QWidget) -> QtWidgets.QScrollArea:
    """Return the content in a frameless area that scrolls if there is not enough height."""
    area = QtWidgets.QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumHeight(LEAST_PX)
    area.setMinimumWidth(content.minimumWidth() + area.verticalScrollBar().sizeHint().width())
    return area
