"""The line at the foot: what this is, help, language and colours, and how fast the display is."""

from __future__ import annotations

from collections.abc import Callable

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel
from gui.kit.words import mark, other_language, tr
from hw.notices.language import LANGUAGES

DISCLAIMER = mark("Research software — not a medical device")
OTHER_COLOURS = {"dark": "light", "light": "dark"}
_COLOURS = {"dark": mark("Dark"), "light": mark("Light")}
HEIGHT_PX = theme.SMALL_TOUCH_PX
BUSY = mark("Not while a stored run is worked on: its job belongs to this window")


class Footer(QtWidgets.QWidget):
    """Shows what can be chosen; the window acts on it.

    keys, manual : show them language, colours : called with the one that was chosen
    """

    def __init__(
        self,
        *,
        keys: Callable[[], None],
        manual: Callable[[], None],
        language: Callable[[str], None],
        colours: Callable[[str], None],
    ) -> None:
        super().__init__()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(6, 0, 6, 0)
        disclaimer = CalmLabel(tr(DISCLAIMER), size_px=theme.SMALL_PX, bold=True)
        disclaimer.setStyleSheet(f"color: {theme.LAMP};")
        self.pace = CalmLabel(size_px=theme.SMALL_PX)
        self.pace.setObjectName("dim")
        self.pace.setToolTip(
            tr(
                "Frames per second and cost of a frame (95th percentile), measured; and how long\n"
                "after its last event an image is painted here (median)"
            )
        )
        next_language, next_colours = other_language(), OTHER_COLOURS[theme.used()]
        self.keys = _button(tr("F1: keys"), tr("What the keyboard does"), keys)
        self.manual = _button(tr("Manual"), tr("The manual of the page that is shown"), manual)
        self.language = _button(
            LANGUAGES[next_language], tr("Change the language"), lambda: language(next_language)
        )
        self.colours = _button(
            tr(_COLOURS[next_colours]), tr("Change the colours"), lambda: colours(next_colours)
        )
        self._teaches = {one: one.toolTip() for one in (self.language, self.colours)}
        row.addWidget(disclaimer)
        row.addStretch(1)
        for button in (self.keys, self.manual, self.language, self.colours):
            row.addWidget(button)
        row.addSpacing(24)
        row.addWidget(self.pace)
        self._writable = theme.can_write(next_language)

    def refresh(self, pace: str, *, busy: bool) -> None:
        """Say how fast the display is, and whether language and colours may be changed."""
        self.pace.show_text(pace)
        lacks_font = tr("No font has its letters: apt-get install fonts-noto-cjk")
        for button, teaches in self._teaches.items():
            foreign = button is self.language and not self._writable
            button.setEnabled(not busy and not foreign)
            button.setToolTip(tr(BUSY) if busy else lacks_font if foreign else teaches)


def _button(words: str, teaches: str, act: Callable[[], None]) -> QtWidgets.QPushButton:
    button = QtWidgets.QPushButton(words)
    button.setObjectName("small")
    button.setFont(theme.font(theme.SMALL_PX))
    button.setFocusPolicy(theme.NO_FOCUS)
    button.setFixedHeight(HEIGHT_PX)
    button.setToolTip(teaches)
    button.clicked.connect(lambda _checked=False: act())
    return button
