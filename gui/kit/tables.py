"""Tables to read: rows of one height, no grid, not editable."""

from __future__ import annotations

from collections.abc import Sequence

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.words import tr


class ReadTable(QtWidgets.QTableWidget):
    """A table of text, empty at first."""

    def __init__(self, columns: Sequence[str], *, row_px: int, name: str) -> None:
        """Make the table; ``name`` is what a screen reader calls it."""
        super().__init__(0, len(columns))
        self.setAccessibleName(name)
        self.setHorizontalHeaderLabels([tr(name) for name in columns])
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(row_px)
        self.setShowGrid(False)
        self.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFont(theme.font(theme.BASE_PX))
