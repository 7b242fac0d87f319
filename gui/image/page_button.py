"""Asks where the live page should be saved as a PDF, and reports the outcome; never blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.image.page_report import PageContent, write_page
from gui.kit.words import tr
from hw.errors import FileWriteError


class PageButton(QtCore.QObject):
    """Makes a button write a page: what ``content`` and ``pictures`` return at that moment."""

    said = QtCore.Signal(str)

    def __init__(
        self,
        button: QtWidgets.QPushButton,
        content: Callable[[], PageContent],
        pictures: Callable[[], Sequence[QtWidgets.QWidget]],
    ) -> None:
        super().__init__(button)
        self._button, self._content, self._pictures = button, content, pictures
        self.folder: Path | None = None
        button.clicked.connect(self._ask)

    def _ask(self) -> None:
        place = str((self.folder or Path.home()) / "live.pdf")
        dialog = QtWidgets.QFileDialog(self._button, tr("Page as PDF"), place, tr("PDF (*.pdf)"))
        dialog.setAcceptMode(QtWidgets.QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("pdf")
        dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: self.write(Path(name)))
        dialog.open()

    def write(self, path: Path) -> None:
        """Write the page there."""
        try:
            write_page(path, self._content(), self._pictures())
            self.said.emit(tr("✓ {name} is written", name=path.name))
        except (FileWriteError, OSError) as error:
            self.said.emit(f"✗ {path.name}: {error}")
