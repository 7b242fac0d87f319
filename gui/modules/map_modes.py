"""What the map of modules can show, and its colour scales, which stay as long as they suit."""

from __future__ import annotations

import math
from typing import Literal

from gui.kit.wording import SteadyCeiling, level_text
from gui.kit.words import mark, tr
from hw.messages.telemetry import Telemetry

Mode = Literal["rate", "live", "state"]

# Caption of the switch, and what the map then shows.
MODES: dict[Mode, tuple[str, str]] = {
    "rate": (mark("rate"), mark("Singles per second of each module.")),
    "live": (
        mark("live time"),
        (
            mark(
                "Live fraction of each module over the last seconds: dead time, lost "
                "data frames and\nstalls count as not live. The scale ends at 100 % and "
                "begins where it suits."
            )
        ),
    ),
    "state": (mark("state"), mark("Whether each module is live, stalled, silent or ended.")),
}

LEAST_DEAD_PER_CENT = 1.0  # a span below which differences of live time are no news

ScaleOf = tuple[list[float], str, str, str]


class ModuleScale:
    """Levels in 0..1 of all modules, and the ends of their scale in words."""

    def __init__(self) -> None:
        self._rate_k = SteadyCeiling()
        self._dead_per_cent = SteadyCeiling()

    def of(self, mode: Mode, telemetry: Telemetry) -> ScaleOf:
        """Return levels (NaN: no colour), the scale's lower and upper end, and its unit."""
        if mode == "rate":
            return self._rates(telemetry)
        if mode == "live":
            return self._live_times(telemetry)
        return [math.nan] * len(telemetry.module_states), "", "", ""

    def _rates(self, telemetry: Telemetry) -> ScaleOf:
        rates_k = [rate / 1000.0 for rate in telemetry.module_rates]
        self._rate_k.follow(max(rates_k))
        levels = [
            rate_k / self._rate_k.value if state in ("live", "ended") else math.nan
            for rate_k, state in zip(rates_k, telemetry.module_states, strict=True)
        ]
        return levels, "0", level_text(self._rate_k.value), tr("singles, k/s")

    def _live_times(self, telemetry: Telemetry) -> ScaleOf:
        live, states = telemetry.module_live, telemetry.module_states
        if len(live) != len(states):
            return [math.nan] * len(states), "", "", tr("live time not told")
        coloured = [state == "live" for state in states]
        dead = [100 * (1 - f) for f, shown in zip(live, coloured, strict=True) if shown]
        self._dead_per_cent.follow(min(100.0, max([LEAST_DEAD_PER_CENT, *dead])))
        span = min(100.0, self._dead_per_cent.value)
        levels = [
            1 - 100 * (1 - fraction) / span if shown else math.nan
            for fraction, shown in zip(live, coloured, strict=True)
        ]
        return levels, f"{100 - span:g}", "100", tr("live time, %")
