"""Plots with fixed ranges, cheap to draw: no auto-ranging, no mouse, no OpenGL, no antialiasing.

Axes keep their ticks until the data leave them (:class:`gui.kit.wording.SteadyCeiling`).
"""

from __future__ import annotations

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.wording import SteadyCeiling, grouped

_LEFT_PX = 40


class _CountAxis(pg.AxisItem):
    """A left axis whose tick labels are short and never in exponent form below a million."""

    def tickStrings(self, values: list[float], _scale: float, _spacing: float) -> list[str]:
        """Return the labels of the ticks."""
        return [_short(value) for value in values]


def _short(value: float) -> str:
    for bound, divisor, suffix in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= bound:
            return f"{value / divisor:g}{suffix}"
    return grouped(value) if value == int(value) else f"{value:g}"


class CalmPlot(pg.PlotWidget):
    """A plot with a fixed x range and a steady y range from 0."""

    def __init__(self, *, x_range: tuple[float, float], caption: str = "") -> None:
        """Make the plot; ``caption`` stands in it, and is its name."""
        axes = {"left": _CountAxis(orientation="left"), "bottom": pg.AxisItem("bottom")}
        super().__init__(axisItems=axes, enableMenu=False)  # menus take long to make
        self._ceiling = SteadyCeiling()
        self._histograms: list[pg.PlotCurveItem] = []
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.getPlotItem().setContentsMargins(0, 7, 14, 0)
        for axis in axes.values():
            axis.setStyle(tickFont=theme.font(10), tickLength=-4, tickTextOffset=4)
            axis.setPen(theme.LINE)
            axis.setTextPen(theme.DIM)
        axes["left"].setWidth(_LEFT_PX)
        axes["left"].setStyle(textFillLimits=[(0, 0.7)])
        axes["bottom"].setHeight(18)
        axes["bottom"].setStyle(hideOverlappingLabels=False)
        self.setXRange(*x_range, padding=0)
        self.setYRange(0, 1, padding=0)
        self._caption(caption)
        self.setAccessibleName(caption)

    def _caption(self, text: str) -> None:
        words = QtWidgets.QGraphicsSimpleTextItem(text, self.getPlotItem().vb)
        words.setFont(theme.font(10))
        words.setBrush(QtGui.QBrush(QtGui.QColor(theme.FAINT)))
        words.setPos(5, 16)  # below where a steady rate runs

    def set_x(self, low: float, high: float) -> None:
        """Fix the x range."""
        self.setXRange(low, high, padding=0)

    def follow(self, highest: float) -> None:
        """Let the y range follow the data's highest value, steadily."""
        if self._ceiling.follow(highest):
            self.setYRange(0, self._ceiling.value, padding=0)

    @property
    def ceiling(self) -> float:
        """Upper end of the y range."""
        return self._ceiling.value

    def add_curve(self, colour: str, *, style: str = "solid", width: int = 1) -> pg.PlotCurveItem:
        """Add a curve that breaks at NaN."""
        curve = pg.PlotCurveItem(pen=pen(colour, style=style, width=width), connect="finite")
        self.addItem(curve)
        return curve

    def add_histogram(self, colour: str, *, style: str = "solid") -> pg.PlotCurveItem:
        """Add an unfilled histogram: x has one more value (an edge) than y."""
        curve = pg.PlotCurveItem([0, 1], [0], pen=pen(colour, style=style), stepMode="center")
        self._histograms.append(curve)
        self.addItem(curve)
        return curve

    def clear_histograms(self) -> None:
        """Empty the histograms when there is no run."""
        for curve in self._histograms:
            curve.setData([0, 1], [0])

    def add_marker(self, colour: str, label: str, *, side: float = 0.0) -> pg.InfiniteLine:
        """Add a vertical line with a label at its top; ``side`` 0 to its right, 1 to its left."""
        line = pg.InfiniteLine(
            pos=0,
            angle=90,
            movable=False,
            pen=pen(colour, style="dash"),
            label=label,
            labelOpts={"position": 0.9, "color": colour, "anchors": [(side, 0.5), (side, 0.5)]},
        )
        line.label.setFont(theme.font(10))
        self.addItem(line)
        return line


_STYLES = {
    "solid": QtCore.Qt.PenStyle.SolidLine,
    "dash": QtCore.Qt.PenStyle.DashLine,
    "dot": QtCore.Qt.PenStyle.DotLine,
}


def pen(colour: str, *, style: str = "solid", width: int = 1) -> QtGui.QPen:
    """Return a cosmetic pen; width 1 is by far the cheapest to draw."""
    return pg.mkPen(colour, width=width, style=_STYLES[style])
