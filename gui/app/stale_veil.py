"""The veil over displays that are out of date: the daq has fallen silent, or was never heard."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.wording import age_text
from gui.kit.words import tr
from gui.link.daq_view import Link


class StaleVeil(QtWidgets.QWidget):
    """Greys out what it covers and says why in large letters; lets the mouse through."""

    def __init__(self, parent: QtWidgets.QWidget, *, covers: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._covered = covers
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setStyleSheet("background: transparent;")
        self.title = ""
        self.detail = ""
        self.hide()

    def refresh(self, link: Link, address: str, *, lifted: bool = False) -> None:
        """Show or hide the veil; ``lifted`` hides it over pages that do not show the daq."""
        state = link.state
        if state == "connected" or lifted:
            if not self.isHidden():
                self.hide()
            return
        if state == "waiting":
            words = (
                tr("WAITING FOR THE DAQ"),
                tr("nothing heard yet at {address}", address=address),
            )
        else:
            words = (
                tr("NO DATA FROM DAQ"),
                tr("what is shown is {age} old", age=age_text(link.age_s)),
            )
        if link.fault:
            words = (tr("DAQ NOT READABLE"), link.fault)
        self._show(*words)

    def fit(self) -> None:
        """Cover the displays exactly."""
        parent = self.parentWidget()
        assert parent is not None
        corner = self._covered.mapTo(parent, QtCore.QPoint(0, 0))
        self.setGeometry(QtCore.QRect(corner, self._covered.size()))

    def _show(self, title: str, detail: str) -> None:
        if self.isHidden():
            self.fit()
            self.raise_()
            self.show()
        if (title, detail) != (self.title, self.detail):
            self.title, self.detail = title, detail
            self.setAccessibleName(f"{title}: {detail}")
            self.update()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the grey layer and the words."""
        painter = QtGui.QPainter(self)
        wash = QtGui.QColor(theme.BACKGROUND)
        wash.setAlpha(165)
        painter.fillRect(self.rect(), wash)
        box = QtCore.QRectF(0, 0, min(720.0, self.width() - 40.0), 92)
        box.moveCenter(QtCore.QPointF(self.rect().center()))
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.setBrush(QtGui.QColor(theme.BACKGROUND))
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.ALARM), 2))
        painter.drawRoundedRect(box, 6, 6)
        flags = QtCore.Qt.AlignmentFlag
        painter.setFont(theme.font(26, bold=True))
        painter.setPen(QtGui.QColor(theme.ALARM))
        painter.drawText(box.adjusted(0, 12, 0, -40), flags.AlignCenter, f"✗ {self.title}")
        painter.setFont(theme.font(13))
        painter.setPen(QtGui.QColor(theme.TEXT))
        words = flags.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
        painter.drawText(box.adjusted(16, 52, -16, -8), words, self.detail)
        painter.end()
