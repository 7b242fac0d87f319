"""All alarms with cause and remedy, above the journal."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.app.alarm_strip import PRIORITY_LOOKS, alarm_facts, alarm_words
from gui.kit import theme
from gui.kit.panels import Panel
from gui.kit.tables import ReadTable
from gui.kit.words import mark, spoken, tr
from hw.messages.telemetry import Alarm, Telemetry
from hw.notices.catalogue import catalogue

ROW_PX = 24
GAP_PX = 6
"""Between the words of two alarms."""
MOST_PX = 260
LEAST_PX = 4 * ROW_PX
"""A low screen shows this much, and the rest by scrolling."""
COLUMNS = (
    mark("priority"),
    mark("alarm"),
    mark("since, how often"),
    mark("cause"),
    mark("what to do"),
)
PRIORITY_PX = 92
TOP_LEFT = QtCore.Qt.AlignmentFlag.AlignTop | QtCore.Qt.AlignmentFlag.AlignLeft


class AlarmList(Panel):
    """One row per alarm; hidden when there is none."""

    def __init__(self) -> None:
        super().__init__(tr("ALARMS"), teaches=tr("What somebody must answer, the worst first"))
        self.table = ReadTable(COLUMNS, row_px=ROW_PX, name=tr("Alarms"))
        self.table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(theme.NO_FOCUS)
        modes = QtWidgets.QHeaderView.ResizeMode
        header = self.table.horizontalHeader()
        for column in range(len(COLUMNS)):
            header.setSectionResizeMode(column, modes.Stretch if column else modes.Fixed)
        header.resizeSection(0, PRIORITY_PX)
        self.table.setWordWrap(True)
        self._fitting = QtCore.QTimer(self)  # once Qt has laid out the page
        self._fitting.setSingleShot(True)
        self._fitting.timeout.connect(self._fit)
        self.table.horizontalHeader().sectionResized.connect(lambda *_: self._fitting.start(0))
        self.table.setFixedHeight(2 * ROW_PX)
        self.body.addWidget(self.table)
        self._shown: list[tuple[str, ...]] = []
        self.hide()

    def refresh(self, telemetry: Telemetry) -> None:
        """Show the alarms."""
        rows = [_row(alarm) for alarm in telemetry.alarms]
        hidden = telemetry.alarms_hidden
        self.note.show_text(
            tr("{hidden} more", hidden=hidden) if hidden else "" if rows else tr("none")
        )
        if rows != self._shown:
            self._shown = rows
            self._fill(telemetry.alarms)

    def _fill(self, alarms: list[Alarm]) -> None:
        self.table.setRowCount(len(alarms))
        for row, (alarm, texts) in enumerate(zip(alarms, self._shown, strict=True)):
            colour = theme.DIM if alarm.answered_by else PRIORITY_LOOKS[alarm.priority].colour
            for column, text in enumerate(texts):
                item = QtWidgets.QTableWidgetItem(text)
                item.setToolTip(text)
                item.setForeground(QtGui.QColor(colour if column == 0 else theme.TEXT))
                item.setTextAlignment(TOP_LEFT)
                self.table.setItem(row, column, item)
        self._fit()

    def _fit(self) -> None:
        """Give each row the height that its words need at the columns' present widths."""
        self.table.resizeRowsToContents()
        for row in range(self.table.rowCount()):
            self.table.setRowHeight(row, self.table.rowHeight(row) + GAP_PX)
        header_px = self.table.horizontalHeader().height()
        rows_px = sum(self.table.rowHeight(row) for row in range(self.table.rowCount()))
        wanted_px = min(header_px + rows_px + 4, MOST_PX)
        self.table.setMaximumHeight(wanted_px)
        self.table.setMinimumHeight(min(wanted_px, LEAST_PX))


def _row(alarm: Alarm) -> tuple[str, ...]:
    entry = catalogue(spoken()).get(alarm.id)
    means, do = (entry.means, entry.do) if entry is not None else ("", "")
    look = PRIORITY_LOOKS[alarm.priority]
    return look.text, alarm_words(alarm), alarm_facts(alarm), means, do
