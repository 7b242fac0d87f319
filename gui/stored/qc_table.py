"""The table of a QC: each figure with its limit and verdict, part by part."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from daq.folder.quality.qc_result import QcPart, QcResult
from gui.kit import theme
from gui.kit.tables import ReadTable
from gui.kit.words import mark, tr
from hw.scanner.judged_figure import FAIL, INFORMATION, NO_LIMIT, PASS

COLUMNS = (mark("Figure"), mark("Value"), mark("Limit"), mark("Verdict"))
ROW_PX = 22
LOOKS = {
    PASS: (mark("✓ pass"), theme.GOOD), FAIL: (mark("✗ FAIL"), theme.ALARM),
    NO_LIMIT: (mark("· no limit"), theme.DIM), INFORMATION: ("", theme.DIM),
}  # fmt: skip
Row = tuple[tuple[str, str, str, str], str]
"""The cells, and the colour of the last; "" for the title of a part."""


def table_rows(result: QcResult) -> list[Row]:
    """Return the table's rows for a QC."""
    return [row for part in result.parts for row in _part_rows(part)]


def _part_rows(part: QcPart) -> list[Row]:
    rows: list[Row] = [((part.title, "", "", ""), "")]
    if part.reason:
        word, colour = ("✗", theme.WARNING) if part.needed else ("·", theme.DIM)
        rows.append(((tr("  not measured"), part.reason, "", word), colour))
    for figure in part.figures:
        name, value, limit, verdict = figure.cells
        word, colour = LOOKS[verdict]
        rows.append(((f"  {name}", value, limit, tr(word)), theme.shade(colour)))
    return rows


class QcTable(ReadTable):
    """Figures, limits and verdicts; read-only."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, row_px=ROW_PX, name=tr("QUALITY CONTROL"))
        self.setWordWrap(False)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        header = self.horizontalHeader()
        modes = QtWidgets.QHeaderView.ResizeMode
        header.setSectionResizeMode(0, modes.Stretch)
        for column in range(1, len(COLUMNS)):
            header.setSectionResizeMode(column, modes.ResizeToContents)

    def show_result(self, result: QcResult | None) -> None:
        """Show a QC's figures, None for none."""
        rows = table_rows(result) if result else []
        self.clearSpans()
        self.setRowCount(len(rows))
        for place, (cells, colour) in enumerate(rows):
            for column, text in enumerate(cells):
                self.setItem(place, column, _item(text, colour if column == 3 else ""))
            if not colour:
                self.setSpan(place, 0, 1, len(COLUMNS))
                self.item(place, 0).setFont(theme.font(theme.BASE_PX, bold=True))
            elif not cells[2] and len(cells[1]) > 24:  # a reason
                self.setSpan(place, 1, 1, 2)


def _item(text: str, colour: str) -> QtWidgets.QTableWidgetItem:
    item = QtWidgets.QTableWidgetItem(text)
    item.setToolTip(text)
    if colour:
        item.setForeground(QtGui.QBrush(QtGui.QColor(colour)))
    return item
