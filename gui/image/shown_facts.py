"""The facts about the displayed image: age, counts, what was corrected and what was not.

The display is honest: an old image, one of another run, or one made from part of the events says so
in words.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.pictures import STALE_AFTER_S, FactsColumn
from gui.kit.wording import grouped
from gui.kit.words import mark, tr
from gui.link.daq_view import Link
from hw.messages.corrections import CORRECTIONS, label_of
from hw.messages.pictures import ImageMessage

TEACHES = {
    mark("Age"): mark(
        "Seconds since this image was published, and the latency: from its last "
        "event to its\npublication."
    ),
    mark("Prompts"): mark(
        "Prompts that this image was made of; of a forgetting window the sum of their\nweights."
    ),
    mark("Of"): mark("Detector time that this image was made of."),
    mark("Delayeds"): mark("Delayeds used to estimate the randoms."),
    mark("Used"): mark(
        "Share of the run's events that went into the image. Below 100 % the "
        "reconstruction\ncould not keep up; intensities are scaled so that they "
        "stay right."
    ),
    mark("Images"): mark(
        "Images per second, and the noise: standard deviation of a voxel over its mean."
    ),
}


class ImageFacts(FactsColumn):
    """A column of words beside the image."""

    def __init__(self) -> None:
        super().__init__(tr("no image yet"), TEACHES)
        self._before_corrections = self.column.count()
        self.column.addLayout(self._list_of_corrections())
        self.remark = ElidedLabel(size_px=theme.SMALL_PX)
        self.column.addWidget(self.remark)

    def put_before_corrections(self, widget: QtWidgets.QWidget) -> None:
        """Show a widget where it is in sight without scrolling."""
        self.column.insertWidget(self._before_corrections, widget)

    def _list_of_corrections(self) -> QtWidgets.QGridLayout:
        """Two columns, filled downwards: the corrections applied come first."""
        grid = QtWidgets.QGridLayout()
        grid.setVerticalSpacing(1)
        grid.setHorizontalSpacing(8)
        caption = CalmLabel(tr("Corrected for (✓), not corrected for (✗)"), size_px=theme.SMALL_PX)
        caption.setObjectName("dim")
        grid.addWidget(caption, 0, 0, 1, 2)
        self.corrections = [CalmLabel(size_px=theme.BASE_PX) for _ in CORRECTIONS]
        rows = (len(CORRECTIONS) + 1) // 2
        for number, label in enumerate(self.corrections):
            label.hide()
            grid.addWidget(label, 1 + number % rows, number // rows)
        return grid

    def refresh_age(self, link: Link) -> None:
        """Show the image's age; cheap enough for every frame."""
        image = link.image
        if image is None:
            return
        age_s = link.image_age_s
        running = link.telemetry is not None and link.telemetry.state == "running"
        stale = running and age_s > STALE_AFTER_S and not image.final
        latency_ms = (image.published_wall_ns - image.event_wall_ns) * 1e-6
        # a final image was made long after its last event, and on purpose
        latency = "" if image.final else tr(" · latency {latency_ms:.0f} ms", latency_ms=latency_ms)
        self.show_age(age_s, latency, stale=stale)
        self.badge.show_text(*_badge(link, image, stale=stale))

    def refresh_image(self, image: ImageMessage) -> None:
        """Show the facts in a new image's message."""
        values = self.values
        values["Prompts"].show_text(grouped(image.prompts_in_window or image.prompts_used))
        values["Of"].show_text(_time_words(image))
        values["Delayeds"].show_text(grouped(image.delayeds_used))
        whole = image.fraction_used >= 0.995
        used = tr("{value:.0f} % of events", value=100 * image.fraction_used)
        values["Used"].show_text(used if whole else f"⚠ {used}", "" if whole else theme.WARNING)
        noise = tr(" · noise {value:.0f} %", value=100 * image.noise) if image.noise > 0 else ""
        values["Images"].show_text(
            tr("{rate_Hz:.1f} images/s{noise}", rate_Hz=image.rate_Hz, noise=noise)
        )
        self._show_corrections(image.corrections, image.how)
        self.remark.show_text(image.note, theme.DIM)

    def brief(self) -> tuple[str, str]:
        """Return the facts in one line, and its colour."""
        shown = [label.text() for label in self.corrections if not label.isHidden()]
        applied = sum(words.startswith("✓") for words in shown)
        used = self.values["Used"].text()
        words = [
            self.badge.text(),
            tr("{applied} of {len} corrections", applied=applied, len=len(shown)) if shown else "",
        ]
        words.append(used if used.startswith("⚠") else "")
        return " · ".join(filter(None, words)), self.badge.colour

    def _show_corrections(self, corrections: dict[str, bool], how: dict[str, str]) -> None:
        shown = sorted(corrections.items(), key=lambda item: not item[1])
        for label, item in zip(
            self.corrections, [*shown, *[None] * len(self.corrections)], strict=False
        ):
            if label.isHidden() != (item is None):
                label.setHidden(item is None)
            if item is not None:
                name, applied = tr(label_of(item[0])), item[1]
                words = f"✓ {name}" if applied else f"✗ {name}"
                label.show_text(words, theme.GOOD if applied else theme.DIM)
                why = how.get(item[0], "")
                state = tr("corrected") if applied else tr("not corrected")
                label.setToolTip(f"{name}: {state}{': ' if why else ''}{why}")


def _badge(link: Link, image: ImageMessage, *, stale: bool) -> tuple[str, str]:
    if not link.image_is_of_run:
        return tr("⚠ OF EARLIER RUN"), theme.WARNING
    if image.final:
        return tr("✓ FINAL IMAGE"), theme.NOTICE
    if link.state != "connected" or stale:
        return tr("⚠ OLD IMAGE"), theme.WARNING
    if link.telemetry is not None and link.telemetry.finishing > 0:
        return tr("● FINISHING {value:.0f} %", value=100 * link.telemetry.finishing), theme.NOTICE
    if link.telemetry is None or link.telemetry.state not in ("running", "stopping"):
        return tr("◼ LAST IMAGE  #{grouped}", grouped=grouped(image.sequence)), theme.NOTICE
    return tr("● LIVE  #{grouped}", grouped=grouped(image.sequence)), theme.GOOD


def _time_words(image: ImageMessage) -> str:
    """Describe the time that an image covers."""
    upto = tr("up to {detector_time_s:.1f} s", detector_time_s=image.detector_time_s)
    if image.window == "grow" or not image.window_s:
        return tr("all {upto}", upto=upto)
    return f"{image.window_s:.1f} s {upto}"
