"""Asks who signs the review of a run, and what there is to say of it."""

from __future__ import annotations

from pyqtgraph.Qt import QtWidgets

from gui.kit.words import tr

LONGEST_NAME, LONGEST_NOTE = 256, 4096
"""Characters, as the review has room for."""


class SignDialog(QtWidgets.QDialog):
    """Two fields; nobody signs without a name."""

    def __init__(self, question: str, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Sign"))
        self.who, self.note = QtWidgets.QLineEdit(), QtWidgets.QPlainTextEdit()
        self.who.setMaxLength(LONGEST_NAME)
        self.note.setTabChangesFocus(True)
        self.note.setPlaceholderText(tr("e.g. quiet patient, no motion; nobody's name"))
        self.note.setFixedHeight(90)
        kinds = QtWidgets.QDialogButtonBox.StandardButton
        self.buttons = QtWidgets.QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.sign = self.buttons.button(kinds.Ok)
        self.sign.setText(tr("Sign"))
        self.sign.setEnabled(False)
        self.buttons.button(kinds.Cancel).setText(tr("Cancel"))
        self.who.textChanged.connect(lambda text: self.sign.setEnabled(bool(text.strip())))
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = QtWidgets.QFormLayout(self)
        form.addRow(QtWidgets.QLabel(question))
        form.addRow(tr("Name"), self.who)
        form.addRow(tr("Note"), self.note)
        form.addRow(self.buttons)

    def answer(self) -> tuple[str, str]:
        """Return name and note; "" twice where nobody signs."""
        if not self.exec():
            return "", ""
        return self.who.text().strip(), self.note.toPlainText().strip()[:LONGEST_NOTE]
