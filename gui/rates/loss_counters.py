"""Losses and resources: the counters that should be zero, and the free disk space.

Every counter of the daq that is not known to be harmless is treated as a loss: one added by a newer
daq is highlighted rather than overlooked.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel, FactsGrid, Panel
from gui.kit.wording import grouped
from gui.kit.words import mark, tr
from hw.messages.counters import harm_of
from hw.messages.telemetry import Telemetry

# Always shown, so that a zero can be seen and not only assumed.
WATCHED = {
    "frames.lost": mark(
        "Data frames missing in a module's sequence; their singles are counted exactly"
    ),
    "frames.corrupt": mark("Data frames whose checksum (CRC-32C) was wrong; not used"),
    "frames.late": mark("Data frames that came after their time was closed; not used"),
    "frames.duplicate": mark("Data frames that came twice; used once"),
    "singles.lost": mark("Singles in lost frames, or dropped by a module itself"),
    "singles.late": mark("Singles older than the time already sorted: counted, not sorted in"),
    "singles.invalid": mark("Event words that make no sense (unknown crystal or kind)"),
}
_ROWS = 6
DISK_WARNING_GB, DISK_ALARM_GB = 10.0, 2.0
LAG_WARNING_S = 0.5


def losses(counters: dict[str, int]) -> dict[str, int]:
    """Return the counters of losses: the watched ones, then any others not harmless."""
    result = {name: counters.get(name, 0) for name in WATCHED}
    extra = {
        name: value
        for name, value in counters.items()
        if harm_of(name) != "none" and name not in result
    }
    nonzero = {name: value for name, value in extra.items() if value}
    return result | nonzero


class _LossColumn(QtWidgets.QGridLayout):
    """The counters of one kind; those not zero come first."""

    def __init__(self, group: str, teaches: str) -> None:
        super().__init__()
        self._group = group
        self._shown: list[tuple[str, bool]] = []
        self.setVerticalSpacing(0)
        self.setHorizontalSpacing(6)
        self.setColumnStretch(0, 1)
        head = ElidedLabel(size_px=theme.SMALL_PX, bold=True)
        head.show_text(tr("FRAMES") if group == "frames" else tr("SINGLES AND OTHER"))
        head.setObjectName("dim")
        head.setToolTip(teaches)
        self.addWidget(head, 0, 0, 1, 2)
        self.names = [ElidedLabel() for _ in range(_ROWS)]
        self.values = [CalmLabel() for _ in range(_ROWS)]
        for row, (name, value) in enumerate(zip(self.names, self.values, strict=False), start=1):
            value.setAlignment(QtCore.Qt.AlignmentFlag.AlignRight)
            self.addWidget(name, row, 0)
            self.addWidget(value, row, 1)

    def refresh(self, found: dict[str, int]) -> int:
        """Show the counters; return how many that are not zero did not fit."""
        order = sorted(found, key=lambda name: not found[name])
        for row, (name_label, value_label) in enumerate(zip(self.names, self.values, strict=False)):
            if row >= len(order):
                name_label.show_text("")
                value_label.show_text("")
                continue
            name, value = order[row], found[order[row]]
            caption = tr(caption_of(name, self._group))
            colour = theme.WARNING if value else ""
            name_label.show_text(f"⚠ {caption}" if value else caption, colour or theme.DIM)
            value_label.show_text(grouped(value), colour)
        self._explain([(name, bool(found[name])) for name in order[:_ROWS]])
        return sum(1 for name in order[_ROWS:] if found[name])

    def _explain(self, shown: list[tuple[str, bool]]) -> None:
        """Explain the names shown, each with whether it is marked."""
        if shown == self._shown:
            return
        self._shown = shown
        for label, (name, _) in zip(self.names, shown, strict=False):
            teaches = WATCHED.get(name)
            known = tr(teaches) if teaches else tr("Counter {name} of the daq", name=name)
            label.setToolTip(f"{tr(caption_of(name, self._group))}: {known}")


def caption_of(counter: str, group: str) -> str:
    """Return a counter's name in its group as it is shown, in English."""
    return counter.removeprefix(f"{group}.").replace(".", " ").replace("_", " ")


_STATE = {
    mark("Disk free"): mark("Free space on the disk of the run's folder"),
    mark("Source lag"): mark("How far the source is behind real time (emulated sources only)"),
    mark("Held"): mark(
        "Singles held until every live module has reported; a few data\nframes' "
        "worth is normal, steady growth means that a module is falling behind"
    ),
}


class CountersPanel(Panel):
    """Losses, flow, disk and source."""

    def __init__(self) -> None:
        super().__init__(
            tr("DATA INTEGRITY"),
            teaches=tr(
                "Nothing is lost silently: each way of losing data has a counter.\n0 is "
                "normal; anything else is marked ⚠."
            ),
        )
        self.verdict = CalmLabel("–", size_px=15, bold=True)
        self.body.addWidget(self.verdict)
        columns = QtWidgets.QHBoxLayout()
        columns.setSpacing(18)
        self.columns = {
            group: _LossColumn(group, teaches)
            for group, teaches in (
                ("frames", tr("Data frames: one per module and 5.24 ms")),
                ("singles", tr("Singles: photons detected, one event word each")),
            )
        }
        for column in self.columns.values():
            columns.addLayout(column, 1)
        self.body.addLayout(columns)
        self.body.addLayout(self._footing())

    def _footing(self) -> QtWidgets.QLayout:
        recorded = {name: teaches for name, (_, teaches) in PAIRS.items()}
        grid = FactsGrid(recorded | _STATE, columns=2)
        grid.setContentsMargins(0, 4, 0, 0)
        self.facts, self._captions = grid.values, grid.captions
        return grid

    def refresh(self, telemetry: Telemetry) -> None:
        """Show the current counters."""
        found = losses(telemetry.counters)
        frames = {name: value for name, value in found.items() if name.startswith("frames.")}
        others = {name: value for name, value in found.items() if name not in frames}
        hidden = self.columns["frames"].refresh(frames) + self.columns["singles"].refresh(others)
        self.note.show_text(tr("{hidden} more not shown", hidden=hidden) if hidden else "")
        if telemetry.run:
            self._show_verdict({name for name, value in found.items() if value})
        else:
            self.verdict.show_text(tr("no run"), theme.DIM)
        self._show_facts(telemetry)

    def _show_verdict(self, nonzero: set[str]) -> None:
        lost = sum(harm_of(name) == "loss" for name in nonzero)
        if lost:
            plural = "s" if lost > 1 else ""
            self.verdict.show_text(
                tr("⚠ LOSS: {lost} counter{plural}", lost=lost, plural=plural), theme.WARNING
            )
        elif nonzero:
            self.verdict.show_text(tr("✓ NO LOSS, but see ⚠"), theme.GOOD)
        else:
            self.verdict.show_text(tr("✓ NO LOSS"), theme.GOOD)

    def _show_yield(self, telemetry: Telemetry) -> None:
        """Show the number of pairs or single photons recorded."""
        settings = telemetry.settings
        of_pairs = settings is None or settings.sorts_coincidences
        for place, (name, (counter, teaches)) in zip(
            PAIRS, (PAIRS if of_pairs else SINGLE_PHOTONS).items(), strict=True
        ):
            caption, value = self._captions[place], self.facts[place]
            caption.show_text(tr(name))
            value.show_text(grouped(telemetry.counters.get(counter, 0)))
            for label in (caption, value):
                if label.toolTip() != tr(teaches):
                    label.setToolTip(tr(teaches))

    def _show_facts(self, telemetry: Telemetry) -> None:
        self._show_yield(telemetry)
        self.facts["Disk free"].show_text(*_disk(telemetry.disk_free_GB))
        late = telemetry.state == "running" and telemetry.source_lag_s > LAG_WARNING_S
        lag = f"{telemetry.source_lag_s:.2f} s"
        self.facts["Source lag"].show_text(
            f"⚠ {lag}" if late else lag, theme.WARNING if late else ""
        )
        held = telemetry.buffers.get("singles_held")
        self.facts["Held"].show_text("–" if held is None else grouped(held))


# The first three facts: name of the counter, what it is.
PAIRS = {
    mark("Prompts"): ("prompts", mark("Prompts since the run's start")),
    mark("Delayeds"): ("delayeds", mark("Pairs in the delayed window since the run's start")),
    mark("Multiples"): (
        "multiples",
        mark("Clusters of more than one good pair, whatever the policy keeps of them"),
    ),
}
SINGLE_PHOTONS = {
    mark("In windows"): (
        "singles.windowed",
        mark("Singles in one of the energy windows since the start"),
    ),
    mark("Outside"): ("singles.out_of_window", mark("Singles in no energy window since the start")),
    mark("Angles"): ("angles.words", mark("Angle words of modules that move since the start")),
}


def _disk(free_GB: float) -> tuple[str, str]:
    words = f"{grouped(free_GB, digits=1 if free_GB < 100 else 0)} GB"
    if free_GB < DISK_ALARM_GB:
        return f"✗ {words}", theme.ALARM
    if free_GB < DISK_WARNING_GB:
        return f"⚠ {words}", theme.WARNING
    return words, ""
