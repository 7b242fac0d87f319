"""The further energy windows of a run in a small table: what they are, where, and their rates."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.wording import rate_text
from gui.kit.words import mark, tr
from gui.sorting.settings_words import energy_text, window_sentence
from hw.messages.sort_settings import EnergyWindow

ROW_PX, MOST_ROWS = 16, 4
LEAST_PX = 3 * ROW_PX - 1
"""A low screen shows the heading and two rows, and the others by scrolling."""
HEADINGS = (mark("window"), "keV", mark("singles, k/s"))


class WindowTable(QtWidgets.QTableWidget):
    """One row per window; hidden if there is none. What has no room can be scrolled to."""

    def __init__(self) -> None:
        super().__init__(0, len(HEADINGS))
        self._windows: tuple[EnergyWindow, ...] = ()
        self.setAccessibleName(tr("Energy windows"))
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(ROW_PX)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._set_up_header()
        self.hide()

    def _set_up_header(self) -> None:
        self.setHorizontalHeaderLabels([tr(name) for name in HEADINGS])
        header = self.horizontalHeader()
        header.setFont(theme.font(theme.SMALL_PX))
        header.setFixedHeight(ROW_PX)
        header.setMinimumSectionSize(20)
        header.setHighlightSections(False)
        modes = QtWidgets.QHeaderView.ResizeMode
        for column, (mode, width) in enumerate(
            ((modes.Stretch, 100), (modes.Fixed, 88), (modes.Fixed, 78))
        ):
            header.setSectionResizeMode(column, mode)
            header.resizeSection(column, width)
            self.horizontalHeaderItem(column).setTextAlignment(_alignment(column))

    def show_windows(self, windows: tuple[EnergyWindow, ...]) -> None:
        """Make the rows; does nothing if the windows are the same."""
        if windows == self._windows:
            return
        self._windows = windows
        self.setRowCount(len(windows))
        for row, window in enumerate(windows):
            self._fill(row, window)
        rows_px = ROW_PX * (1 + min(len(windows), MOST_ROWS)) + 2
        self.setMaximumHeight(rows_px)
        self.setMinimumHeight(min(rows_px, LEAST_PX))
        self.setHidden(not windows)

    def _fill(self, row: int, window: EnergyWindow) -> None:
        look = theme.WINDOW_LOOKS[window.kind]
        edges = energy_text(window.lld_keV, window.uld_keV)
        for column, text in enumerate((f"{look.symbol} {window.name}", edges, "–")):
            item = QtWidgets.QTableWidgetItem(text)
            item.setFont(theme.font(theme.SMALL_PX))
            item.setTextAlignment(_alignment(column))
            item.setForeground(QtGui.QColor(look.colour if column == 0 else theme.TEXT))
            item.setToolTip(f"{window.name}\n{window_sentence(window)}")
            self.setItem(row, column, item)

    def show_rates(self, rates: dict[str, float]) -> None:
        """Show singles/s by the windows' names; a window without a rate shows a dash."""
        for row, window in enumerate(self._windows):
            rate = rates.get(window.name)
            text = "–" if rate is None else rate_text(rate)
            item = self.item(row, 2)
            if item.text() != text:
                item.setText(text)


def _alignment(column: int) -> QtCore.Qt.AlignmentFlag:
    flags = QtCore.Qt.AlignmentFlag
    return (flags.AlignLeft if column == 0 else flags.AlignRight) | flags.AlignVCenter
