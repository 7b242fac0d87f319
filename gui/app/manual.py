"""The manual in a window of its own, read from this installation: no network is needed."""

from __future__ import annotations

from pathlib import Path

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit.words import tr

PAGE = Path(__file__).resolve().parents[2] / "docs" / "console.md"
SIZE_PX = (980, 720)
_IMAGE = QtGui.QTextDocument.ResourceType.ImageResource
_MARKDOWN = QtGui.QTextDocument.ResourceType.MarkdownResource


class ManualText(QtWidgets.QTextBrowser):
    """A page of the documents; pictures are made to fit its width."""

    def __init__(self) -> None:
        super().__init__()
        self.setOpenExternalLinks(False)
        self.setAccessibleName(tr("Manual"))

    def loadResource(self, kind: int, name: QtCore.QUrl) -> object:
        """Read what a page refers to; only files of this machine."""
        if name.isValid() and name.scheme() not in ("", "file"):
            return None
        found = super().loadResource(kind, name)
        if kind != _IMAGE.value and kind != _IMAGE:
            return found
        path = self.source().resolved(name).toLocalFile()
        picture, room = QtGui.QPixmap(path), self.viewport().width() - 40
        smooth = QtCore.Qt.TransformationMode.SmoothTransformation
        return picture.scaledToWidth(room, smooth) if picture.width() > room > 0 else picture

    def show_heading(self, heading: str) -> bool:
        """Go to a heading of the page; return whether there is one."""
        block = self.document().firstBlock()
        while block.isValid():
            if block.blockFormat().headingLevel() and block.text() == heading:
                self.setTextCursor(QtGui.QTextCursor(block))
                bar, layout = self.verticalScrollBar(), self.document().documentLayout()
                bar.setValue(int(layout.blockBoundingRect(block).top()))
                return True
            block = block.next()
        return False


class Manual(QtWidgets.QDialog):
    """The manual in a window of its own, while the console goes on."""

    def __init__(self, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Manual"))
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = ManualText()
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.text)
        self.resize(*SIZE_PX)

    def show_page(self, heading: str) -> None:
        """Open the page of the console's manual that a heading names; if it is missing, say where
        it would be.
        """
        if not PAGE.is_file():
            self.text.setPlainText(tr("The manual is not in this installation: {path}", path=PAGE))
        else:
            self.text.setSource(QtCore.QUrl.fromLocalFile(str(PAGE)), _MARKDOWN)
        self.show()
        self.text.show_heading(heading)
