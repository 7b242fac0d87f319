"""Count rates of a SPECT run: all singles, those in photopeaks, and those beside them."""

from __future__ import annotations

from gui.kit import theme
from gui.kit.panels import CalmLabel
from gui.kit.wording import fraction_text
from gui.kit.words import mark, tr
from gui.rates.rate_panel import RatePanel
from hw.messages.telemetry import Telemetry

LINES = {
    "singles": (
        mark("ALL SINGLES"),
        theme.SINGLES,
        "solid",
        mark("Every photon that gave an event word, whatever its energy, all modules together."),
    ),
    "photopeak": (
        mark("PHOTOPEAK"),
        theme.TRUES,
        "solid",
        mark("Singles in the photopeak windows: unscattered photons and the scatter below them."),
    ),
    "scatter": (
        mark("SCATTER WINDOWS"),
        theme.RANDOMS,
        "dot",
        mark(
            "Singles in the scatter windows beside the photopeaks, which estimate "
            "the scatter in them."
        ),
    ),
}


class SinglesRatesPanel(RatePanel):
    """Rates of singles and the live time."""

    def __init__(self) -> None:
        super().__init__(
            LINES, teaches=tr("Singles per second, averaged by the daq over the last second")
        )
        self.live = CalmLabel("–")
        self.live.setToolTip(tr("Least live fraction of a module over the last seconds"))
        self.grid.addWidget(self.live, 1, 1)
        self.grid.setColumnStretch(0, 1)
        self.grid.setColumnStretch(1, 1)
        self.add_strip(tr("all singles, k/s"), "singles", height=90)
        self.add_strip(tr("in windows, k/s"), "photopeak", "scatter", height=90)

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Add the newest rates (None: no data) and draw."""
        old_s = telemetry.silent.get("data", 0.0) if telemetry else 0.0
        if self.take(_rates(telemetry), old_s=old_s):
            live = telemetry.module_live if telemetry else []
            self.live.show_text(
                tr("live time {fraction}", fraction=fraction_text(min(live)))
                if live
                else tr("live time –")
            )


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
