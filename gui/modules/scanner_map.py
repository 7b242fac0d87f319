"""Every module on a map of the unrolled scanner, ring by sector: its rate, live time or state.

A module that is not live has a symbol and hatching in every mode; colour alone never shows its
state.
"""

from __future__ import annotations

import math

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, Panel
from gui.kit.wording import fraction_text, rate_text
from gui.kit.words import tr
from gui.modules.legend import ModuleLegend, paint_state
from gui.modules.map_modes import MODES, Mode, ModuleScale
from hw.messages.telemetry import Telemetry

_LEFT_PX, _BOTTOM_PX = 38, 15


class ModuleGrid(QtWidgets.QWidget):
    """The cells; the top row is the ring at the most positive z."""

    def __init__(self) -> None:
        super().__init__()
        self.rings, self.sectors = 1, 1
        self._rates: list[float] = []
        self._live: list[float] = []
        self._states: list[str] = []
        self._levels: list[float] = []
        self._before_run = False
        self._plain = QtGui.QColor(theme.RAISED)
        table = pg.colormap.get("viridis").getLookupTable(nPts=64, alpha=False)
        self.brushes = [QtGui.QBrush(QtGui.QColor(*map(int, row))) for row in table]
        self.setMinimumHeight(44)
        self.setAccessibleName(tr("Map of the modules"))
        self.setMouseTracking(True)

    def show_modules(self, telemetry: Telemetry, levels: list[float], plain: str) -> None:
        """Draw the modules; ``levels`` in 0..1 give their colours, NaN the ``plain`` one."""
        self._plain = QtGui.QColor(plain)
        self._rates, self._states = telemetry.module_rates, telemetry.module_states
        self._live, self._levels = telemetry.module_live, levels
        self._before_run = telemetry.state in ("idle", "armed")
        self.rings = max(1, telemetry.rings)
        self.sectors = max(1, len(self._states) // self.rings)
        self.update()

    def forget(self) -> None:
        """Show no modules: there is no run."""
        if self._states:
            self._rates, self._states, self._live, self._levels = [], [], [], []
            self.update()

    def cell(self, module: int) -> QtCore.QRectF:
        """Return a module's place in px."""
        ring, sector = divmod(module, self.sectors)
        width = (self.width() - _LEFT_PX) / self.sectors
        height = (self.height() - _BOTTOM_PX) / self.rings
        top = (self.rings - 1 - ring) * height
        return QtCore.QRectF(_LEFT_PX + sector * width, top, width - 1.5, height - 1.5)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw all modules."""
        painter = QtGui.QPainter(self)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        for module, (level, state) in enumerate(zip(self._levels, self._states, strict=False)):
            cell = self.cell(module)
            if not math.isnan(level):
                painter.fillRect(cell, self.brushes[max(0, min(63, int(63 * level)))])
            elif state in ("live", "ended"):
                ended = QtGui.QColor(theme.RAISED)
                painter.fillRect(cell, self._plain if state == "live" else ended)
            if state != "live":
                paint_state(painter, cell, state, before_run=self._before_run)
        self._paint_axes(painter)
        painter.end()

    def _paint_axes(self, painter: QtGui.QPainter) -> None:
        if not self._states:
            return
        flags = QtCore.Qt.AlignmentFlag
        painter.setPen(QtGui.QColor(theme.DIM))
        painter.setFont(theme.font(10))
        for ring in range(self.rings):
            cell = self.cell(ring * self.sectors)
            words = QtCore.QRectF(0, cell.top(), _LEFT_PX - 5, cell.height())
            painter.drawText(words, flags.AlignRight | flags.AlignVCenter, f"r{ring}")
        top = self.height() - _BOTTOM_PX
        words = QtCore.QRectF(0, top, _LEFT_PX, _BOTTOM_PX)
        painter.drawText(words, flags.AlignLeft | flags.AlignVCenter, tr("sector"))
        for sector in range(0, self.sectors, max(1, self.sectors // 8)):
            cell = self.cell(sector)
            words = QtCore.QRectF(cell.left(), top, cell.width(), _BOTTOM_PX)
            painter.drawText(words, flags.AlignCenter, f"{sector}")

    def module_at(self, point: QtCore.QPointF) -> int | None:
        """Return the module under a point, or None."""
        for module in range(len(self._states)):
            if self.cell(module).contains(point):
                return module
        return None

    def describe(self, module: int) -> str:
        """Return a module's place, live time, rate and state in words."""
        ring, sector = divmod(module, self.sectors)
        live = fraction_text(self._live[module]) if module < len(self._live) else tr("not told")
        return tr(
            "Module {module}: ring {ring}, sector {sector}\nlive time {live}\n{rate} "
            "k/s singles, {value}",
            module=module,
            ring=ring,
            sector=sector,
            live=live,
            rate=rate_text(self._rates[module]),
            value=_word(self._states[module]),
        )

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Show the module under the pointer."""
        module = self.module_at(event.position())
        text = "" if module is None else self.describe(module)
        QtWidgets.QToolTip.showText(event.globalPosition().toPoint(), text, self)


class ModulePanel(Panel):
    """The map, its legend, a switch for what it shows, and a summary in words."""

    def __init__(self) -> None:
        super().__init__(
            tr("MODULES"),
            teaches=tr(
                "The detector modules, the scanner unrolled:\nrings r0… from below (−z) "
                "up, sectors counter-clockwise from +x.\n! stalled: was heard, but not "
                "lately.  × silent: never heard.  – ended."
            ),
        )
        self.mode: Mode = "rate"
        self._telemetry: Telemetry | None = None
        self._scale = ModuleScale()
        self.grid = ModuleGrid()
        self.legend = ModuleLegend(self.grid.brushes)
        self.summary = CalmLabel(size_px=theme.SMALL_PX)
        self._add_switch()
        for part, share in ((self.grid, 1), (self.legend, 0), (self.summary, 0)):
            self.body.addWidget(part, share)

    def _add_switch(self) -> None:
        self.buttons: dict[Mode, QtWidgets.QPushButton] = {}
        group = QtWidgets.QButtonGroup(self)
        self._head.setSpacing(4)
        for mode, (caption, teaches) in MODES.items():
            button = QtWidgets.QPushButton(tr(caption))
            button.setObjectName("small")
            button.setFont(theme.font(theme.SMALL_PX))
            button.setCheckable(True)
            button.setChecked(mode == self.mode)
            button.setToolTip(tr("{teaches}\nKey M: next", teaches=tr(teaches)))
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, mode=mode: self.choose(mode))
            group.addButton(button)
            self._head.addWidget(button)
            self.buttons[mode] = button

    def choose(self, mode: Mode) -> None:
        """Show rate, live time or state."""
        self.mode = mode
        self.buttons[mode].setChecked(True)
        if self._telemetry is not None:
            self.refresh(self._telemetry)

    def next_mode(self) -> None:
        """Show the next of rate, live time and state."""
        modes = list(MODES)
        self.choose(modes[(modes.index(self.mode) + 1) % len(modes)])

    def refresh(self, telemetry: Telemetry) -> None:
        """Draw the modules' current state."""
        self._telemetry = telemetry
        states = telemetry.module_states
        if not states or len(states) != len(telemetry.module_rates):
            self.grid.forget()
            self.legend.forget()
            self.summary.show_text(tr("no run, no modules"), theme.DIM)
            return
        levels, low, high, unit = self._scale.of(self.mode, telemetry)
        plain = theme.LIVE_FILL if self.mode == "state" else theme.RAISED
        self.grid.show_modules(telemetry, levels, plain)
        if self.mode == "state":
            self.legend.show_states({state: states.count(state) for state in theme.MODULE_LOOKS})
        else:
            self.legend.show_scale(low, high, unit)
        before_run = telemetry.state in ("idle", "armed")
        self.summary.show_text(*_summary(states, before_run=before_run))


def _word(state: str) -> str:
    look = theme.MODULE_LOOKS.get(state)
    return look.word if look else state


def _summary(states: list[str], *, before_run: bool) -> tuple[str, str]:
    missing = [
        f"{states.count(state)} {theme.MODULE_LOOKS[state].word}"
        for state in ("stalled", "silent")
        if state in states
    ]
    if "live" not in states and "ended" in states and not missing:
        return tr("all {modules} ended", modules=_modules(states)), theme.DIM
    if not missing:
        return tr("✓ all {modules} live", modules=_modules(states)), theme.GOOD
    if before_run and states.count("silent") == len(states):
        return tr("{modules}, none heard before the start", modules=_modules(states)), theme.DIM
    return tr(
        "⚠ {join} of {modules}", join=", ".join(missing), modules=_modules(states)
    ), theme.WARNING


def _modules(states: list[str]) -> str:
    return tr("{len} module{value}", len=len(states), value="s" if len(states) != 1 else "")
