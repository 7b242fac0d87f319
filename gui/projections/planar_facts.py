"""The facts about the pictures shown: age, counts, time, angle, and that nothing was corrected."""

from __future__ import annotations

from gui.kit import theme
from gui.kit.panels import CalmLabel
from gui.kit.pictures import STALE_AFTER_S, FactsColumn
from gui.kit.wording import clock_text, grouped, rate_text
from gui.kit.words import mark, tr
from gui.link.daq_view import Link
from gui.projections.planar_view import Angles, angle_text
from hw.messages.pictures import Projections

TEACHES = {
    mark("Counts"): mark("Singles of this window since the run's start, all modules together."),
    mark("Rate"): mark("Singles of this window per second, over the last second."),
    mark("Time"): mark("Detector time that the pictures cover."),
    mark("Angle"): mark(
        "The modules' position: the gantry's angle, or each column's about its own axis."
    ),
    mark("Live time"): mark(
        "Live fraction of the modules over the last seconds: dead time, lost "
        "data frames\nand stalls count as not live."
    ),
    mark("Age"): mark("Seconds since these pictures were published."),
}
NOT_CORRECTED = (
    mark("uniformity"), mark("scatter"), mark("attenuation"), mark("decay"), mark("dead time"),
)  # fmt: skip


class ProjectionFacts(FactsColumn):
    """A column of text beside the pictures."""

    def __init__(self) -> None:
        super().__init__(tr("no picture yet"), TEACHES)
        for name in NOT_CORRECTED:
            label = CalmLabel(tr("✗ {name} not corrected", name=tr(name)))
            label.setObjectName("dim")
            label.setToolTip(tr("The pictures are plain counts, as the crystals saw them"))
            self.column.addWidget(label)

    def refresh_age(self, link: Link) -> None:
        """Show the pictures' age; cheap enough for every frame."""
        pictures = link.projections
        if pictures is None:
            return
        age_s = link.projections_age_s
        running = link.telemetry is not None and link.telemetry.state == "running"
        stale = running and age_s > STALE_AFTER_S and not pictures.final
        self.show_age(age_s, stale=stale)
        self.badge.show_text(*_badge(link, pictures, stale=stale))

    def refresh(self, link: Link, pictures: Projections, *, names: list[str], counts: int) -> None:
        """Show the facts about new pictures of the windows ``names`` (shown as one)."""
        telemetry = link.telemetry
        rates = telemetry.window_rates if telemetry else {}
        known = [rates[name] for name in names if name in rates]
        values = self.values
        values["Counts"].show_text(grouped(counts))
        values["Rate"].show_text(f"{rate_text(sum(known))} k/s" if known else "–")
        values["Time"].show_text(
            tr("{clock} since the start", clock=clock_text(pictures.detector_time_s))
        )
        started = pictures.detector_time_s > 0
        values["Angle"].show_text(*_angle(pictures.angles_deg, started=started))
        live = telemetry.module_live if telemetry else []
        values["Live time"].show_text(
            tr("{value:.1f} % at least", value=100 * min(live)) if live else "–"
        )


def _angle(angles: Angles, *, started: bool) -> tuple[str, str]:
    if not angles:
        return tr("fixed"), ""
    told = [angle for angle in angles if angle is not None]
    if not started:
        return tr("not told yet"), theme.DIM
    if len(told) < len(angles):
        return tr(
            "⚠ unknown of {value} / {len}", value=len(angles) - len(told), len=len(angles)
        ), theme.WARNING
    low, high = min(told), max(told)
    same = high - low < 0.05
    return angle_text(high) if same else tr(
        "{angle} to {angle2}", angle=angle_text(low), angle2=angle_text(high)
    ), ""


def _badge(link: Link, pictures: Projections, *, stale: bool) -> tuple[str, str]:
    if not link.projections_are_of_run:
        return tr("⚠ OF EARLIER RUN"), theme.WARNING
    if pictures.final:
        return tr("✓ FINAL PICTURES"), theme.NOTICE
    if link.state != "connected" or stale:
        return tr("⚠ OLD PICTURES"), theme.WARNING
    if link.telemetry is not None and link.telemetry.state == "armed":
        return tr("no picture yet"), theme.DIM
    if link.telemetry is None or link.telemetry.state not in ("running", "stopping"):
        return tr("◼ LAST PICTURES"), theme.NOTICE
    return tr("● LIVE"), theme.GOOD
