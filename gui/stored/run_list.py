"""The table of stored runs, with a search over all its columns."""

from __future__ import annotations

from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.tables import ReadTable
from gui.kit.wording import clock_text, grouped

COLUMNS = ("Run", "Armed", "Condition", "Review", "Time", "Prompts", "MB")
CONDITION = COLUMNS.index("Condition")
ROW_PX = 28
SPARED, WIDE_PX = (4, 5, 6), 640
"""Columns that a list narrower than this does without."""


def row_words(run: dict[str, Any]) -> tuple[str, ...]:
    """Return what the table shows of a run, column by column."""
    return (
        str(run.get("name", "")),
        str(run.get("created", ""))[:16].replace("T", " "),
        str(run.get("condition", "")),
        str(run.get("review", "")),
        clock_text(float(run.get("detector_time_s") or 0.0)),
        grouped(float(run.get("prompts") or 0)),
        grouped(float(run.get("bytes") or 0) / 1e6, digits=1),
    )


class RunList(ReadTable):
    """One row per run, the newest first; ``chosen`` tells the name of the one that is looked at."""

    chosen = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__(COLUMNS, row_px=ROW_PX)
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.SingleSelection)
        header = self.horizontalHeader()
        modes = QtWidgets.QHeaderView.ResizeMode
        for column in range(len(COLUMNS)):
            header.setSectionResizeMode(column, modes.Stretch if column == 0 else modes.Fixed)
        for column, width in ((1, 124), (2, 84), (3, 72), (4, 60), (5, 84), (6, 64)):
            header.resizeSection(column, width)
        self._rows: list[tuple[str, ...]] = []
        self.itemSelectionChanged.connect(self._tell)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Where there is no room, leave figures out: the details are a command away."""
        super().resizeEvent(event)
        for column in SPARED:
            self.setColumnHidden(column, self.width() < WIDE_PX)

    @property
    def name(self) -> str:
        """The run that is looked at, "" for none."""
        row = self.currentRow()
        return self._rows[row][0] if 0 <= row < len(self._rows) and self.selectedItems() else ""

    def show_runs(self, runs: list[dict[str, Any]], *, search: str) -> None:
        """Show the runs that have all words of the search in any column; keeps the choice."""
        wanted = search.casefold().split()
        rows = [row_words(run) for run in runs]
        rows = [row for row in rows if all(w in " ".join(row).casefold() for w in wanted)]
        if rows == self._rows:
            return
        name, self._rows = self.name, rows
        self.blockSignals(True)
        self.setRowCount(len(rows))
        for place, words in enumerate(rows):
            for column, text in enumerate(words):
                self.setItem(place, column, _item(column, text))
        names = [row[0] for row in rows]
        if name in names:
            self.selectRow(names.index(name))
        else:
            self.clearSelection()
        self.blockSignals(False)
        if self.name != name:
            self._tell()

    def _tell(self) -> None:
        self.chosen.emit(self.name)


def _item(column: int, text: str) -> QtWidgets.QTableWidgetItem:
    item = QtWidgets.QTableWidgetItem(text)
    item.setToolTip(text)
    if column >= COLUMNS.index("Time"):
        flags = QtCore.Qt.AlignmentFlag
        item.setTextAlignment(flags.AlignRight | flags.AlignVCenter)
    look = theme.CONDITION_LOOKS.get(text) if column == CONDITION else None
    if look is not None:
        item.setForeground(QtGui.QBrush(QtGui.QColor(look.colour)))
    return item
