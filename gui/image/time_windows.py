"""The live image's time window: the events in the image shown, and a choice of other windows.

The box shows what the *image* says, never what was requested; a choice is a command to the daq,
which passes it to the imager.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from gui.link.daq_view import Link
from hw.messages.live_settings import TimeWindow
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import SettingsError

OFFERED = (
    "grow",
    "slide:10s",
    "slide:60s",
    "slide:300s",
    "forget:10s",
    "forget:30s",
    "forget:120s",
)
ALLOWED_IN = ("armed", "running")
TEACHES = mark(
    "The events in the image: all since the start; those of the last "
    "seconds; or all,\neach worth half after every half-life. Changing it "
    "while the run goes on keeps what the\nimager still holds."
)


def window_words(window: str) -> str:
    """Describe a window in words."""
    try:
        parsed = TimeWindow.parse(window)
    except SettingsError:
        return window
    return {
        "grow": tr("All since start"),
        "slide": tr("Last {seconds:g} s", seconds=parsed.seconds),
        "forget": tr("Half-life {seconds:g} s", seconds=parsed.seconds),
    }[parsed.kind]


class WindowChooser(QtWidgets.QComboBox):
    """A box of time windows."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__()
        self._desk = desk
        self._shown = OFFERED[0]
        for window in OFFERED:
            self.addItem(window_words(window), window)
        self.setToolTip(tr(TEACHES))
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
        self.setEnabled(False)
        self.activated.connect(self._choose)

    @property
    def window_shown(self) -> str:
        """The window of the image that is shown."""
        return self._shown

    def refresh(self, link: Link) -> None:
        """Allow a choice while there is a run to image; cheap."""
        telemetry = link.telemetry
        allowed = link.state == "connected" and telemetry is not None
        self.setEnabled(allowed and telemetry is not None and telemetry.state in ALLOWED_IN)

    def follow(self, image: ImageMessage) -> None:
        """Show the window of a new image, unless a choice is on its way."""
        if image.window == self._shown or self._desk.is_pending("live"):
            return
        self._shown = image.window
        place = self.findData(image.window)
        if place < 0:
            self.addItem(window_words(image.window), image.window)
            place = self.count() - 1
        self.setCurrentIndex(place)

    def _choose(self, index: int) -> None:
        window = str(self.itemData(index))
        if window != self._shown:
            self._desk.image_as({"window": window})
            self._shown = ""  # the next image tells what became of it
