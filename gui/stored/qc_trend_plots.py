"""The course of the followed QC figures: a small plot for each, over the days."""

from __future__ import annotations

import numpy as np
from pyqtgraph.Qt import QtWidgets

from daq.folder.quality.qc_trend import Trend
from gui.kit import theme
from gui.kit.plots import CalmPlot, pen
from gui.kit.wording import level_text
from gui.kit.words import tr

MOST_PLOTS = 5
MARGIN = 0.15
"""Of the values' range, above and below; at least 2 % of the greatest value, so that a steady
figure is a steady line."""


def y_range(values: np.ndarray) -> tuple[float, float]:
    """Return a y range that holds all finite values and is never empty."""
    low, high = float(values.min()), float(values.max())
    room = max(MARGIN * (high - low), 0.02 * max(abs(low), abs(high)), 0.5 * (high == low == 0))
    return low - room, high + room


class TrendPlots(QtWidgets.QWidget):
    """Plots one below the other; figures without values have none."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QtWidgets.QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._column.addStretch(0)
        self.captions: list[QtWidgets.QLabel] = []
        self.plots: list[CalmPlot] = []

    def show_trend(self, trend: Trend | None) -> None:
        """Show the figures of past runs, at most ``MOST_PLOTS`` of them; None for none."""
        shown = list(trend.values.items())[:MOST_PLOTS] if trend is not None else []
        while len(self.plots) < len(shown):
            self._add_plot()
        for place, (caption, plot) in enumerate(zip(self.captions, self.plots, strict=True)):
            there = place < len(shown)
            caption.setVisible(there)
            plot.setVisible(there)
            if there and trend is not None:
                self._draw(place, *shown[place], trend.days)

    def _add_plot(self) -> None:
        """Make one more plot: most consoles never show one, and plots are dear to make."""
        caption, plot = QtWidgets.QLabel(), CalmPlot(x_range=(-1, 0))
        caption.setObjectName("dim")
        caption.setFont(theme.font(theme.SMALL_PX))
        plot.setMinimumHeight(60)
        plot.setAccessibleName(tr("TREND"))
        self._column.insertWidget(self._column.count() - 1, caption)
        self._column.insertWidget(self._column.count() - 1, plot, 1)
        self.captions.append(caption)
        self.plots.append(plot)

    def _draw(self, place: int, name: str, values: np.ndarray, days: np.ndarray) -> None:
        known = np.isfinite(values)
        plot, last = self.plots[place], values[known][-1] if known.any() else np.nan
        self.captions[place].setText(f"{name}: {level_text(last)}")
        plot.setAccessibleName(self.captions[place].text())
        plot.clear()
        plot.plot(days[known], values[known], pen=pen(theme.TRUES), symbol="o", symbolSize=5,
                  symbolBrush=theme.TRUES, symbolPen=None)  # fmt: skip
        plot.set_x(min(float(days.min()), -1.0) * 1.03, 0.05 * max(-float(days.min()), 1.0))
        if known.any():
            plot.setYRange(*y_range(values[known]), padding=0)
