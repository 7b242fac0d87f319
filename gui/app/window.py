"""The console's window: all panels, refreshed 20 times a second from the newest messages.

The layout has fixed proportions, with splitters to change them; it is not saved, so that the
console always opens looking the same. Nothing here waits for anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.app.journal_panel import JournalPanel
from gui.app.refresh_pace import IMAGE_MS, REFRESH_MS, FrameMeter, ScreenLatency
from gui.app.run_bar import RunBar
from gui.app.stale_veil import StaleVeil
from gui.image.live_panel import ImagePanel
from gui.kit import theme
from gui.kit.panels import CalmLabel
from gui.kit.product_mark import PRODUCT, mark_icon
from gui.link.command_desk import CommandDesk
from gui.link.daq_view import Link
from gui.modules.page import ModulePage
from gui.modules.scanner_map import ModulePanel
from gui.projections.planar_panel import ProjectionPanel
from gui.rates.coincidence_rates import RatesPanel
from gui.rates.loss_counters import CountersPanel
from gui.rates.singles_rates import SinglesRatesPanel
from gui.rates.spectra import SpectrumPanel, TimingPanel
from gui.sorting.summary import SortingPanel
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import Telemetry

DISCLAIMER = "Research software — not a medical device"
KEYS = """F3  modules (firmware)
F4  sorting of the next run
F5  arm        F6  start        F7  stop        F8  reset

PgUp, PgDn      transaxial cut up, down (z)
↑, ↓            coronal cut (y)
←, →            sagittal cut (x)
Home            crosshair to the centre
H               crosshair to the hottest voxel
C               next colour map
W               next energy window (projections)
M               modules: rate, live time, state
A               window follows the image, or is held
V               pictures only, and back
F11             full screen
F1              these keys"""


class _Refreshed(Protocol):
    def refresh(self, telemetry: Telemetry) -> None: ...


@dataclass
class Turn:
    """When a panel is drawn: every few frames, at its own offset, if there is something new.

    State, clocks and image are refreshed in every frame. Whole-run histograms and numbers to read
    take turns: nobody sees the difference, and each frame costs the same.
    """

    panel: _Refreshed
    every: int
    offset: int
    _drawn: Telemetry | None = None

    def take(self, frame: int, telemetry: Telemetry) -> None:
        """Draw if it is this panel's turn and it has not drawn this telemetry yet."""
        if frame % self.every == self.offset and telemetry is not self._drawn:
            self._drawn = telemetry
            self.panel.refresh(telemetry)


class ConsoleWindow(QtWidgets.QMainWindow):
    """The technologist's and the physicist's view of a run."""

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()
        self._endpoints = endpoints
        self.link = Link(endpoints)
        self.desk = CommandDesk(endpoints)
        self.meter = FrameMeter()
        self.latency = ScreenLatency()
        self.leaving = False
        self.setWindowTitle(f"{PRODUCT} console")
        self.setWindowIcon(mark_icon())
        self._build()
        self._bind_keys()
        self.timer = QtCore.QTimer(self)
        self.timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self.timer.setInterval(REFRESH_MS)
        self.timer.timeout.connect(self.tick)
        self._image_timer = QtCore.QTimer(self)
        self._image_timer.setInterval(IMAGE_MS)
        self._image_timer.timeout.connect(self._look_for_image)
        self._image_timer.start()

    def _build(self) -> None:
        self.run_bar = RunBar(self.desk)
        self.rates, self.spectrum, self.timing = RatesPanel(), SpectrumPanel(), TimingPanel()
        self.image, self.projections = ImagePanel(self.desk), ProjectionPanel()
        self.singles_rates = SinglesRatesPanel()
        self.singles_rates.hide()
        self.counters, self.modules, self.journal = CountersPanel(), ModulePanel(), JournalPanel()
        self._left = _stack(
            (self.rates, 46), (self.singles_rates, 46), (self.spectrum, 27), (self.timing, 27)
        )
        self.projections.hide()
        self._pictures = _stack((self.image, 56), (self.projections, 44))
        self.sorting = SortingPanel(self.desk)
        self.module_page = ModulePage(self.desk, self)
        self._right = _stack(
            (self.counters, 0), (self.modules, 46), (self.sorting, 0), (self.journal, 54)
        )
        splitter = QtWidgets.QSplitter(QtCore.Qt.Orientation.Horizontal)
        splitter.setHandleWidth(6)
        splitter.setChildrenCollapsible(False)
        for place, (column, share) in enumerate(
            ((self._left, 28), (self._pictures, 56), (self._right, 28))
        ):
            splitter.addWidget(column)
            splitter.setStretchFactor(place, share)
        splitter.setSizes([322, 618, 316])
        central = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(central)
        column.setContentsMargins(6, 6, 6, 3)
        column.setSpacing(6)
        column.addWidget(self.run_bar)
        column.addWidget(splitter, 1)
        column.addLayout(self._footer())
        self.setCentralWidget(central)
        self.veil = StaleVeil(central, covers=splitter)
        self._turns = (
            Turn(self.spectrum, every=2, offset=0),
            Turn(self.timing, every=2, offset=1),
            Turn(self.counters, every=4, offset=0),
            Turn(self.journal, every=4, offset=1),
            Turn(self.modules, every=4, offset=2),
            Turn(self.sorting, every=4, offset=3),
        )

    def _footer(self) -> QtWidgets.QLayout:
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(6, 0, 6, 0)
        disclaimer = CalmLabel(DISCLAIMER, size_px=theme.SMALL_PX, bold=True)
        disclaimer.setStyleSheet(f"color: {theme.LAMP};")
        keys = CalmLabel("F1: keys", size_px=theme.SMALL_PX)
        keys.setObjectName("dim")
        self.pace = CalmLabel(size_px=theme.SMALL_PX)
        self.pace.setObjectName("dim")
        self.pace.setToolTip(
            "Frames per second and cost of a frame (95th percentile), measured; and how long\n"
            "after its last event an image is painted here (median)"
        )
        row.addWidget(disclaimer)
        row.addStretch(1)
        row.addWidget(keys)
        row.addSpacing(24)
        row.addWidget(self.pace)
        return row

    def _bind_keys(self) -> None:
        image = self.image
        for key, action in (
            ("PgUp", lambda: image.step(2, 1)),
            ("PgDown", lambda: image.step(2, -1)),
            ("Up", lambda: image.step(1, 1)),
            ("Down", lambda: image.step(1, -1)),
            ("Right", lambda: image.step(0, 1)),
            ("Left", lambda: image.step(0, -1)),
            ("Home", image.centre),
            ("H", image.seek_hottest),
            ("C", self._next_map),
            ("W", self.projections.next_window),
            ("M", self.modules.next_mode),
            ("A", image.auto.toggle),
            ("V", self.toggle_columns),
            ("F3", self.module_page.toggle),
            ("F1", self.show_keys),
            ("F11", self.toggle_full_screen),
        ):
            QtGui.QShortcut(QtGui.QKeySequence(key), self, action)

    def tick(self) -> None:
        """Receive what is new and show it: one frame."""
        began_s = time.monotonic()
        _, new_image = self.link.poll()
        if new_image:
            self._await_painting()
        new_projections = self.link.poll_projections()
        self._suit(single_photons=self.link.single_photons)
        self.desk.poll()
        self.run_bar.refresh(self.link)
        self._refresh_panels()
        self.image.refresh(self.link, new_image=new_image)
        self.projections.refresh(self.link, new=new_projections)
        self.link.poll_modules()
        self.module_page.refresh(self.link)
        self.veil.refresh(self.link, self._endpoints.base)
        if self.meter.frames % 20 == 0:
            self.pace.show_text(
                f"display {self.meter.rate_Hz:.1f} Hz · {self.meter.percentile_ms(0.95):.1f} ms"
                f" · image {self.latency.percentile_ms(0.5):.0f} ms after its last event"
            )
        self.meter.frame(began_s, 1000.0 * (time.monotonic() - began_s))

    def _look_for_image(self) -> None:
        """Show an image as soon as it comes: otherwise it would wait half a frame on average."""
        if self.link.poll_image():
            self.image.refresh(self.link, new_image=True)
            self._await_painting()

    def _await_painting(self) -> None:
        image = self.link.image
        if image is not None and not image.final and self.link.image_is_of_run:
            self.latency.wait_for(image.event_wall_ns)

    def _suit(self, *, single_photons: bool) -> None:
        """Show the panels for coincidences or for single photons (between runs: as before)."""
        telemetry = self.link.telemetry
        shown = not self.projections.isHidden()
        if single_photons == shown or telemetry is None or telemetry.settings is None:
            return
        self.projections.setVisible(single_photons)
        for panel, of_pairs in (
            (self.rates, True), (self.timing, True), (self.singles_rates, False),
        ):  # fmt: skip
            panel.setVisible(of_pairs != single_photons)

    def _next_map(self) -> None:
        self.image.next_map()
        if not self.projections.isHidden():
            self.projections.next_map()

    def _refresh_panels(self) -> None:
        telemetry = self.link.telemetry
        heard = telemetry if self.link.state == "connected" else None
        self.rates.refresh(heard)
        self.singles_rates.refresh(heard)
        self.sorting.refresh_commands(heard)
        if telemetry is None:
            return
        for turn in self._turns:
            turn.take(self.meter.frames, telemetry)

    def event(self, event: QtCore.QEvent) -> bool:
        """Measure what painting costs; all of the window's painting happens in this event."""
        if event.type() != QtCore.QEvent.Type.UpdateRequest:
            return bool(super().event(event))
        began_s = time.monotonic()
        handled = bool(super().event(event))
        self.meter.painted(1000.0 * (time.monotonic() - began_s))
        self.latency.painted(self.link.now_ns)
        return handled

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Keep the veil over all displays."""
        super().resizeEvent(event)
        QtCore.QTimer.singleShot(0, self._fit_veil)

    def _fit_veil(self) -> None:
        self.veil.fit()

    def toggle_columns(self) -> None:
        """Show the images only, or everything."""
        for column in (self._left, self._right):
            column.setVisible(column.isHidden())

    def toggle_full_screen(self) -> None:
        """Fill the screen, or become a window again."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def show_keys(self) -> None:
        """Show the keyboard commands, without blocking."""
        box = QtWidgets.QMessageBox(self)
        box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("Keys")
        box.setText(KEYS)
        box.setFont(theme.font(13))
        box.open()

    def closeEvent(self, event: QtGui.QCloseEvent) -> None:
        """Stop refreshing and close the sockets; the run goes on without the console."""
        self.timer.stop()
        self._image_timer.stop()
        self.module_page.close()
        self.link.close()
        self.desk.close()
        super().closeEvent(event)


def _stack(*parts: tuple[QtWidgets.QWidget, int]) -> QtWidgets.QWidget:
    column = QtWidgets.QWidget()
    layout = QtWidgets.QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for widget, share in parts:
        layout.addWidget(widget, share)
    return column
