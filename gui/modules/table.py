"""The table of all modules, one row each, refreshed in place so that a selection stays."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.words import tr
from gui.modules.condition_words import COLUMNS, CONDITION, condition, row
from hw.messages.modules import ModuleState

_WIDTHS_PX = (30, 150, 58, 52, 48, 58, 72, 54, 84)
"""At least; a header in another language may need more."""
_MARGIN_PX = 10


class ModuleTable(QtWidgets.QTableWidget):
    """Shows modules; orders go to ``chosen_modules``."""

    chosen = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self._shown: list[tuple[str, ...]] = []
        self._modules: list[int] = []
        self.setAccessibleName(tr("Modules"))
        self.setHorizontalHeaderLabels([tr(title) for title, _ in COLUMNS])
        for column, ((title, teaches), width) in enumerate(zip(COLUMNS, _WIDTHS_PX, strict=True)):
            self.horizontalHeaderItem(column).setToolTip(tr(teaches))
            needed = self.horizontalHeader().fontMetrics().horizontalAdvance(tr(title)) + _MARGIN_PX
            self.setColumnWidth(column, max(width, needed))
        header = self.horizontalHeader()
        header.setSectionResizeMode(CONDITION, QtWidgets.QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(21)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setFont(theme.font(theme.BASE_PX))
        self.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.ExtendedSelection)
        self.itemSelectionChanged.connect(self.chosen)

    def show_modules(self, states: list[ModuleState]) -> None:
        """Show the modules; only what differs is redrawn."""
        modules = [state.module for state in states]
        if modules != self._modules:
            self._rebuild(modules)
        for place, state in enumerate(states):
            words = row(state)
            if words != self._shown[place]:
                self._write(place, words, condition(state).colour)

    def _rebuild(self, modules: list[int]) -> None:
        self._modules = modules
        self._shown = [() for _ in modules]
        self.setRowCount(len(modules))
        right = QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        for place in range(len(modules)):
            for column in range(len(COLUMNS)):
                item = QtWidgets.QTableWidgetItem("")
                if column != CONDITION:
                    item.setTextAlignment(right)
                self.setItem(place, column, item)

    def _write(self, place: int, words: tuple[str, ...], colour: str) -> None:
        self._shown[place] = words
        for column, text in enumerate(words):
            item = self.item(place, column)
            item.setText(text)
            marked = colour if column == CONDITION else theme.TEXT
            if column != CONDITION and text.startswith("⚠"):
                marked = theme.WARNING
            item.setForeground(QtGui.QBrush(QtGui.QColor(marked)))
            item.setToolTip(text)

    def chosen_modules(self) -> list[int]:
        """Return the modules whose rows are chosen, in order."""
        rows = {index.row() for index in self.selectionModel().selectedRows()}
        return [self._modules[place] for place in sorted(rows) if place < len(self._modules)]

    def choose(self, modules: list[int]) -> None:
        """Choose the rows of these modules."""
        self.clearSelection()
        flag = QtCore.QItemSelectionModel.SelectionFlag
        for place, module in enumerate(self._modules):
            if module in modules:
                index = self.model().index(place, 0)
                self.selectionModel().select(index, flag.Select | flag.Rows)
