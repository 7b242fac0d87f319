"""The stored runs: search, look at one, decide about it, reconstruct it again in the background.

What takes time is done by our own commands in another process (:mod:`gui.stored.job`); nothing here
waits. The runs are those of the daq that the console watches, if its folder is on this machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from daq.client.register import running_systems
from gui.kit import theme
from gui.kit.panels import ElidedLabel, Panel
from gui.link.daq_view import Link
from gui.stored.job import Job
from gui.stored.run_list import MOST_PICTURES, RunList, picture_of
from gui.stored.stored_image import StoredImagePanel
from hw.errors import TomoshibiError

SEARCH_WORDS = "search: name, date, protocol, nuclide, condition, review"
NONE_WORDS = "no runs here yet"
TALL_PX = 36


class RunsPage(QtWidgets.QWidget):
    """Table and image, with what can be done with the chosen run."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address, self._telemetry_folder = address, ""
        self._runs: list[dict[str, Any]] = []
        self._state = ""
        self.lister, self.painter, self.worker = Job(self), Job(self), Job(self)
        self.table, self.image = RunList(), StoredImagePanel()
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText(SEARCH_WORDS)
        self.search.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)  # keys are the pages'
        self.search.textChanged.connect(self._filter)
        self.words = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self.buttons = {name: self._button(name, act) for name, act in self._acts().items()}
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self._list_panel(), 56)
        row.addWidget(self.image, 44)
        self.table.chosen.connect(self._look_at)
        self.lister.done.connect(self._take_list)
        self.painter.came.connect(self._take_picture)
        self.lister.failed.connect(lambda words: self._say(f"✗ {words}", theme.ALARM))
        self.worker.told.connect(lambda words: self._say(f"{self.worker.name}: {words}"))
        self.worker.done.connect(self._take_result)
        self.worker.failed.connect(self._take_failure)
        self._enable()

    def _acts(self) -> dict[str, Any]:
        return {
            "Keep": lambda: self._review("--keep"),
            "Test": lambda: self._review("--test"),
            "Discard…": self._discard,
            "Sign…": self._sign,
            "Reconstruct": self._reconstruct,
            "Verify": self._verify,
            "Cancel": self.worker.cancel,
        }

    def _button(self, name: str, act: Any) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(name)
        button.setMinimumHeight(TALL_PX)
        button.clicked.connect(lambda: act())
        return button

    def _list_panel(self) -> Panel:
        panel = Panel("RUNS", teaches="All runs in the daq's folder, the newest first.")
        self.count = panel.note
        panel.body.addWidget(self.search)
        panel.body.addWidget(self.table, 1)
        panel.body.addWidget(self.words)
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(4)
        for place, button in enumerate(self.buttons.values()):
            grid.addWidget(button, place // 4, place % 4)
        panel.body.addLayout(grid)
        return panel

    # --- what there is ------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder of the runs: that of the daq that is watched, or this user's."""
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
        """Follow the daq: a run that has closed is listed; take an image that was read."""
        telemetry = link.telemetry
        if telemetry is not None:
            self._telemetry_folder = telemetry.folder
            if telemetry.state != self._state and telemetry.state in ("closed", "idle"):
                self.list_anew()
            self._state = telemetry.state
        if self.isVisible():
            self.image.refresh()

    def list_anew(self) -> None:
        """Ask for the list, if the page is there."""
        if self.isVisible():
            self.lister.start("list of runs", "runs", "--runs", str(self.root))

    def showEvent(self, event: Any) -> None:
        """List the runs as the page comes."""
        super().showEvent(event)
        self.list_anew()

    def _take_list(self, found: Any) -> None:
        self._runs = found.get("runs", [])
        damaged, unfinished = found.get("damaged", {}), found.get("need_recovery", [])
        if damaged:
            self._say(f"✗ damaged: {', '.join(damaged)}", theme.ALARM)
        elif unfinished:
            self._say(f"⚠ need recovery: {', '.join(unfinished)}", theme.WARNING)
        self._filter()
        newest = str(MOST_PICTURES)
        self.painter.start("pictures", "runs", "--thumbnails", newest, "--runs", str(self.root))

    def _take_picture(self, message: Any) -> None:
        told = message.get("thumbnail") if isinstance(message, dict) else None
        picture = picture_of(told)
        if told is not None and picture is not None:
            self.table.show_picture(str(told.get("run")), picture)

    def _filter(self) -> None:
        self.table.show_runs(self._runs, search=self.search.text())
        shown, there = self.table.rowCount(), len(self._runs)
        words = (
            f"{shown} of {there}" if shown != there else f"{there} runs" if there else NONE_WORDS
        )
        self.count.show_text(words)

    def _look_at(self, name: str) -> None:
        self.image.offer(self.root / name if name else None)
        self._enable()

    # --- what can be done ---------------------------------------------------------------------

    def _enable(self) -> None:
        chosen, busy = bool(self.table.name), self.worker.busy
        for name, button in self.buttons.items():
            button.setEnabled(busy if name == "Cancel" else chosen and not busy)

    def _work(self, called: str, *words: str) -> None:
        if self.worker.start(called, *words, "--runs", str(self.root)):
            self._say(f"{called} …")
        self._enable()

    def _review(self, *words: str) -> None:
        self._work(f"review of {self.table.name}", "review", self.table.name, *words)

    def _discard(self) -> None:
        reason = self.ask("Discard", f"Why is {self.table.name} discarded? It is not deleted.")
        if reason:
            self._review("--discard", reason)

    def _sign(self) -> None:
        who = self.ask("Sign", f"Who signs the review of {self.table.name}?")
        if who:
            self._review("--by", who)

    def _reconstruct(self) -> None:
        name = self.table.name
        self._work(f"reconstruction of {name}", "reconstruct", name)

    def _verify(self) -> None:
        name = self.table.name
        self._work(f"verification of {name}", "runs", "--verify", name)

    def ask(self, title: str, question: str) -> str:
        """Ask a person for a line; "" for none."""
        text, given = QtWidgets.QInputDialog.getText(self, title, question)
        return text.strip() if given else ""

    def _take_result(self, _found: Any) -> None:
        self._say(f"✓ {self.worker.name}: done", theme.GOOD)
        self._enable()
        self.list_anew()
        self._look_at(self.table.name)

    def _take_failure(self, words: str) -> None:
        self._say(f"✗ {words}", theme.ALARM)
        self._enable()

    def _say(self, words: str, colour: str = theme.DIM) -> None:
        self.words.show_text(words, colour)

    def end(self) -> None:
        """End what runs, for a window that closes."""
        for job in (self.lister, self.painter, self.worker):
            job.end()
        self.image.close_reader()
