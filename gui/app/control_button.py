"""Who has control of the run, and the button that requests it, takes it over or releases it.

The first click requests control; whoever requested it can take it over with the next click, and
everybody sees that.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.words import mark, tr
from gui.link.control_share import ControlShare, Share

WORDS: dict[Share, tuple[str, str]] = {
    "unknown": (mark("control: ?"), mark("No daq is heard, so nobody knows who has control.")),
    "free": (
        mark("○ control: free"),
        mark("Nobody has control: the first that commands has it. Click: have it."),
    ),
    "mine": (mark("● control: here"), mark("This console has control. Click: give it up.")),
    "asked_of_me": (mark("⚠ asked: give it?"), mark("{asking} asks for control. Click: give it.")),
    "others": (mark("◌ control: other"), mark("{holder} has control. Click: ask for it.")),
    "asking": (
        mark("⚠ take it over?"),
        mark("{holder} has control and was asked. Click: take it over."),
    ),
}
ALWAYS = mark("Bias OFF is obeyed whoever has control.")


class ControlButton(QtWidgets.QPushButton):
    """Shows who has control; a click changes it."""

    def __init__(self, share: ControlShare) -> None:
        super().__init__()
        self._share = share
        self._shown: tuple[str, str] = ("", "")
        self.setFont(theme.font(theme.SMALL_PX, bold=True))
        self.setObjectName("small")
        self.setFixedSize(132, theme.SMALL_TOUCH_PX)
        self.setStyleSheet("padding: 0px 2px;")
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(tr("Control of the run"))
        self.clicked.connect(lambda _checked=False: self._share.change())
        self.refresh()

    def refresh(self) -> None:
        """Show this console's share in the control."""
        share = self._share
        words, teaches = WORDS[share.share]
        told = tr(teaches, holder=share.holder, asking=share.asking)
        shown = (tr(words), f"{told}\n{tr(ALWAYS)}")
        if shown != self._shown:
            self._shown = shown
            self.setText(shown[0])
            self.setToolTip(shown[1])
            self.setEnabled(share.share != "unknown")
