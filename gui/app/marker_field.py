"""A line that sets a marker in the run: what happened, at the present detector time."""

from __future__ import annotations

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk, Pending
from hw.messages.telemetry import Telemetry

MOST_CHARACTERS = 200
TEACHES = mark(
    "A few words that stand in the run, its journal and its report, at the "
    "present time.\nWrite nothing that identifies a person."
)


class MarkerField(QtWidgets.QWidget):
    """A field and a button; both are disabled while there is no run."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__()
        self._desk = desk
        self._sent: Pending | None = None
        self.text = QtWidgets.QLineEdit()
        self.text.setMaxLength(MOST_CHARACTERS)
        self.text.setPlaceholderText(tr("what happened now, e.g. second injection"))
        self.text.setToolTip(tr(TEACHES))
        self.text.setAccessibleName(tr("Marker"))
        self.text.setMinimumHeight(28)
        self.text.returnPressed.connect(self.send)
        self.button = QtWidgets.QPushButton(tr("Mark"))
        self.button.setToolTip(tr(TEACHES))
        self.button.setFocusPolicy(theme.NO_FOCUS)
        self.button.clicked.connect(lambda _checked=False: self.send())
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        self.refresh(None)

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Accept text during a run; empty the field once the marker is set."""
        running = telemetry is not None and telemetry.state == "running"
        for widget in (self.text, self.button):
            if widget.isEnabled() != running:
                widget.setEnabled(running)
        if self._sent is not None and self._sent.outcome:
            if self._sent.outcome == "done":
                self.text.clear()
            self._sent = None

    def send(self) -> None:
        """Set the marker."""
        words = self.text.text().strip()
        if words and self._sent is None:
            self._sent = self._desk.mark(words)
            self.text.clearFocus()
