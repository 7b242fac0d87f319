"""Daily quality control: one button makes it of the last run; figures with limits, and trends.

The work is done by ``tomoshibi qc run`` in another process (:mod:`gui.stored.job`); what it found
is read from the runs' folder. Nothing here waits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from daq.folder.quality.qc_history import QcHistory, QcStatus, qc_history, qc_status
from daq.folder.quality.qc_result import REPORT_NAME
from daq.folder.quality.qc_trend import trend_of
from gui.kit import theme
from gui.kit.panels import ElidedLabel, Panel
from gui.kit.pictures import fill
from gui.kit.told import told
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from gui.link.daq_view import Link
from gui.stored.job import Job
from gui.stored.qc_measurement import QcMeasurement
from gui.stored.qc_table import QcTable
from gui.stored.qc_trend_plots import TrendPlots
from hw.messages.telemetry import Telemetry

MOST_READ = 100
"""QCs that the page reads, the newest."""

MAKE_WORDS = mark("Make QC of the last run")
SOURCES = {
    mark("as the run says"): "",
    mark("point"): "point",
    mark("line"): "line",
    mark("cylinder"): "cylinder",
    mark("¹⁷⁶Lu background"): "lutetium",
    mark("flood"): "flood",
}
LOOKS = {
    "none": ("○", theme.DIM),
    "valid": ("✓", theme.GOOD),
    "failed": ("✗", theme.ALARM),
    "overdue": ("⚠", theme.WARNING),
    "incomplete": ("⚠", theme.WARNING),
}
UNDER_WAY = mark("a run is under way: its QC can be made once it is closed")
TALL_PX = 44


USUAL_S = 300
MEASURE_TEACHES = mark(
    "Take a run of what is chosen beside, for the time beside, and judge it. It is no patient's: "
    "the next Arm is as it was"
)


def _now() -> dt.datetime:
    return dt.datetime.now().astimezone()


class QcPage(QtWidgets.QWidget):
    """Status, button, figures of the newest QC, trends."""

    def __init__(self, root: Callable[[], Path], desk: CommandDesk) -> None:
        """Make the page; ``root`` tells the runs' folder, ``desk`` commands the daq."""
        super().__init__()
        self._telemetry: Telemetry | None = None
        self.measurement = QcMeasurement(desk, self)
        self._root, self._history = root, QcHistory()
        self._last, self._busy_run = "last", False
        self.worker = Job(self)
        self.table, self.plots = QcTable(), TrendPlots()
        self.status = ElidedLabel(size_px=theme.BASE_PX + 2, bold=True)
        self.words = ElidedLabel(size_px=theme.BASE_PX)
        self.source = QtWidgets.QComboBox()
        fill(self.source, SOURCES)
        self.source.setMinimumHeight(TALL_PX)
        self.source.setToolTip(tr("What stood before the scanner in the last run"))
        self.source.setAccessibleName(tr("source of the last run"))
        self.seconds = QtWidgets.QSpinBox()
        self.seconds.setRange(10, 3600)
        self.seconds.setSingleStep(30)
        self.seconds.setValue(USUAL_S)
        self.seconds.setSuffix(" s")
        self.seconds.setMinimumHeight(TALL_PX)
        self.seconds.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
        self.seconds.setToolTip(tr("How long a QC run takes data"))
        self.seconds.setAccessibleName(tr("How long a QC run takes data"))
        self.measure = self._button(tr("Measure and judge"), self._measure)
        self.make = self._button(tr(MAKE_WORDS), self._make)
        self.open_report = self._button(tr("Open the PDF"), self._open)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self._figures_panel(), 62)
        row.addWidget(self._trend_panel(), 38)
        self.measurement.told.connect(lambda words: self.words.show_text(words, theme.DIM))
        self.measurement.failed.connect(lambda words: self._finish(f"✗ {words}", theme.ALARM))
        self.measurement.done.connect(self._judge)
        self.worker.told.connect(lambda words: self.words.show_text(words, theme.DIM))
        self.worker.done.connect(
            lambda _: self._finish(tr("✓ {name}: pass", name=self.worker.name), theme.GOOD)
        )
        self.worker.failed.connect(lambda words: self._finish(f"✗ {words}", theme.ALARM))
        self._show()

    def _button(self, name: str, act: Callable[[], None]) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(name)
        button.setMinimumHeight(TALL_PX)
        button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: act())
        return button

    def _figures_panel(self) -> Panel:
        panel = Panel(tr("QUALITY CONTROL"), teaches=tr("Of the newest run that one was made of."))
        self.note = panel.note
        buttons = QtWidgets.QHBoxLayout()
        buttons.addWidget(self.make, 3)
        buttons.addWidget(self.open_report, 2)
        own = QtWidgets.QHBoxLayout()
        own.addWidget(self.measure, 3)
        own.addWidget(self.source, 2)
        own.addWidget(self.seconds, 1)
        panel.body.addWidget(self.status)
        panel.body.addWidget(self.table, 1)
        panel.body.addWidget(self.words)
        panel.body.addLayout(own)
        panel.body.addLayout(buttons)
        return panel

    def _trend_panel(self) -> Panel:
        panel = Panel(tr("TREND"), teaches=tr("Of each run, over the days before the newest."))
        self.count = panel.note
        panel.body.addWidget(self.plots, 1)
        return panel

    # --- what there is ------------------------------------------------------------------------

    def refresh(self, link: Link) -> None:
        """Follow the daq: which run was closed last."""
        telemetry = self._telemetry = link.telemetry if link.state == "connected" else None
        self.measurement.follow(telemetry)
        if telemetry is None:
            return
        self._busy_run = telemetry.state in ("armed", "running", "stopping")
        closed = telemetry.state == "closed" and telemetry.folder
        self._last = Path(telemetry.folder).name if closed else "last"
        if self.isVisible():
            self._enable()

    def showEvent(self, event: Any) -> None:
        """Read the existing QCs when the page is shown."""
        super().showEvent(event)
        self.read_anew()

    def read_anew(self) -> None:
        """Read the QCs in the runs' folder again, and show the newest."""
        self._history = qc_history(self._root(), most=MOST_READ).of_newest()
        self._show()

    def _show(self) -> None:
        newest = self._history.newest
        result = newest[1] if newest else None
        status = qc_status(result, _now())
        symbol, colour = LOOKS[status.state][0], theme.shade(LOOKS[status.state][1])
        self.status.show_text(f"{symbol} {_told(status)}", colour)
        self.table.show_result(result)
        trend = trend_of(self._history)
        self.plots.show_trend(trend if trend.results else None)
        runs = len(trend.results)
        self.count.show_text(
            tr("{runs} run{value}", runs=runs, value="s" if runs != 1 else "") if runs else ""
        )
        self.note.show_text(f"{result.scanner} · {result.source}" if result else "")
        if self._history.damaged:
            self.words.show_text(f"⚠ {'; '.join(self._history.damaged)}", theme.WARNING)
        self._enable()

    def _enable(self) -> None:
        free = not (self.worker.busy or self._busy_run or self.measurement.busy)
        self.make.setEnabled(free)
        self.measure.setEnabled(free and self._telemetry is not None)
        self.measure.setToolTip(tr(UNDER_WAY) if self._busy_run else tr(MEASURE_TEACHES))
        self.make.setToolTip(tr(UNDER_WAY) if self._busy_run else "")
        self.open_report.setEnabled(self.report is not None)

    # --- what can be done ---------------------------------------------------------------------

    @property
    def report(self) -> Path | None:
        """The newest QC's PDF, None if there is none."""
        newest = self._history.newest
        path = newest[0] / REPORT_NAME if newest else None
        return path if path is not None and path.is_file() else None

    def _measure(self) -> None:
        source = SOURCES[self.source.currentData()]
        if not source:
            self.words.show_text(tr("choose what stands before the scanner"), theme.WARNING)
        elif not self.measurement.begin(source, self.seconds.value(), self._telemetry):
            self.words.show_text(tr(UNDER_WAY), theme.WARNING)
        self._enable()

    def _make(self) -> None:
        self._judge(self._last)

    def _judge(self, run: str) -> None:
        source = SOURCES[self.source.currentData()]
        words = ["qc", "run", run, "--runs", str(self._root())]
        if self.worker.start("QC", *words, *(["--source", source] if source else [])):
            self.words.show_text(tr("QC …"), theme.DIM)
        self._enable()

    def _finish(self, words: str, colour: str) -> None:
        self.words.show_text(words, colour)
        self.read_anew()

    def _open(self) -> None:
        path = self.report
        if path is None:
            return
        if not QtGui.QDesktopServices.openUrl(QtCore.QUrl.fromLocalFile(str(path))):
            self.words.show_text(
                tr("no program here shows PDF files: {path}", path=path), theme.WARNING
            )

    def end(self) -> None:
        """End running work, for a window that closes."""
        self.worker.end()


def _told(status: QcStatus) -> str:
    if status.state == "none":
        return tr(
            "no QC yet: measure a point, line or cylinder (SPECT: a flood), then press the button"
        )
    return told(status.line.id, status.line.values, status.words)
