"""Two checks on the rates: the mean live time of the pairs, and whether two estimates of the
randoms agree. The verdict is a word with a shape; colour only supports it.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.wording import fraction_text, rate_text
from gui.kit.words import mark, tr
from hw.messages.telemetry import Telemetry

TEACHES = {
    mark("Live time"): (
        mark(
            "Mean live fraction of the module pairs that may pair, over the last "
            "seconds:\ndead time, lost data frames and stalled modules count as not "
            "live.\nA rate divided by it is corrected for them."
        )
    ),
    mark("Randoms"): (
        mark(
            "Two independent estimates of the randoms' rate, in k/s.\ndelayed: pairs "
            "counted in the delayed windows, divided by their factor.\nsingles: "
            "2τ·S₁·S₂ from the singles' rates, summed over the pairs that may pair."
        )
    ),
    mark("Ratio"): (
        mark(
            "Randoms by delayeds over randoms by singles, ± one standard deviation.\n"
            "✓ AGREE: as expected, near 1.\n✗ DISAGREE: off 1 by more than chance "
            "allows; suspect clocks, skew, dead time, or a delay at which photons "
            "are still correlated."
        )
    ),
}


class RandomsCheck(QtWidgets.QGridLayout):
    """Three rows: live time, both estimates, their ratio with the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.setVerticalSpacing(0)
        self.setHorizontalSpacing(8)
        self.setColumnStretch(1, 1)
        self.values: dict[str, ElidedLabel] = {}
        for row, (name, teaches) in enumerate(TEACHES.items()):
            caption, value = CalmLabel(tr(name)), ElidedLabel(bold=name == "Ratio")
            caption.setObjectName("dim")
            caption.setToolTip(tr(teaches))
            value.show_text("–")
            value.setToolTip(tr(teaches))
            self.addWidget(caption, row, 0)
            self.addWidget(value, row, 1)
            self.values[name] = value

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Show the newest values (None: no data)."""
        self._say("Live time", *_live(telemetry))
        self._say("Randoms", _estimates(telemetry), "")
        self._say("Ratio", *_verdict(telemetry))

    def _say(self, name: str, text: str, colour: str) -> None:
        self.values[name].show_text(text, colour)
        teaches = tr(TEACHES[name])
        self.values[name].setToolTip(teaches if text == "–" else f"{text}\n{teaches}")


def _live(telemetry: Telemetry | None) -> tuple[str, str]:
    if telemetry is None or not telemetry.module_live:
        return "–", ""
    return tr("{fraction} of the module pairs", fraction=fraction_text(telemetry.pair_live)), ""


def _estimates(telemetry: Telemetry | None) -> str:
    if telemetry is None or not telemetry.randoms:
        return "–"
    delayed = rate_text(telemetry.randoms.get("delayed_cps", float("nan")))
    singles = rate_text(telemetry.randoms.get("singles_cps", float("nan")))
    return tr("delayed {delayed} · singles {singles} k/s", delayed=delayed, singles=singles)


def _verdict(telemetry: Telemetry | None) -> tuple[str, str]:
    """Return the ratio with its σ and the verdict."""
    if telemetry is None or telemetry.settings is None:
        return "–", ""
    randoms, looks = telemetry.randoms, theme.RANDOMS_LOOKS
    if "ratio" not in randoms:
        return _missing(telemetry, delay_ps=telemetry.settings.delay_ps)
    look = looks["disagree" if telemetry.randoms_alarm else "agree"]
    ratio, sigma = randoms["ratio"], randoms.get("ratio_sigma", float("nan"))
    return f"{look.text}  {ratio:.3f} ± {sigma:.3f}", look.colour


def _missing(telemetry: Telemetry, *, delay_ps: int) -> tuple[str, str]:
    """Return why there is no ratio."""
    if delay_ps and telemetry.state not in ("running", "stopping"):
        return "–", ""
    look = theme.RANDOMS_LOOKS["few" if delay_ps else "off"]
    return look.text, look.colour
