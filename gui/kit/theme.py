"""The console's look: one palette, one type scale, and the words and symbols of every state.

Colour is never the only carrier of a meaning: a :class:`Look` always joins a colour with a word
and a shape. Sizes are in pixels of a 1280×800 window, chosen to be read at arm's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit.palettes import DARK, PALETTES
from gui.kit.words import mark, tr

BACKGROUND = DARK["BACKGROUND"]
PANEL = DARK["PANEL"]
RAISED = DARK["RAISED"]
LINE = DARK["LINE"]
TEXT = DARK["TEXT"]
DIM = DARK["DIM"]
FAINT = DARK["FAINT"]
LAMP = DARK["LAMP"]

GOOD = DARK["GOOD"]
NOTICE = DARK["NOTICE"]
WARNING = DARK["WARNING"]
ALARM = DARK["ALARM"]
EMERGENCY = DARK["EMERGENCY"]

NO_FOCUS = QtCore.Qt.FocusPolicy.NoFocus

LIVE_FILL = DARK["LIVE_FILL"]

SINGLES = DARK["SINGLES"]
PROMPTS = DARK["PROMPTS"]
TRUES = DARK["TRUES"]
RANDOMS = DARK["RANDOMS"]

SMALL_PX = 11
BASE_PX = 12
VALUE_PX = 24
STATE_PX = 27

TOUCH_PX, FIELD_PX, SMALL_TOUCH_PX = 36, 28, 24
"""Least height of what a finger presses: buttons, fields, small buttons of footer and legends."""

# DejaVu Sans first: its figures all have one width and it holds every symbol used here.
# After them what has Japanese letters, of several distributions' choosing.
FAMILIES = (
    "DejaVu Sans", "Noto Sans", "Liberation Sans", "Noto Sans CJK JP", "IPAPGothic", "IPAGothic",
    "VL PGothic", "sans-serif",
)  # fmt: skip


def shade(colour: str) -> str:
    """Return the colour of the current palette that stands for one of the dark palette.

    For tables that were filled before a palette was chosen; other colours stay as they are.
    """
    name = _NAMES.get(colour)
    return str(globals()[name]) if name else colour


_used = "dark"
_NAMES = {colour: name for name, colour in DARK.items()}


@dataclass(frozen=True)
class Look:
    """How a state is shown: always a word and a shape, supported by a colour.

    name : the word in English, marked; ``tint``: the colour in the dark palette
    """

    name: str
    symbol: str
    tint: str

    @property
    def word(self) -> str:
        """The word in the current language."""
        return tr(self.name)

    @property
    def colour(self) -> str:
        """The colour in the current palette."""
        return shade(self.tint)

    @property
    def text(self) -> str:
        """Shape and word together."""
        return f"{self.symbol} {self.word}"


STATE_LOOKS = {
    "idle": Look(mark("IDLE"), "○", DIM),
    "armed": Look(mark("ARMED"), "◆", NOTICE),
    "running": Look(mark("RUNNING"), "▶", GOOD),
    "stopping": Look(mark("STOPPING"), "◼", WARNING),
    "closed": Look(mark("CLOSED"), "✓", NOTICE),
    "error": Look(mark("ERROR"), "✗", ALARM),
}
UNKNOWN_STATE = Look(mark("UNKNOWN"), "?", FAINT)

CONDITION_LOOKS = {
    "good": Look(mark("GOOD"), "✓", GOOD),
    "tainted": Look(mark("TAINTED"), "⚠", WARNING),
    "incomplete": Look(mark("INCOMPLETE"), "✗", ALARM),
}

SEVERITY_LOOKS = {
    "info": Look(mark("info"), "·", DIM),
    "warning": Look(mark("WARN"), "⚠", WARNING),
    "alarm": Look(mark("ALARM"), "✗", ALARM),
}

MODULE_LOOKS = {
    "live": Look(mark("live"), " ", GOOD),
    "stalled": Look(mark("stalled"), "!", WARNING),
    "silent": Look(mark("silent"), "×", ALARM),
    "ended": Look(mark("ended"), "–", NOTICE),
}

# Whether the two estimates of the randoms agree.
RANDOMS_LOOKS = {
    "agree": Look(mark("AGREE"), "✓", GOOD),
    "disagree": Look(mark("DISAGREE"), "✗", ALARM),
    "few": Look(mark("too few counts"), "·", DIM),
    "off": Look(mark("no delayed windows"), "○", DIM),
}

# The same shapes mark a window in the table and in the energy spectrum: filled and hatched.
WINDOW_LOOKS = {
    "photopeak": Look(mark("photopeak"), "▮", TRUES),
    "scatter": Look(mark("scatter"), "▨", RANDOMS),
    "coincidence": Look(mark("coincidence"), "▯", TEXT),
}


def font(size_px: int = BASE_PX, *, bold: bool = False) -> QtGui.QFont:
    """Return the console's font at ``size_px`` pixels."""
    result = QtGui.QFont()
    result.setFamilies(list(FAMILIES))
    result.setPixelSize(size_px)
    result.setBold(bold)
    return result


def used() -> str:
    """Return the name of the current palette."""
    return _used


def can_write(language: str) -> bool:
    """Whether there is a font with the letters of a language."""
    if language != "ja":
        return True
    return bool(QtGui.QFontDatabase.families(QtGui.QFontDatabase.WritingSystem.Japanese))


def has_fonts() -> bool:
    """Whether any font is installed; without one, Qt draws every letter as a box."""
    return bool(QtGui.QFontDatabase.families())


def _stylesheet() -> str:
    return f"""
    QWidget {{ background: {BACKGROUND}; color: {TEXT}; }}
    QLabel, QCheckBox {{ background: transparent; }}
    QFrame#panel {{ background: {PANEL}; border: 1px solid {LINE}; border-radius: 5px; }}
    QFrame#panel QWidget {{ background: {PANEL}; }}
    QFrame#panel QLabel, QFrame#panel QCheckBox {{ background: transparent; }}
    QLabel#title {{ color: {DIM}; font-weight: bold; }}
    QLabel#note, QLabel#dim {{ color: {DIM}; }}
    QToolTip {{ background: {RAISED}; color: {TEXT}; border: 1px solid {FAINT}; padding: 5px; }}
    QPushButton {{ background: {RAISED}; color: {TEXT}; border: 1px solid {FAINT};
        border-radius: 4px; padding: 10px 8px; font-weight: bold; }}
    QPushButton:hover {{ border-color: {LAMP}; }}
    QPushButton:focus {{ border: 2px solid {LAMP}; padding: 9px 7px; }}
    QPushButton:pressed {{ background: {LINE}; }}
    QPushButton:checked {{ background: {LINE}; border-color: {LAMP}; color: {LAMP}; }}
    QPushButton:disabled {{ background: {PANEL}; color: {FAINT}; border-color: {LINE}; }}
    QFrame#panel QPushButton#emergency, QPushButton#emergency {{ background: {EMERGENCY};
        color: #ffffff; border: 2px solid {ALARM}; border-radius: 6px; padding: 2px; }}
    QFrame#panel QPushButton#emergency:pressed {{ background: {BACKGROUND}; color: {ALARM}; }}
    QFrame#panel QPushButton#emergency:disabled {{ background: {PANEL}; color: {FAINT};
        border: 1px solid {LINE}; }}
    QComboBox {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 3px;
        padding: 5px 6px; }}
    QCheckBox {{ padding: 5px 0px; }}
    QFrame#panel QComboBox {{ background: {RAISED}; }}
    QComboBox QAbstractItemView {{ background: {RAISED}; selection-background-color: {LINE}; }}
    QSlider {{ background: transparent; min-height: 14px; }}
    QSlider::groove:horizontal {{ height: 3px; background: {LINE}; border-radius: 1px; }}
    QSlider::handle:horizontal {{ width: 10px; margin: -5px 0; background: {DIM};
        border-radius: 5px; }}
    QSlider::handle:horizontal:hover, QSlider::handle:horizontal:focus {{ background: {LAMP}; }}
    QProgressBar {{ background: {LINE}; border: none; border-radius: 2px; max-height: 4px; }}
    QProgressBar::chunk {{ background: {LAMP}; border-radius: 2px; }}
    QScrollBar:vertical {{ background: {PANEL}; width: 9px; margin: 0; }}
    QScrollBar::handle:vertical {{ background: {LINE}; border-radius: 4px; min-height: 24px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
    QSplitter::handle {{ background: {BACKGROUND}; }}
    QSplitter::handle:hover {{ background: {LINE}; }}
    QTableWidget {{ border: none; gridline-color: {PANEL}; selection-background-color: {LINE}; }}
    QTableWidget::item:selected {{ background: {LINE}; }}
    QHeaderView::section {{ background: {PANEL}; color: {DIM}; border: none; padding: 0 2px; }}
    QLineEdit {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 3px;
        padding: 5px 6px; selection-background-color: {FAINT}; }}
    QAbstractSpinBox QLineEdit {{ border: none; padding: 0px; }}
    QLineEdit:focus, QDialog QComboBox:focus {{ border-color: {LAMP}; }}
    QLineEdit[faulty="true"] {{ border: 1px solid {ALARM}; }}
    QFrame#panel QPushButton#rail {{ background: {PANEL}; border: 1px solid {PANEL};
        color: {DIM}; padding: 2px; }}
    QFrame#panel QPushButton#rail:hover {{ border-color: {LAMP}; color: {TEXT}; }}
    QFrame#panel QPushButton#rail:checked {{ background: {RAISED}; color: {TEXT};
        border: 1px solid {LINE}; border-left: 3px solid {LAMP}; }}
    QPushButton#small {{ padding: 0 6px; font-weight: normal; border-color: {LINE};
        border-radius: 3px; min-height: {SMALL_TOUCH_PX - 2}px;
        max-height: {SMALL_TOUCH_PX - 2}px; }}
    QFrame#panel QPushButton#small {{ background: {RAISED}; }}
    QFrame#panel QPushButton#small[checkable="true"] {{ color: {DIM}; }}
    QFrame#panel QPushButton#small:checked {{ background: {LINE}; border-color: {TEXT};
        color: {TEXT}; }}
    QFrame#panel QPushButton#small:focus {{ border: 1px solid {LAMP}; padding: 0 6px; }}
    QFrame#panel QPushButton#small:disabled {{ background: {PANEL}; color: {FAINT}; }}
    """


def apply_theme(app: QtWidgets.QApplication, palette: str = "dark") -> None:
    """Give the application its look; widgets made before keep colours that they set themselves."""
    global _used
    _used = palette
    globals().update(PALETTES[palette])  # theme.TEXT and the like are read as things are drawn
    pg.setConfigOptions(
        background=PANEL,
        foreground=DIM,
        antialias=False,
        useOpenGL=False,
        imageAxisOrder="row-major",
    )
    app.setStyle("Fusion")
    app.setFont(font())
    colours = QtGui.QPalette()
    roles = QtGui.QPalette.ColorRole
    for role, colour in (
        (roles.Window, BACKGROUND),
        (roles.WindowText, TEXT),
        (roles.Base, PANEL),
        (roles.Text, TEXT),
        (roles.Button, RAISED),
        (roles.ButtonText, TEXT),
        (roles.ToolTipBase, RAISED),
        (roles.ToolTipText, TEXT),
        (roles.Highlight, LAMP),
    ):
        colours.setColor(role, QtGui.QColor(colour))
    app.setPalette(colours)
    app.setStyleSheet(_stylesheet())
