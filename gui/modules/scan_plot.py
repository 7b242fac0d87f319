"""Threshold and I-V scans of a module: what to scan, the plot, and the result."""

from __future__ import annotations

import math

import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.plots import pen
from gui.kit.words import mark, tr
from hw.messages.modules import ModuleScan

KINDS = {
    "threshold": (
        mark("Threshold scan"),
        mark("comparator threshold / mV"),
        mark("crossings / s"),
        (2, 100, 2),
    ),
    "bias": (mark("I–V scan"), mark("bias / V"), mark("current / nA"), (50_000, 57_000, 100)),
}
"""Kind to title, axes, and the usual from, to and step in mV."""

FLOOR = 0.5
"""A scaler that counted nothing is drawn at this value, below one: the axis is logarithmic."""


class ScanPlot(QtWidgets.QWidget):
    """One scan, as far as it has got, on a logarithmic axis."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[object, ...] = ()
        self.words = ElidedLabel(size_px=theme.BASE_PX)
        self.words.show_text(tr("no scan yet"), theme.DIM)
        self.plot = pg.PlotWidget()
        self.plot.setAccessibleName(tr("SCAN"))
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setLogMode(x=False, y=True)
        self.plot.showGrid(x=True, y=True, alpha=0.15)
        self.curve = self.plot.plot(
            pen=pen(theme.SINGLES, width=2), symbol="o", symbolSize=4, symbolBrush=theme.SINGLES,
            symbolPen=None,
        )  # fmt: skip
        self.marker = pg.InfiniteLine(
            angle=90, pen=pen(theme.LAMP, style="dash"), label="", labelOpts={"position": 0.9}
        )
        self.marker.label.setColor(theme.LAMP)
        self.marker.hide()
        self.plot.addItem(self.marker)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addWidget(self.plot, 1)
        column.addStretch(0)
        self.plot.hide()

    def show_scan(self, scan: ModuleScan | None) -> None:
        """Show a scan; None if there is none."""
        shown = () if scan is None else (scan.module, scan.kind, len(scan.points), scan.done)
        if shown == self._shown:
            return
        self._shown = shown
        self.plot.setVisible(scan is not None)
        if scan is None:
            self.curve.setData([], [])
            self.marker.hide()
            self.words.show_text(tr("no scan yet"), theme.DIM)
            return
        self._draw(scan)
        self.words.show_text(*_words(scan))

    def _draw(self, scan: ModuleScan) -> None:
        _, across, up, _ = KINDS[scan.kind]
        per_unit = 1000.0 if scan.kind == "bias" else 1.0
        for side, text in (("bottom", across), ("left", up)):
            self.plot.setLabel(side, tr(text), color=theme.DIM)
        x = [point.x / per_unit for point in scan.points]
        self.curve.setData(x, [max(point.y, FLOOR) for point in scan.points])
        breakdown_mV = scan.found.get("breakdown_mV")
        self.marker.setVisible(breakdown_mV is not None)
        if breakdown_mV is not None:
            self.marker.setValue(breakdown_mV / per_unit)
            self.marker.label.setFormat(tr("breakdown {value:.2f} V", value=breakdown_mV / 1000))


def _words(scan: ModuleScan) -> tuple[str, str]:
    title = tr("{value} of module {module}", value=tr(KINDS[scan.kind][0]), module=scan.module)
    if scan.failed:
        return f"✗ {title}: {scan.failed}", theme.ALARM
    if not scan.done:
        return tr(
            "{title}: point {len} of {steps} …", title=title, len=len(scan.points), steps=scan.steps
        ), theme.NOTICE
    found = scan.found.get("breakdown_mV")
    if found is not None and math.isfinite(found):
        return tr(
            "✓ {title}: breakdown at {value:.2f} V", title=title, value=found / 1000
        ), theme.GOOD
    if scan.kind == "bias":
        return tr("⚠ {title}: no breakdown within the scan", title=title), theme.WARNING
    return f"✓ {title}", theme.GOOD


class ScanForm(QtWidgets.QVBoxLayout):
    """Kind and buttons of a scan, and below them its from, to and step in mV."""

    def __init__(self) -> None:
        super().__init__()
        self.setSpacing(6)
        self.kind = QtWidgets.QComboBox()
        self.kind.setAccessibleName(tr("SCAN"))
        for kind, (title, *_) in KINDS.items():
            self.kind.addItem(tr(title), kind)
        self.kind.currentIndexChanged.connect(self.fill)
        self.start = QtWidgets.QPushButton(tr("Scan"))
        self.halt = QtWidgets.QPushButton(tr("Stop scan"))
        self.halt.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        buttons, row = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        for widget, share in ((self.kind, 1), (self.start, 0), (self.halt, 0)):
            buttons.addWidget(widget, share)
        self.addLayout(buttons)
        self.addLayout(row)
        self.fields: dict[str, QtWidgets.QLineEdit] = {}
        for name, caption in (
            ("from_mV", tr("from")),
            ("to_mV", tr("to")),
            ("step_mV", tr("step")),
        ):
            label = CalmLabel(caption)
            label.setObjectName("dim")
            self.fields[name] = QtWidgets.QLineEdit()
            self.fields[name].setAccessibleName(f"{caption} mV")
            row.addWidget(label)
            row.addWidget(self.fields[name], 1)
        row.addWidget(CalmLabel("mV"))
        self.fill()

    def fill(self) -> None:
        """Fill in the usual values for the kind of scan."""
        for name, value in zip(self.fields, KINDS[self.chosen_kind][3], strict=True):
            self.fields[name].setText(str(value))

    @property
    def chosen_kind(self) -> str:
        """ "threshold" or "bias"."""
        return str(self.kind.currentData())

    def values(self) -> dict[str, int] | str:
        """Return the three values in mV, or a message about what is wrong."""
        try:
            values = {name: int(field.text()) for name, field in self.fields.items()}
        except ValueError:
            return tr("from, to and step must be whole numbers of mV")
        if values["step_mV"] < 1 or values["to_mV"] <= values["from_mV"] or values["from_mV"] < 0:
            return tr("needs 0 ≤ from < to, and a step of at least 1 mV")
        if (values["to_mV"] - values["from_mV"]) // values["step_mV"] > 2000:
            return tr("more than 2000 points: use a larger step")
        return values
