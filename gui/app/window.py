"""The console's window: all panels, refreshed 20 times a second from the newest messages.

Pages on a rail share most panels: each shows those it is about, larger. What a person arranged
(page, columns, size) is kept for the next start, and Ctrl+0 undoes it. Nothing here waits for
anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.app import alarm_strip
from gui.app.alarm_list import AlarmList
from gui.app.alarm_strip import AlarmStrip
from gui.app.bench import COLUMNS_PX, Bench, Panels
from gui.app.footer import Footer
from gui.app.journal_panel import JournalPanel
from gui.app.leave_question import LeaveQuestion
from gui.app.manual import Manual
from gui.app.pages import Page, Pages
from gui.app.refresh_pace import IMAGE_MS, REFRESH_MS, FrameMeter, ScreenLatency
from gui.app.run_bar import RunBar
from gui.app.safety_keys import SafetyKeys
from gui.app.saved_layout import SavedLayout
from gui.app.stale_veil import StaleVeil
from gui.app.turns import Turn
from gui.image.live_panel import ImagePanel
from gui.kit import theme, words
from gui.kit.names import name_the_rest
from gui.kit.product_mark import PRODUCT, mark_icon
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from gui.link.control_share import ControlShare, console_name
from gui.link.daq_view import Link
from gui.modules import bias_off
from gui.modules.page import ModulePage
from gui.modules.scanner_map import ModulePanel
from gui.projections.planar_panel import ProjectionPanel
from gui.rates.coincidence_rates import RatesPanel
from gui.rates.loss_counters import CountersPanel
from gui.rates.singles_rates import SinglesRatesPanel
from gui.rates.spectra import SpectrumPanel, TimingPanel
from gui.sorting.summary import SortingPanel
from gui.stored.qc_page import QcPage
from gui.stored.runs_page import RunsPage
from gui.study.study_page import StudyPage
from hw.messages.endpoints import Endpoints

KEYS = mark(
    """F9  BIAS OFF, all modules, at once, in every window
F10 acknowledge the alarm that is shown
1 … 8  pages: acquire, study, live, rates, modules, runs, QC, journal
F3  modules page, and back
F4  sorting of the next run
F5  arm        F6  start        hold F7  stop        hold F8  reset
F6  after a closed run: the same again

PgUp, PgDn      transaxial cut up, down (z)
↑, ↓            coronal cut (y)
←, →            sagittal cut (x)
Home            crosshair to the centre
H               crosshair to the hottest voxel
C               next colour map
W               next energy window (projections)
M               modules: rate, live time, state
A               window follows the image, or is held
+, −, Z         magnify, less, the whole image
E               one view alone, the next, all three
P               maximum intensity projections, or cuts
R               a region at the crosshair, kept with the run
, . /           frame before, play or pause, next
L               back to the live image
V               live page, and back
Ctrl+0          layout as it was delivered
F11             full screen
F1              these keys"""
)


UNVEILED = ("Study", "Runs", "QC")
"""Pages that do not show the past where the daq is silent."""

OWN_WIDGETS = ("Study", "Modules", "Runs", "QC")
"""Pages that are not an arrangement of the bench."""

PAGES = {
    mark("Acquire"): mark("the run at a glance"),
    mark("Study"): mark("patient, tracer and activity of the next run"),
    mark("Live"): mark("the image, as large as it goes"),
    mark("Rates"): mark("rates, energy, Δt; of SPECT, projections"),
    mark("Modules"): mark("modules with firmware: state, bias, scans"),
    mark("Runs"): mark("stored runs: look, decide, reconstruct again"),
    mark("QC"): mark("daily quality control: figures, limits, trends"),
    mark("Journal"): mark("what happened, and what was lost"),
}


class ConsoleWindow(QtWidgets.QMainWindow):
    """The technologist's and the physicist's view of a run."""

    def __init__(
        self,
        endpoints: Endpoints,
        layout: SavedLayout | None = None,
        *,
        sound: Callable[[], None] | None = None,
    ) -> None:
        """Make the window, arranged as ``layout`` has it, or as delivered; it is kept there.

        sound : called for each sound of an alarm, None for silence
        """
        super().__init__()
        self._resized = QtCore.QTimer(self)  # its child: nothing is fitted once the window is gone
        self._resized.setSingleShot(True)
        self._resized.timeout.connect(self._fit_veil)
        self._endpoints, self._sound = endpoints, sound
        self._layout, self._columns_px = layout, COLUMNS_PX
        self._kind = (False, False)  # of single photons, with an image of the run
        self.link = Link(endpoints)
        self.desk = CommandDesk(endpoints, name=console_name())
        self.control = ControlShare(self.desk)
        self.meter = FrameMeter()
        self.latency = ScreenLatency()
        self.leaving = False
        self.setWindowIcon(mark_icon())
        self.bias_switch = bias_off.BiasSwitch(self.desk)
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
        self.setWindowTitle(tr("{product} console", product=PRODUCT))
        self.question = LeaveQuestion(
            self, self._endpoints.base, leave=self._leave, stop=lambda: self.desk.send("stop")
        )
        self.footer = Footer(
            keys=self.show_keys, manual=self.show_manual, language=self.speak, colours=self.colour
        )
        self.run_bar = RunBar(self.desk, self.bias_switch, self.control)
        self.rates, self.spectrum, self.timing = RatesPanel(), SpectrumPanel(), TimingPanel()
        self.image, self.projections = ImagePanel(self.desk), ProjectionPanel()
        self.singles_rates = SinglesRatesPanel()
        self.counters, self.modules = CountersPanel(), ModulePanel()
        self.journal = JournalPanel(self.desk)
        self.alarms, self.alarm_list = AlarmStrip(self.desk, sound=self._sound), AlarmList()
        self.sorting = SortingPanel(self.desk)
        self.module_page, self.study = ModulePage(self.desk), StudyPage(self.desk)
        self.runs = RunsPage(self._endpoints.base)
        self.qc = QcPage(lambda: self.runs.root, self.desk)
        panels = Panels(
            self.rates, self.singles_rates, self.spectrum, self.timing, self.image,
            self.projections, self.counters, self.modules, self.sorting, self.journal,
            self.alarm_list,
        )  # fmt: skip
        self.bench = Bench(panels, self._note_columns)
        self.pages = Pages()
        central = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(central)
        column.setContentsMargins(6, 6, 6, 3)
        column.setSpacing(6)
        column.addWidget(self.run_bar)
        column.addWidget(self.alarms)
        column.addWidget(self.pages, 1)
        column.addWidget(self.footer)
        self.setCentralWidget(central)
        self.veil = StaleVeil(central, covers=self.pages.area)
        self._add_pages(central)
        if self._layout is not None:
            self._columns_px = self._layout.columns(len(COLUMNS_PX)) or COLUMNS_PX
            self.bench.setSizes(self._columns_px)
            self.pages.show_page(self._layout.page)
        name_the_rest(self)
        self._turns = (
            Turn(self.spectrum, every=2, offset=0),
            Turn(self.timing, every=2, offset=1),
            Turn(self.counters, every=4, offset=0),
            Turn(self.journal, every=4, offset=1),
            Turn(self.modules, every=4, offset=2),
            Turn(self.sorting, every=4, offset=3),
            Turn(self.alarm_list, every=4, offset=0),
        )

    def _add_pages(self, central: QtWidgets.QWidget) -> None:
        for key, (name, teaches) in enumerate(PAGES.items(), start=1):
            own = {
                "Study": self.study, "Modules": self.module_page, "Runs": self.runs, "QC": self.qc,
            }  # fmt: skip
            widget = own.get(name, self.bench)
            self.pages.add(Page(name, str(key), tr(teaches), widget, self._arrange), central)

    def _arrange(self) -> None:
        if self.pages.current in OWN_WIDGETS:
            return  # the hidden bench stays: arranged unseen, it would keep the least size of then
        self.image.set_large(self.pages.current == "Live")
        self.journal.set_large(self.pages.current == "Journal")
        single_photons, with_image = self._kind
        self.bench.arrange(self.pages.current, single_photons=single_photons, with_image=with_image)

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
            ("+", lambda: image.linked.zoom(1, image.cursor)),
            ("-", lambda: image.linked.zoom(-1, image.cursor)),
            ("Z", image.linked.show_all),
            ("E", image.linked.next_single),
            ("P", image.tools.mip.toggle),
            ("R", image.regions.put_here),
            (",", lambda: image.player.step(-1)),
            (".", image.player.toggle),
            ("/", lambda: image.player.step(1)),
            ("L", image.player.go_live),
            ("V", lambda: self.pages.toggle("Live")),
            ("F3", lambda: self.pages.toggle("Modules")),
            ("Ctrl+0", self.reset_layout),
            (alarm_strip.KEY, self.alarms.acknowledge),
            ("F1", self.show_keys),
            ("F11", self.toggle_full_screen),
        ):
            QtGui.QShortcut(QtGui.QKeySequence(key), self.centralWidget(), action)
        at_once = {bias_off.KEY: self.bias_switch.act}
        self._safety_keys = SafetyKeys(self, held=self.run_bar.held_keys, at_once=at_once)

    def tick(self) -> None:
        """Receive what is new and show it: one frame."""
        began_s = time.monotonic()
        _, new_image = self.link.poll()
        if new_image:
            self._await_painting()
        new_projections = self.link.poll_projections()
        self._suit()
        self.desk.poll()
        self.link.poll_modules()
        self.bias_switch.refresh(self.link)
        self.control.refresh(self.link.telemetry if self.link.state == "connected" else None)
        self.run_bar.refresh(self.link)
        self.alarms.refresh(self.link.telemetry if self.link.state == "connected" else None)
        self._refresh_panels()
        self.image.refresh(self.link, new_image=new_image)
        self.projections.refresh(self.link, new=new_projections)
        self.module_page.refresh(self.link)
        self.runs.refresh(self.link)
        self.qc.refresh(self.link)
        self.veil.refresh(self.link, self._endpoints.base, lifted=self.pages.current in UNVEILED)
        if self.meter.frames % 20 == 0:
            self.footer.refresh(self._pace(), busy=self.busy)
        self.meter.frame(began_s, 1000.0 * (time.monotonic() - began_s))

    def _pace(self) -> str:
        return tr(
            "display {rate_Hz:.1f} Hz · {frame_ms:.1f} ms · "
            "image {age_ms:.0f} ms after its last event",
            rate_Hz=self.meter.rate_Hz,
            frame_ms=self.meter.percentile_ms(0.95),
            age_ms=self.latency.percentile_ms(0.5),
        )

    @property
    def busy(self) -> bool:
        """Whether a job is under way that would be lost with the widgets that began it."""
        desk, qc = self.runs.desk, self.qc
        works = (desk.worker, desk.player, qc.worker, qc.measurement)
        return any(work.busy for work in works)

    def speak(self, language: str) -> None:
        """Switch to another language, unless a job is under way."""
        if not self.busy:
            words.speak(language)
            self._chose("language", language)

    def colour(self, palette: str) -> None:
        """Switch to other colours, unless a job is under way."""
        if not self.busy:
            theme.apply_theme(QtWidgets.QApplication.instance(), palette)
            self._chose("theme", palette)

    def _chose(self, name: str, value: str) -> None:
        if self._layout is not None:
            self._layout.choose(name, value)
        self._rebuild()

    def _rebuild(self) -> None:
        """Make all widgets anew; what was typed, shown and chosen stays."""
        page, before = self.pages.current, self._lasting()
        self._end_widgets()
        old = self.takeCentralWidget()
        self._build()
        self._bind_keys()
        for panel, other in zip(self._lasting(), before, strict=True):
            panel.go_on_from(other)
        self._kind = (False, False)
        self.bench.setSizes(self._columns_px)
        self.pages.show_page(page)
        old.deleteLater()

    def _lasting(self) -> tuple[Any, ...]:
        return self.rates, self.singles_rates, self.journal, self.study, self.image

    def _end_widgets(self) -> None:
        self.question.hide()
        self.question.deleteLater()
        self.runs.end()
        self.image.end()
        self.qc.end()
        self._safety_keys.close()

    def _look_for_image(self) -> None:
        """Show an image as soon as it comes: otherwise it would wait half a frame on average."""
        if self.link.poll_image():
            self.image.refresh(self.link, new_image=True)
            self._await_painting()

    def _await_painting(self) -> None:
        image = self.link.image
        if image is not None and not image.final and self.link.image_is_of_run:
            self.latency.wait_for(image.event_wall_ns)

    def _suit(self) -> None:
        """Show the panels for coincidences or for single photons (between runs: as before)."""
        link, telemetry = self.link, self.link.telemetry
        if telemetry is None or telemetry.settings is None:
            return
        kind = link.single_photons, link.image is not None and link.image_is_of_run
        if kind != self._kind:
            self._kind = kind
            self._arrange()

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
        self.study.refresh(heard)
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
        self._resized.start(0)

    def _fit_veil(self) -> None:
        self.veil.fit()

    def reset_layout(self) -> None:
        """Restore the layout as delivered, and forget the one that was kept."""
        self.pages.show_page(self.pages.names[0])
        self._columns_px = COLUMNS_PX
        self.bench.setSizes(COLUMNS_PX)
        if self._layout is not None:
            self._layout.forget()

    def _keep_layout(self) -> None:
        if self._layout is None:
            return
        size = (self.width(), self.height())
        self._layout.keep(size=size, page=self.pages.current, columns=self._columns_px)

    def _note_columns(self, widths_px: list[int]) -> None:
        self._columns_px = widths_px

    def toggle_full_screen(self) -> None:
        """Fill the screen, or return to a window."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def show_keys(self) -> None:
        """Show the keyboard commands, without blocking."""
        box = QtWidgets.QMessageBox(self)
        box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle(tr("Keys"))
        box.setText(tr(KEYS))
        box.setFont(theme.font(13))
        box.open()

    def show_manual(self) -> None:
        """Show the manual's section on the page that is shown."""
        Manual(self).show_page(self.pages.current)

    @property
    def _in_mid_run(self) -> bool:
        telemetry = self.link.telemetry
        on = telemetry is not None and telemetry.state in ("running", "stopping")
        return on and self.link.state == "connected"

    def _ask_before_leaving(self) -> None:
        self.question.open()
        self.question.raise_()

    def _leave(self) -> None:
        self.leaving = True
        self.close()

    def closeEvent(self, event: QtGui.QCloseEvent) -> None:
        """During a run, ask first; then stop refreshing and close the sockets. The run goes on."""
        if self._in_mid_run and not self.leaving:
            event.ignore()
            self._ask_before_leaving()
            return
        self._keep_layout()
        self._end_widgets()
        self.timer.stop()
        self._image_timer.stop()
        self.link.close()
        self.control.end()
        self.desk.close()
        super().closeEvent(event)
