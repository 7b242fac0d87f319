"""The question that a console asks when it is closed during a run.

Closing a console never ends a scan: the question offers to leave, or to stop the scan and stay, and
no button that ends anything has the keyboard focus. It blocks nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit.words import mark, tr

LEAVE = mark("Close this window, the scan goes on")
STOP = mark("Stop the scan")
STAY = mark("Stay")


class LeaveQuestion(QtWidgets.QMessageBox):
    """Asks a person; exactly one of ``leave`` and ``stop`` is called, or neither to stay.

    Parameters
    ----------
    parent : the console
    base : the daq's address, at which a console can be opened again
    leave, stop : what the answers do
    """

    def __init__(
        self,
        parent: QtWidgets.QWidget,
        base: str,
        *,
        leave: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("A scan is running"))
        self.setIcon(QtWidgets.QMessageBox.Icon.Question)
        self.setText(tr("The scan goes on without this window."))
        self.setInformativeText(
            tr(
                "Open it again with\ntomoshibi console --endpoint {base}\n\nTo end the "
                "scan, stop it: this window then stays until you close it.",
                base=base,
            )
        )
        role = QtWidgets.QMessageBox.ButtonRole
        self.answers = {
            STAY: self.addButton(tr(STAY), role.RejectRole),
            LEAVE: self.addButton(tr(LEAVE), role.AcceptRole),
            STOP: self.addButton(tr(STOP), role.DestructiveRole),
        }
        for words in (LEAVE, STOP):
            self.answers[words].setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            self.answers[words].setAutoDefault(False)
        self.setDefaultButton(self.answers[STAY])
        self.setEscapeButton(self.answers[STAY])
        self.answers[LEAVE].clicked.connect(leave)
        self.answers[STOP].clicked.connect(stop)
