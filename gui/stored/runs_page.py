"""The stored runs: search, look at them, decide, compare, replay, reconstruct, export, archive.

What takes time is done by our own commands in another process (:mod:`gui.stored.job`); nothing here
waits. The runs are those of the daq that the console watches, if its folder is on this machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from daq.client.register import running_systems
from gui.image.image_file import StoredImage
from gui.kit import theme
from gui.kit.panels import ElidedLabel, Panel
from gui.kit.words import mark, tr
from gui.link.daq_view import Link
from gui.stored.compare_window import CompareWindow
from gui.stored.job import Job
from gui.stored.run_desk import RunDesk
from gui.stored.run_list import MOST_PICTURES, RunList, picture_of
from gui.stored.sent_words import sent_words
from gui.stored.stored_image import StoredImagePanel
from hw.errors import TomoshibiError

SEARCH_WORDS = mark("search: name, date, protocol, nuclide, condition, review")
NONE_WORDS = mark("no runs here yet")
COMPARE_WORDS = mark("compare: choose the other image, then press Compare again")
NO_IMAGE_WORDS = mark("compare: no image is shown")


class RunsPage(QtWidgets.QWidget):
    """Table and image, and what can be done with the selected run."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address, self._telemetry_folder = address, ""
        self._runs: list[dict[str, Any]] = []
        self._sent: dict[str, Any] = {}
        self._state = self._troubles = ""
        self._wrong, self._outdated = 0, False
        self._held: tuple[str, StoredImage] | None = None
        self.compared: CompareWindow | None = None
        self.lister, self.painter = Job(self), Job(self)
        self.table, self.image = RunList(), StoredImagePanel()
        self.desk = RunDesk(lambda: self.root, lambda: self.image.path)
        self.sent = ElidedLabel(size_px=theme.BASE_PX)
        self.sent.hide()
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText(tr(SEARCH_WORDS))
        self.search.setAccessibleName(tr(SEARCH_WORDS))
        self.search.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)  # keys are the pages'
        self.search.textChanged.connect(self._filter)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self._list_panel(), 56)
        row.addWidget(self.image, 44)
        self.table.chosen.connect(self._look_at)
        self.lister.done.connect(self._take_list)
        self.painter.came.connect(self._take_picture)
        self.lister.failed.connect(lambda words: self.desk.say(f"✗ {words}", theme.ALARM))
        self.desk.changed.connect(self._after_work)
        self.desk.compare.connect(self._compare)

    def _list_panel(self) -> Panel:
        panel = Panel(tr("RUNS"), teaches=tr("All runs in the daq's folder, the newest first."))
        self.count = panel.note
        panel.body.addWidget(self.search)
        panel.body.addWidget(self.table, 1)
        panel.body.addWidget(self.sent)
        panel.body.addWidget(self.desk)
        return panel

    # --- what there is ------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder of the runs: that of the watched daq, or this user's."""
        try:
            for system in running_systems():
                if system.endpoint == self._address:
                    return Path(system.runs)
        except (TomoshibiError, OSError):
            pass
        if self._telemetry_folder:
            return Path(self._telemetry_folder).parent
        return Path(os.environ.get("TOMOSHIBI_RUNS", "runs"))

    def refresh(self, link: Link) -> None:
        """Follow the daq: list a run that was closed, show an image that was read."""
        telemetry = link.telemetry
        if telemetry is not None:
            self._telemetry_folder = telemetry.folder
            if telemetry.state != self._state and telemetry.state in ("closed", "idle"):
                self.list_anew()
            self._state = telemetry.state
        scanning = self._state in ("armed", "running", "stopping")
        self.desk.note_scan(scanning=scanning and link.state == "connected")
        if self.isVisible():
            self.image.refresh()

    def list_anew(self) -> None:
        """Request the list if the page is shown; if one is being made already, request one more
        after it.
        """
        if self.isVisible():
            words = ("runs", "--runs", str(self.root))
            self._outdated = not self.lister.start(tr("list of runs"), *words)

    def showEvent(self, event: Any) -> None:
        """List the runs when the page is shown."""
        super().showEvent(event)
        self.list_anew()

    def _take_list(self, found: Any) -> None:
        self._runs, self._sent = found.get("runs", []), found.get("sent", {})
        self._tell_sent()
        self._tell_troubles(found.get("damaged", {}), found.get("need_recovery", []))
        self._filter()
        newest = str(MOST_PICTURES)
        self.painter.start(tr("pictures"), "runs", "--thumbnails", newest, "--runs", str(self.root))
        if self._outdated:
            self.list_anew()

    def _tell_troubles(self, damaged: dict[str, Any], unfinished: list[str]) -> None:
        """Tell what is wrong with runs: in words once, for others follow; at the count always."""
        named = {tr("✗ damaged"): damaged, tr("⚠ need recovery"): unfinished}
        troubles = "; ".join(f"{what}: {', '.join(runs)}" for what, runs in named.items() if runs)
        self.count.setToolTip(troubles)
        self._wrong = len(damaged) + len(unfinished)
        if troubles and troubles != self._troubles:
            self.desk.say(troubles, theme.ALARM if damaged else theme.WARNING)
        self._troubles = troubles

    def _take_picture(self, message: Any) -> None:
        told = message.get("thumbnail") if isinstance(message, dict) else None
        picture = picture_of(told)
        if told is not None and picture is not None:
            self.table.show_picture(str(told.get("run")), picture)

    def _filter(self) -> None:
        self.table.show_runs(self._runs, search=self.search.text())
        shown, there = self.table.rowCount(), len(self._runs)
        words = (
            tr("{there} run{value}", there=there, value="s" * (there != 1))
            if there
            else tr(NONE_WORDS)
        )
        if shown != there:
            words = tr("{shown} of {there}", shown=shown, there=there)
        wrong = tr("⚠ {wrong} to look after · ", wrong=self._wrong) if self._wrong else ""
        self.count.show_text(wrong + words, theme.WARNING if wrong else "")

    def _look_at(self, name: str) -> None:
        self.image.offer(self.root / name if name else None)
        self.desk.choose(name)
        self._tell_sent()

    def _tell_sent(self) -> None:
        """Show what of the selected run went to an archive."""
        told = self._sent.get(self.table.name)
        self.sent.setVisible(bool(told))
        if told:
            words, good = sent_words(told)
            self.sent.show_text(words, theme.DIM if good else theme.WARNING)

    def _after_work(self) -> None:
        """Show what a command may have made."""
        self.list_anew()
        self._look_at(self.table.name)

    def _compare(self) -> None:
        """Hold the image that is shown; show it beside the next one that is asked for."""
        shown = self.image.shown
        if shown is None:
            self.desk.say(tr(NO_IMAGE_WORDS), theme.WARNING)
            return
        this = f"{self.table.name} · {shown.path.name}", shown
        if self._held is None or self._held[1].path == shown.path:
            self._held = this
            self.desk.say(tr(COMPARE_WORDS), theme.NOTICE)
            return
        if self.compared is not None:
            self.compared.close()
        window = self.compared = CompareWindow(self._held, this)
        window.destroyed.connect(lambda: self._forget(window))
        window.show()
        self._held = None
        self.desk.say("")

    def _forget(self, window: CompareWindow) -> None:
        """Let go of a closed window, unless another one is shown by now."""
        if self.compared is window:
            self.compared = None

    def end(self) -> None:
        """End running work, for a window that closes."""
        for job in (self.lister, self.painter):
            job.end()
        if self.compared is not None:
            self.compared.close()
        self.desk.end()
        self.image.close_reader()
