"""The table of stored runs: what each one is, its thumbnail, and a search over everything known of
it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from daq.folder.listing.catalogue import is_found
from gui.kit import theme
from gui.kit.tables import ReadTable
from gui.kit.wording import clock_text, grouped
from gui.kit.words import mark, tr

COLUMNS = (
    mark("Run"),
    mark("Armed"),
    mark("Condition"),
    mark("Review"),
    mark("Time"),
    mark("Prompts"),
    mark("MB"),
    mark("Copies"),
)
WIDTHS_PX = (124, 84, 72, 60, 84, 64, 50)
"""Of all columns but the first."""

CONDITION, REVIEW = COLUMNS.index("Condition"), COLUMNS.index("Review")
CONDITIONS = (mark("good"), mark("tainted"), mark("incomplete"))
VERDICTS = (mark("keep"), mark("test"), mark("discard"))
TAUGHT = (mark("scanner"), mark("protocol"), mark("nuclide"), mark("conditions"))
"""What is told beside a row."""

ROW_PX, PICTURE_PX = 40, 36
MOST_PICTURES = 200
"""Of the newest runs: a first look at very many would keep the machine busy."""
SPARED_PX = {"Time": 700, "Prompts": 700, "MB": 560, "Copies": 560}
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
        str(run.get("copies") or ""),
    )


def teaching(run: dict[str, Any]) -> str:
    """Return what is known of a run beyond its row."""
    lines = [f"{tr(name)}: {run[name]}" for name in TAUGHT if run.get(name)]
    return "\n".join([str(run.get("name", "")), *lines])


def picture_of(told: Any) -> QtGui.QIcon | None:
    """Return the thumbnail in a message, None if there is none; black is hot, as on film."""
    try:
        width, height = int(told["width"]), int(told["height"])
        levels = base64.b64decode(told["levels"], validate=True)
    except (TypeError, KeyError, ValueError, binascii.Error):
        return None
    if not 0 < width <= 256 or not 0 < height <= 256 or len(levels) != width * height:
        return None
    inverted = bytes(255 - level for level in levels)
    image = QtGui.QImage(inverted, width, height, width, QtGui.QImage.Format.Format_Grayscale8)
    pixmap = QtGui.QPixmap.fromImage(image.copy())
    picture = QtGui.QIcon(pixmap)
    picture.addPixmap(pixmap, QtGui.QIcon.Mode.Selected)  # Qt would colour it
    return picture


class RunList(ReadTable):
    """One row per run, newest first; ``chosen`` emits the name of the selected one."""

    chosen = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__(COLUMNS, row_px=ROW_PX, name=tr("Runs"))
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.SingleSelection)
        header = self.horizontalHeader()
        modes = QtWidgets.QHeaderView.ResizeMode
        for column in range(len(COLUMNS)):
            header.setSectionResizeMode(column, modes.Stretch if column == 0 else modes.Fixed)
        for column, width_px in enumerate(WIDTHS_PX, start=1):
            header.resizeSection(column, width_px)
        self.setIconSize(QtCore.QSize(PICTURE_PX, PICTURE_PX))
        self._rows: list[tuple[str, ...]] = []
        self._found: list[dict[str, Any]] = []
        self._pictures: dict[str, QtGui.QIcon] = {}
        self.itemSelectionChanged.connect(self._tell)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Hide columns of figures where there is no room for them; ``tomoshibi runs`` has the
        details.
        """
        super().resizeEvent(event)
        for name, needed_px in SPARED_PX.items():
            self.setColumnHidden(COLUMNS.index(name), self.width() < needed_px)

    @property
    def name(self) -> str:
        """Name of the selected run, "" for none."""
        row = self.currentRow()
        return self._rows[row][0] if 0 <= row < len(self._rows) and self.selectedItems() else ""

    def show_runs(self, runs: list[dict[str, Any]], *, search: str) -> None:
        """Show the runs that contain every word of the search; keep the selection."""
        found = [run for run in runs if is_found(run, search)]
        if found == self._found:
            return
        rows = [row_words(run) for run in found]
        name, self._rows, self._found = self.name, rows, found
        self.blockSignals(True)
        self.setRowCount(len(rows))
        for place, words in enumerate(rows):
            for column, text in enumerate(words):
                self.setItem(place, column, _item(column, text))
            self.item(place, 0).setToolTip(teaching(found[place]))
            self.item(place, CONDITION).setToolTip(
                str(found[place].get("conditions") or _cell(words[CONDITION]))
            )
            self._paint(place)
        names = [row[0] for row in rows]
        if name in names:
            self.selectRow(names.index(name))
        else:
            self.clearSelection()
        self.blockSignals(False)
        if self.name != name:
            self._tell()

    def show_picture(self, name: str, picture: QtGui.QIcon) -> None:
        """Show a run's thumbnail from now on."""
        self._pictures.pop(name, None)
        self._pictures[name] = picture
        while len(self._pictures) > 2 * MOST_PICTURES:  # of runs that are gone by now
            del self._pictures[next(iter(self._pictures))]
        for place, row in enumerate(self._rows):
            if row[0] == name:
                self._paint(place)

    def _paint(self, place: int) -> None:
        picture = self._pictures.get(self._rows[place][0])
        if picture is not None:
            self.item(place, 0).setIcon(picture)

    def _tell(self) -> None:
        self.chosen.emit(self.name)


def _cell(text: str) -> str:
    """Return a condition or a verdict as it is called; a sign behind it stays."""
    name, space, sign = text.partition(" ")
    return f"{tr(name)}{space}{sign}"


def _item(column: int, text: str) -> QtWidgets.QTableWidgetItem:
    shown = _cell(text) if column in (CONDITION, REVIEW) else text
    item = QtWidgets.QTableWidgetItem(shown)
    item.setToolTip(shown)
    if column >= COLUMNS.index("Time"):
        flags = QtCore.Qt.AlignmentFlag
        item.setTextAlignment(flags.AlignRight | flags.AlignVCenter)
    look = theme.CONDITION_LOOKS.get(text) if column == CONDITION else None
    if look is not None:
        item.setForeground(QtGui.QBrush(QtGui.QColor(look.colour)))
    return item
