"""Large numbers in k/s, and strip charts of the last two minutes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, Panel, Swatch
from gui.kit.plots import CalmPlot, pen
from gui.kit.wording import rate_text
from gui.kit.words import tr
from gui.rates.history import SPAN_S, RateHistory

Lines = Mapping[str, tuple[str, str, str, str]]
"""Title, colour, dash and explanation of each rate."""


class Tile(QtWidgets.QWidget):
    """One rate as a large number in k/s."""

    def __init__(self, title: str, colour: str, style: str, teaches: str) -> None:
        super().__init__()
        self.setToolTip(tr(teaches))
        caption = CalmLabel(tr(title), size_px=theme.SMALL_PX)
        caption.setObjectName("dim")
        self.value = CalmLabel("–", size_px=theme.VALUE_PX, bold=True)
        self.value.setMinimumWidth(84)
        self.value.setAlignment(QtCore.Qt.AlignmentFlag.AlignRight)
        unit = CalmLabel("k/s", size_px=theme.SMALL_PX)
        unit.setObjectName("dim")
        head, line = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        head.addWidget(Swatch(pen(theme.shade(colour), style=style, width=2)))
        head.addWidget(caption, 1)
        line.addWidget(self.value)
        line.addWidget(unit, 1, QtCore.Qt.AlignmentFlag.AlignBottom)
        unit.setContentsMargins(0, 0, 0, 4)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for row in (head, line):
            row.setSpacing(5)
            column.addLayout(row)
        column.setSpacing(0)


LEAST_SHARE = 0.85
"""Of its height that a strip keeps on a small screen."""


class RatePanel(Panel):
    """Rates now and over the last 120 s."""

    def __init__(self, lines: Lines, *, teaches: str) -> None:
        super().__init__(tr("RATES"), teaches=teaches)
        self._lines = lines
        self.history = RateHistory(tuple(lines))
        self.tiles = {name: Tile(*line) for name, line in lines.items()}
        self.grid = QtWidgets.QGridLayout()
        self.grid.setVerticalSpacing(2)
        for place, tile in enumerate(self.tiles.values()):
            self.grid.addWidget(tile, place // 2, place % 2)
        self.body.addLayout(self.grid)
        self._plots: list[CalmPlot] = []

    def go_on_from(self, before: RatePanel) -> None:
        """Continue the strips of another panel of this kind."""
        self.history = before.history

    def add_strip(self, caption: str, *names: str, height: int) -> None:
        """Add a strip chart of some of the rates."""
        plot = CalmPlot(x_range=(-SPAN_S, 0), caption=caption)
        plot.setMinimumHeight(round(LEAST_SHARE * height))
        plot.getAxis("bottom").setTicks(
            [[(-120, "−120"), (-90, "−90"), (-60, "−60"), (-30, "−30"), (0, tr("now"))]]
        )
        looks = {name: self._lines[name][1:3] for name in names}
        plot.curves = {
            name: plot.add_curve(theme.shade(c), style=style) for name, (c, style) in looks.items()
        }
        self.body.addWidget(plot, height)
        self._plots.append(plot)

    def take(self, rates: dict[str, float] | None, *, old_s: float = 0.0) -> bool:
        """Draw the newest rates (None: no data) if a sample is due; return whether it was.

        old_s : how long there have been no data: the strips then have a gap, the numbers are grey
        """
        if not self.history.add(time.monotonic(), None if old_s else rates):
            return False
        for name, tile in self.tiles.items():
            text = rate_text(rates[name]) if rates and name in rates else "–"
            tile.value.show_text(text, theme.FAINT if old_s else "")
        for plot in self._plots:
            plot.follow(self.history.highest(*plot.curves))
            for name, curve in plot.curves.items():
                curve.setData(self.history.times_s, self.history.of(name))
        return True
