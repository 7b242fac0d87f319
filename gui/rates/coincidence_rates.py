"""Count rates: four large numbers, checks on them, and strip charts of the last two minutes.

Singles and coincidences differ by one to two orders of magnitude, so each has a strip chart with a
linear axis of its own: a drop by a tenth is visible in both.
"""

from __future__ import annotations

import time
from datetime import datetime

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, Panel, Swatch
from gui.kit.plots import CalmPlot, pen
from gui.kit.wording import rate_text
from gui.rates.history import RATE_NAMES, SPAN_S, RateHistory
from gui.rates.randoms_check import RandomsCheck
from hw.messages.telemetry import Telemetry

LINES = {
    "accepted": (
        "SINGLES",
        theme.SINGLES,
        "solid",
        "Singles accepted: photons detected inside the energy window, all modules together.",
    ),
    "prompts": (
        "PROMPTS",
        theme.PROMPTS,
        "solid",
        (
            "Prompts: two singles within the coincidence window ±τ.\n"
            "They contain trues, scattered pairs and randoms."
        ),
    ),
    "trues": (
        "TRUES + SCATTER",
        theme.TRUES,
        "dash",
        (
            "Trues: prompts − randoms. Both photons come from one decay;\n"
            "some of them were scattered on their way."
        ),
    ),
    "randoms": (
        "RANDOMS",
        theme.RANDOMS,
        "dot",
        (
            "Randoms: pairs from two different decays, by chance within ±τ.\n"
            "Measured live by the delayed window, where nothing else can fall."
        ),
    ),
}


class Tile(QtWidgets.QWidget):
    """One rate as a large number in k/s."""

    def __init__(self, title: str, colour: str, style: str, teaches: str) -> None:
        super().__init__()
        self.setToolTip(teaches)
        caption = CalmLabel(title, size_px=theme.SMALL_PX)
        caption.setObjectName("dim")
        self.value = CalmLabel("–", size_px=theme.VALUE_PX, bold=True)
        self.value.setMinimumWidth(84)
        self.value.setAlignment(QtCore.Qt.AlignmentFlag.AlignRight)
        unit = CalmLabel("k/s", size_px=theme.SMALL_PX)
        unit.setObjectName("dim")
        head, line = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        head.addWidget(Swatch(pen(colour, style=style, width=2)))
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


class RatesPanel(Panel):
    """Rates now and over the last 120 s."""

    def __init__(self) -> None:
        super().__init__(
            "RATES", teaches="Counts per second, averaged by the daq over the last second"
        )
        self.history = RateHistory(RATE_NAMES)
        self.tiles = {name: Tile(*line) for name, line in LINES.items()}
        grid = QtWidgets.QGridLayout()
        grid.setVerticalSpacing(2)
        for place, name in enumerate(LINES):
            grid.addWidget(self.tiles[name], place // 2, place % 2)
        self.body.addLayout(grid)
        self.check = RandomsCheck()
        self.body.addLayout(self.check)
        self._singles = self._strip("singles, k/s", "accepted", height=76)
        self._pairs = self._strip("coincidences, k/s", "prompts", "trues", "randoms", height=96)
        self._since = ""

    def _strip(self, caption: str, *names: str, height: int) -> CalmPlot:
        plot = CalmPlot(x_range=(-SPAN_S, 0), caption=caption)
        plot.setMinimumHeight(height)
        plot.getAxis("bottom").setTicks(
            [[(-120, "−120"), (-90, "−90"), (-60, "−60"), (-30, "−30"), (0, "now")]]
        )
        plot.curves = {name: plot.add_curve(LINES[name][1], style=LINES[name][2]) for name in names}
        self.body.addWidget(plot, height)
        return plot

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Add the newest rates (None: no data) and draw."""
        rates = telemetry.rates if telemetry else None
        if not self.history.add(time.monotonic(), rates):
            return
        for name, tile in self.tiles.items():
            known = rates is not None and name in rates
            tile.value.show_text(rate_text(rates[name]) if rates and known else "–")
        self.check.refresh(telemetry)
        for plot in (self._singles, self._pairs):
            plot.follow(self.history.highest(*plot.curves))
            for name, curve in plot.curves.items():
                curve.setData(self.history.times_s, self.history.of(name))
        self._say_since()

    def _say_since(self) -> None:
        began_s = self.history.began_s
        if not self._since and began_s is not None:
            self._since = f"{datetime.now():%H:%M:%S}"
        complete = began_s is not None and time.monotonic() - began_s > SPAN_S
        self.note.show_text(
            "last 120 s" if complete else f"history since {self._since}" if self._since else ""
        )


assert set(LINES) == set(RATE_NAMES)
