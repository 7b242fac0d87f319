"""The console's look: one palette, one type scale, and the words and symbols of every state.

Colour is never the only carrier of a meaning: a :class:`Look` always joins a colour with a word
and a shape. Sizes are in pixels of a 1280×800 window, chosen to be read at arm's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

BACKGROUND = "#101318"
PANEL = "#181c23"
RAISED = "#232932"
LINE = "#2e3641"
TEXT = "#e9ecf1"
DIM = "#a3adbb"
FAINT = "#6f7a89"
LAMP = "#ffb454"

GOOD = "#5ccb93"
NOTICE = "#6cb4f5"
WARNING = "#f5c542"
ALARM = "#ff7a72"
EMERGENCY = "#b3201a"
"""The face of what must be found at once; white on it has a contrast of 6.6."""

NO_FOCUS = QtCore.Qt.FocusPolicy.NoFocus

LIVE_FILL = "#285a46"

# Line colours keep apart under the common colour-vision deficiencies (after Okabe and Ito).
SINGLES = "#56b4e9"
PROMPTS = "#f0b64c"
TRUES = "#3ecf9a"
RANDOMS = "#d78fd0"

SMALL_PX = 11
BASE_PX = 12
VALUE_PX = 24
STATE_PX = 27

# DejaVu Sans first: its figures all have one width and it holds every symbol used here.
FAMILIES = ("DejaVu Sans", "Noto Sans", "Liberation Sans", "sans-serif")


@dataclass(frozen=True)
class Look:
    """How a state is shown: always a word and a shape, supported by a colour."""

    word: str
    symbol: str
    colour: str

    @property
    def text(self) -> str:
        """Shape and word together."""
        return f"{self.symbol} {self.word}"


STATE_LOOKS = {
    "idle": Look("IDLE", "○", DIM),
    "armed": Look("ARMED", "◆", NOTICE),
    "running": Look("RUNNING", "▶", GOOD),
    "stopping": Look("STOPPING", "◼", WARNING),
    "closed": Look("CLOSED", "✓", NOTICE),
    "error": Look("ERROR", "✗", ALARM),
}
UNKNOWN_STATE = Look("UNKNOWN", "?", FAINT)

CONDITION_LOOKS = {
    "good": Look("GOOD", "✓", GOOD),
    "tainted": Look("TAINTED", "⚠", WARNING),
    "incomplete": Look("INCOMPLETE", "✗", ALARM),
}

SEVERITY_LOOKS = {
    "info": Look("info", "·", DIM),
    "warning": Look("WARN", "⚠", WARNING),
    "alarm": Look("ALARM", "✗", ALARM),
}

MODULE_LOOKS = {
    "live": Look("live", " ", GOOD),
    "stalled": Look("stalled", "!", WARNING),
    "silent": Look("silent", "×", ALARM),
    "ended": Look("ended", "–", NOTICE),
}

# Whether the two estimates of the randoms agree.
RANDOMS_LOOKS = {
    "agree": Look("AGREE", "✓", GOOD),
    "disagree": Look("DISAGREE", "✗", ALARM),
    "few": Look("too few counts", "·", DIM),
    "off": Look("no delayed windows", "○", DIM),
}

# The same shapes mark a window in the table and in the energy spectrum: filled and hatched.
WINDOW_LOOKS = {
    "photopeak": Look("photopeak", "▮", TRUES),
    "scatter": Look("scatter", "▨", RANDOMS),
    "coincidence": Look("coincidence", "▯", TEXT),
}


def font(size_px: int = BASE_PX, *, bold: bool = False) -> QtGui.QFont:
    """Return the console's font at ``size_px`` pixels."""
    result = QtGui.QFont()
    result.setFamilies(list(FAMILIES))
    result.setPixelSize(size_px)
    result.setBold(bold)
    return result


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
        border-radius: 4px; padding: 5px 8px; font-weight: bold; }}
    QPushButton:hover {{ border-color: {LAMP}; }}
    QPushButton:focus {{ border: 2px solid {LAMP}; padding: 4px 7px; }}
    QPushButton:pressed {{ background: {LINE}; }}
    QPushButton:checked {{ background: {LINE}; border-color: {LAMP}; color: {LAMP}; }}
    QPushButton:disabled {{ background: {PANEL}; color: {FAINT}; border-color: {LINE}; }}
    QFrame#panel QPushButton#emergency, QPushButton#emergency {{ background: {EMERGENCY};
        color: #ffffff; border: 2px solid {ALARM}; border-radius: 6px; padding: 2px; }}
    QFrame#panel QPushButton#emergency:pressed {{ background: {BACKGROUND}; color: {ALARM}; }}
    QFrame#panel QPushButton#emergency:disabled {{ background: {PANEL}; color: {FAINT};
        border: 1px solid {LINE}; }}
    QComboBox {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 3px;
        padding: 1px 6px; }}
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
        padding: 2px 6px; selection-background-color: {FAINT}; }}
    QLineEdit:focus, QDialog QComboBox:focus {{ border-color: {LAMP}; }}
    QLineEdit[faulty="true"] {{ border: 1px solid {ALARM}; }}
    QFrame#panel QPushButton#rail {{ background: {PANEL}; border: 1px solid {PANEL};
        color: {DIM}; padding: 2px; }}
    QFrame#panel QPushButton#rail:hover {{ border-color: {LAMP}; color: {TEXT}; }}
    QFrame#panel QPushButton#rail:checked {{ background: {RAISED}; color: {TEXT};
        border: 1px solid {LINE}; border-left: 3px solid {LAMP}; }}
    QPushButton#small {{ padding: 0 6px; font-weight: normal; border-color: {LINE};
        border-radius: 3px; min-height: 16px; max-height: 16px; }}
    QFrame#panel QPushButton#small {{ background: {RAISED}; }}
    QFrame#panel QPushButton#small[checkable="true"] {{ color: {DIM}; }}
    QFrame#panel QPushButton#small:checked {{ background: {LINE}; border-color: {TEXT};
        color: {TEXT}; }}
    QFrame#panel QPushButton#small:focus {{ border: 1px solid {LAMP}; padding: 0 6px; }}
    QFrame#panel QPushButton#small:disabled {{ background: {PANEL}; color: {FAINT}; }}
    """


def apply_theme(app: QtWidgets.QApplication) -> None:
    """Give the application the dark look; call once, before any window is made."""
    pg.setConfigOptions(
        background=PANEL,
        foreground=DIM,
        antialias=False,
        useOpenGL=False,
        imageAxisOrder="row-major",
    )
    app.setStyle("Fusion")
    app.setFont(font())
    palette = QtGui.QPalette()
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
        palette.setColor(role, QtGui.QColor(colour))
    app.setPalette(palette)
    app.setStyleSheet(_stylesheet())
