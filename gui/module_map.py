"""Singles rate of every module as a map of the scanner unrolled: ring by sector.

A module that is not live carries a symbol and hatching; its state is never told by colour alone.
"""

from __future__ import annotations

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme
from gui.panel import CalmLabel, Panel
from gui.wording import SteadyCeiling, level_text, rate_text
from hw.messages import Telemetry

_LEFT_PX, _BOTTOM_PX = 26, 16
_UNKNOWN = theme.Look("unknown", "?", theme.FAINT)
_EXPECTED = theme.Look("not yet heard", "·", theme.FAINT)


class ModuleGrid(QtWidgets.QWidget):
    """The cells; the uppermost row is the ring at the most positive z."""

    def __init__(self) -> None:
        super().__init__()
        self.rings, self.sectors = 1, 1
        self._rates: list[float] = []
        self._states: list[str] = []
        self._before_run = False
        self._ceiling = 1.0
        self._table = pg.colormap.get("viridis").getLookupTable(nPts=64, alpha=False)
        self._brushes = [QtGui.QBrush(QtGui.QColor(*map(int, row))) for row in self._table]
        self.setMinimumHeight(64)
        self.setMouseTracking(True)

    def show_modules(self, telemetry: Telemetry, ceiling: float) -> None:
        """Draw rates against ``ceiling`` (singles/s) and states."""
        self._rates, self._states = telemetry.module_rates, telemetry.module_states
        self._before_run = telemetry.state in ("idle", "armed")
        self._ceiling = ceiling
        self.rings = max(1, telemetry.rings)
        self.sectors = max(1, len(self._states) // self.rings)
        self.update()

    def forget(self) -> None:
        """Show no modules: there is no run."""
        if self._states:
            self._rates, self._states = [], []
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
        for module, (rate, state) in enumerate(zip(self._rates, self._states, strict=False)):
            self._paint_module(painter, self.cell(module), rate, state)
        self._paint_axes(painter)
        painter.end()

    def _paint_module(
        self, painter: QtGui.QPainter, cell: QtCore.QRectF, rate: float, state: str
    ) -> None:
        if state in ("live", "ended"):
            level = max(0, min(63, int(63 * rate / self._ceiling)))
            painter.fillRect(cell, self._brushes[level])
        if state == "live":
            return
        look = theme.MODULE_LOOKS.get(state, _UNKNOWN)
        if state == "silent" and self._before_run:
            look = _EXPECTED
            painter.fillRect(cell, QtGui.QColor(theme.RAISED))
        elif state != "ended":
            colour = QtGui.QColor(look.colour)
            painter.fillRect(cell, QtGui.QColor(theme.BACKGROUND))
            painter.fillRect(cell, QtGui.QBrush(colour, QtCore.Qt.BrushStyle.BDiagPattern))
            mark = QtCore.QRectF(0, 0, cell.width(), 15)
            mark.moveCenter(cell.center())
            painter.fillRect(mark, colour)
        painter.setPen(QtGui.QColor(_ink(look)))
        painter.setFont(theme.font(13, bold=True))
        painter.drawText(cell, QtCore.Qt.AlignmentFlag.AlignCenter, look.symbol)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)

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
        step = max(1, self.sectors // 8)
        for sector in range(0, self.sectors, step):
            cell = self.cell(sector)
            words = QtCore.QRectF(cell.left(), self.height() - _BOTTOM_PX, cell.width(), _BOTTOM_PX)
            painter.drawText(words, flags.AlignCenter, f"{sector}")

    def module_at(self, point: QtCore.QPointF) -> int | None:
        """Return the module under a point, or None."""
        for module in range(len(self._states)):
            if self.cell(module).contains(point):
                return module
        return None

    def describe(self, module: int) -> str:
        """Return a module's place, rate and state in words."""
        ring, sector = divmod(module, self.sectors)
        return (
            f"Module {module}: ring {ring}, sector {sector}\n"
            f"{rate_text(self._rates[module])} k/s singles, {self._states[module]}"
        )

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Tell the module under the pointer."""
        module = self.module_at(event.position())
        text = "" if module is None else self.describe(module)
        QtWidgets.QToolTip.showText(event.globalPosition().toPoint(), text, self)


class ModulePanel(Panel):
    """The map, with a summary in words."""

    def __init__(self) -> None:
        super().__init__(
            "MODULES",
            teaches="Singles per second of each detector module, the scanner unrolled:\n"
            "rings r0… from below (−z) up, sectors counter-clockwise from +x.\n"
            "! stalled: was heard, but not lately.  × silent: never heard.  – ended.",
        )
        self._ceiling = SteadyCeiling()
        self.grid = ModuleGrid()
        self.summary = CalmLabel(size_px=theme.SMALL_PX)
        self.body.addWidget(self.grid, 1)
        self.body.addWidget(self.summary)

    def refresh(self, telemetry: Telemetry) -> None:
        """Draw the modules as they are now."""
        states, rates = telemetry.module_states, telemetry.module_rates
        if not states or len(states) != len(rates):
            self.grid.forget()
            self.note.show_text("")
            self.summary.show_text("no run, no modules", theme.DIM)
            return
        self._ceiling.follow(max(rates) / 1000.0)
        self.grid.show_modules(telemetry, 1000.0 * self._ceiling.value)
        self.note.show_text(f"0 … {level_text(self._ceiling.value)} k/s")
        self.summary.show_text(*_summary(states, before_run=telemetry.state in ("idle", "armed")))


def _ink(look: theme.Look) -> str:
    """Return the colour of a symbol on its ground."""
    return theme.TEXT if look in (_EXPECTED, theme.MODULE_LOOKS["ended"]) else theme.BACKGROUND


def _summary(states: list[str], *, before_run: bool) -> tuple[str, str]:
    missing = [
        f"{states.count(state)} {state}" for state in ("stalled", "silent") if state in states
    ]
    if "live" not in states and "ended" in states and not missing:
        return f"all {len(states)} modules ended", theme.DIM
    if not missing:
        return f"✓ all {len(states)} modules live", theme.GOOD
    if before_run and states.count("silent") == len(states):
        return f"{len(states)} modules, none heard before the start", theme.DIM
    return f"⚠ {', '.join(missing)} of {len(states)} modules", theme.WARNING
