"""The run's journal: what happened, when, and how severe it is.

Telemetry carries the newest entries; the console keeps those it has seen, up to a bound.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.app.marker_field import MarkerField
from gui.kit import theme
from gui.kit.panels import Panel
from gui.kit.told import entry_words
from gui.kit.words import tr
from gui.link.command_desk import CommandDesk
from hw.messages.telemetry import JournalEntry, Telemetry

KEPT = 500
LEAST_PX = 43
"""Of height: three lines."""


class JournalPanel(Panel):
    """A list of time, severity (word and colour) and text; the newest is at the bottom."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__(
            tr("JOURNAL"), teaches=tr("What happened, as recorded in the run's folder")
        )
        self.marker = MarkerField(desk)
        self.marker.hide()
        self.table = QtWidgets.QTableWidget(0, 3)
        self.table.setAccessibleName(tr("Journal"))
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.table.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setVerticalScrollMode(QtWidgets.QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setMinimumHeight(LEAST_PX)
        header = self.table.horizontalHeader()
        modes = QtWidgets.QHeaderView.ResizeMode
        header.setMinimumSectionSize(20)
        for column, (mode, width) in enumerate(
            ((modes.Fixed, 58), (modes.Fixed, 66), (modes.Stretch, 100))
        ):
            header.setSectionResizeMode(column, mode)
            header.resizeSection(column, width)
        self.table.setWordWrap(True)
        self._wrapping = QtCore.QTimer(self)  # once Qt has laid out the page
        self._wrapping.setSingleShot(True)
        self._wrapping.timeout.connect(self._wrap_anew)
        header.sectionResized.connect(lambda *_: self._wrapping.start(0))
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.marker)
        self.entries: deque[JournalEntry] = deque(maxlen=KEPT)
        self._last = -1

    def set_large(self, large: bool) -> None:
        """Make room for the field for markers, or show the entries alone."""
        self.marker.setVisible(large)

    def go_on_from(self, before: JournalPanel) -> None:
        """Take over what another journal has shown."""
        for entry in before.entries:
            self._append(entry)
        self._last = before._last

    def refresh(self, telemetry: Telemetry) -> None:
        """Append what is new; start again when the daq was restarted."""
        self.marker.refresh(telemetry)
        entries = telemetry.journal
        newest = max((entry.number for entry in entries), default=-1)
        if newest < self._last:
            self.table.setRowCount(0)
            self.entries.clear()
            self._last = -1
        for entry in sorted(entries, key=lambda entry: entry.number):
            if entry.number > self._last:
                self._append(entry)
        self._last = max(newest, self._last)

    def _append(self, entry: JournalEntry) -> None:
        self.entries.append(entry)
        row = self.table.rowCount()
        self.table.insertRow(row)
        look = theme.SEVERITY_LOOKS[entry.severity]
        calm = entry.severity == "info"
        words = entry_words(entry)
        texts = (
            (local_time(entry.wall), theme.FAINT),
            (look.text, look.colour),
            (words, theme.TEXT if calm else look.colour),
        )
        for column, (text, colour) in enumerate(texts):
            item = QtWidgets.QTableWidgetItem(text)
            item.setForeground(QtGui.QColor(colour))
            item.setTextAlignment(
                QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignTop
            )
            item.setToolTip(f"{entry.wall}\n{words}")
            item.setFont(theme.font(theme.SMALL_PX, bold=column == 1 and not calm))
            self.table.setItem(row, column, item)
        if self.table.rowCount() > KEPT:
            self.table.removeRow(0)
        self.table.resizeRowToContents(self.table.rowCount() - 1)
        self.table.scrollToBottom()

    def _wrap_anew(self) -> None:
        """Wrap to the width that there is now; the newest stays in view."""
        self.table.resizeRowsToContents()
        self.table.doItemsLayout()
        self.table.scrollToBottom()


def local_time(wall: str) -> str:
    """Return an ISO 8601 UTC time as local hours, minutes and seconds."""
    try:
        return f"{datetime.fromisoformat(wall).astimezone():%H:%M:%S}"
    except ValueError:
        return wall[-8:]
