"""Count rates: four large numbers, checks on them, and strip charts of the last two minutes.

Singles and coincidences differ by one to two orders of magnitude, so each has a strip chart with a
linear axis of its own: a drop by a tenth is visible in both.
"""

from __future__ import annotations

import time
from datetime import datetime

from gui.kit import theme
from gui.kit.wording import age_text
from gui.kit.words import mark, tr
from gui.rates.history import RATE_NAMES, SPAN_S
from gui.rates.randoms_check import RandomsCheck
from gui.rates.rate_panel import RatePanel
from hw.messages.telemetry import Telemetry

LINES = {
    "accepted": (
        mark("SINGLES"),
        theme.SINGLES,
        "solid",
        mark("Singles accepted: photons detected inside the energy window, all modules together."),
    ),
    "prompts": (
        mark("PROMPTS"),
        theme.PROMPTS,
        "solid",
        (
            mark(
                "Prompts: two singles within the coincidence window ±τ.\nThey contain "
                "trues, scattered pairs and randoms."
            )
        ),
    ),
    "trues": (
        mark("TRUES + SCATTER"),
        theme.TRUES,
        "dash",
        (
            mark(
                "Trues: prompts − randoms. Both photons come from one decay;\nsome of "
                "them were scattered on their way."
            )
        ),
    ),
    "randoms": (
        mark("RANDOMS"),
        theme.RANDOMS,
        "dot",
        (
            mark(
                "Randoms: pairs from two different decays, by chance within ±τ.\nMeasured "
                "live by the delayed window, where nothing else can fall."
            )
        ),
    ),
}


class RatesPanel(RatePanel):
    """Rates of singles and coincidences, and checks on them."""

    def __init__(self) -> None:
        super().__init__(
            LINES, teaches=tr("Counts per second, averaged by the daq over the last second")
        )
        self.check = RandomsCheck()
        self.body.addLayout(self.check)
        self.add_strip(tr("singles, k/s"), "accepted", height=76)
        self.add_strip(tr("coincidences, k/s"), "prompts", "trues", "randoms", height=96)
        self._since = ""

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Add the newest rates (None: no data) and draw."""
        old_s = telemetry.silent.get("data", 0.0) if telemetry else 0.0
        if self.take(telemetry.rates if telemetry else None, old_s=old_s):
            self.check.refresh(telemetry)
            self._say_since(old_s)

    def _say_since(self, old_s: float) -> None:
        if old_s:
            self.note.show_text(tr("no data for {age}", age=age_text(old_s)), theme.ALARM)
            return
        began_s = self.history.began_s
        if not self._since and began_s is not None:
            self._since = f"{datetime.now():%H:%M:%S}"
        complete = began_s is not None and time.monotonic() - began_s > SPAN_S
        self.note.show_text(
            tr("last 120 s")
            if complete
            else tr("history since {since}", since=self._since)
            if self._since
            else ""
        )


assert set(LINES) == set(RATE_NAMES)
