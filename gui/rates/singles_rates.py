"""Count rates of a SPECT run: all singles, those in photopeaks, and those beside them."""

from __future__ import annotations

import time

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, Panel
from gui.kit.plots import CalmPlot
from gui.kit.wording import fraction_text, rate_text
from gui.rates.coincidence_rates import Tile
from gui.rates.history import SPAN_S, RateHistory
from hw.messages.telemetry import Telemetry

LINES = {
    "singles": (
        "ALL SINGLES",
        theme.SINGLES,
        "solid",
        "Every photon that gave an event word, whatever its energy, all modules together.",
    ),
    "photopeak": (
        "PHOTOPEAK",
        theme.TRUES,
        "solid",
        "Singles in the photopeak windows: unscattered photons and the scatter below them.",
    ),
    "scatter": (
        "SCATTER WINDOWS",
        theme.RANDOMS,
        "dot",
        "Singles in the scatter windows beside the photopeaks, which estimate the scatter in them.",
    ),
}
NAMES = tuple(LINES)


class SinglesRatesPanel(Panel):
    """Rates now and over the last 120 s."""

    def __init__(self) -> None:
        super().__init__(
            "RATES", teaches="Singles per second, averaged by the daq over the last second"
        )
        self.history = RateHistory(NAMES)
        self.tiles = {name: Tile(*line) for name, line in LINES.items()}
        grid = QtWidgets.QGridLayout()
        grid.setVerticalSpacing(2)
        for place, name in enumerate(NAMES):
            grid.addWidget(self.tiles[name], place // 2, place % 2)
        self.live = CalmLabel("–")
        self.live.setToolTip("Least live fraction of a module over the last seconds")
        grid.addWidget(self.live, 1, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self.body.addLayout(grid)
        self._all = self._strip("all singles, k/s", "singles")
        self._windowed = self._strip("in windows, k/s", "photopeak", "scatter")

    def _strip(self, caption: str, *names: str) -> CalmPlot:
        plot = CalmPlot(x_range=(-SPAN_S, 0), caption=caption)
        plot.setMinimumHeight(90)
        plot.getAxis("bottom").setTicks(
            [[(-120, "−120"), (-90, "−90"), (-60, "−60"), (-30, "−30"), (0, "now")]]
        )
        plot.curves = {name: plot.add_curve(LINES[name][1], style=LINES[name][2]) for name in names}
        self.body.addWidget(plot, 1)
        return plot

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Add the newest rates (None: no data) and draw."""
        rates = _rates(telemetry)
        if not self.history.add(time.monotonic(), rates):
            return
        for name, tile in self.tiles.items():
            tile.value.show_text(rate_text(rates[name]) if rates and name in rates else "–")
        live = telemetry.module_live if telemetry else []
        self.live.show_text(f"live time {fraction_text(min(live))}" if live else "live time –")
        for plot in (self._all, self._windowed):
            plot.follow(self.history.highest(*plot.curves))
            for name, curve in plot.curves.items():
                curve.setData(self.history.times_s, self.history.of(name))


def _rates(telemetry: Telemetry | None) -> dict[str, float] | None:
    """Return the singles per second of the three lines; None without data."""
    if telemetry is None or telemetry.settings is None:
        return None
    found: dict[str, float] = {}
    if "singles" in telemetry.rates:
        found["singles"] = telemetry.rates["singles"]
    for window in telemetry.settings.singles_windows:
        if window.name in telemetry.window_rates:
            rate = found.get(window.kind, 0.0) + telemetry.window_rates[window.name]
            found[window.kind] = rate
    return found
