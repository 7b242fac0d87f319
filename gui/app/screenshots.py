"""Screenshots of the real window while it shows live data, for runs without a display and docs.

A screenshot replaces its predecessor in one step (written beside it, then renamed), so that nobody
ever reads half of one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.link.daq_view import Link
from hw.errors import TomoshibiError

if TYPE_CHECKING:
    from gui.app.window import ConsoleWindow

Event = Literal["first-image", "running", "closed", "final"]
EVENTS: tuple[Event, ...] = ("first-image", "running", "closed", "final")
FINAL_IMAGE_BOUND_S = 10.0
SETTLE_S = 0.25  # every panel has had its turn by then
FILE_NAME = "console.png"


class ScreenshotError(TomoshibiError):
    """A screenshot that could not be written; the message says where and why."""


@dataclass(frozen=True)
class Shot:
    """A screenshot to take once: at a time in seconds since the console opened, or at an event.

    page : the page to photograph, by default the one that is shown
    """

    when: float | Event
    path: Path
    page: str = ""


def take(window: QtWidgets.QWidget, path: Path) -> None:
    """Write a screenshot of ``window`` as PNG to ``path``, replacing it in one step.

    Raises
    ------
    ScreenshotError
        if the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not window.grab().save(str(beside), "PNG", 70):
            raise OSError("Qt could not encode or write it")
        beside.replace(path)
    except OSError as error:
        raise ScreenshotError(f"screenshot {path}: {error}; is the disk full?") from error


class Photographer:
    """Takes the screenshots when they are due.

    ``finished`` becomes true when the run has closed and its final image is in the last screenshot
    (or has not come within 10 s, or before the daq left, which it then shows as well).

    Parameters
    ----------
    window : the console to photograph
    folder : where screenshots go; None for no repeated one
    every_s : interval of the repeated screenshot, s
    shots : further screenshots, each taken once
    file_name : of the repeated screenshot
    page : the page to show while a screenshot is taken; by default the one that is shown
    """

    def __init__(
        self,
        window: ConsoleWindow,
        *,
        folder: Path | None = None,
        every_s: float = 5.0,
        shots: Sequence[Shot] = (),
        file_name: str = FILE_NAME,
        page: str = "",
    ) -> None:
        self._window, self._page = window, page
        self._folder = folder
        self._file_name = file_name
        self._every_s = every_s
        self._due = list(shots)
        self._opened_s = time.monotonic()
        self._next_s = self._opened_s + min(2.0, every_s)
        self._closed_s: float | None = None
        self._complete_s: float | None = None
        self._was_running = False
        self.taken: list[str] = []
        self.failure = ""
        self.finished = False

    def consider(self, link: Link) -> None:
        """Take the screenshots due now."""
        now_s = time.monotonic()
        events = self._events(link, now_s)
        for shot in [shot for shot in self._due if self._is_due(shot, events, now_s)]:
            self._due.remove(shot)
            self._take(shot.path, shot.page)
        if self._folder is None:
            self.finished = self.finished or "final" in events
            return
        ended = "final" in events and not self.finished
        if ended or (now_s >= self._next_s and not self.finished and link.state == "connected"):
            self._next_s = now_s + self._every_s
            self._take(self._folder / self._file_name)
        self.finished = self.finished or ended

    def last(self, link: Link) -> None:
        """Take a last screenshot when the console must exit, unless the final one is there."""
        if self._folder is not None and not self.finished and link.state == "connected":
            self._take(self._folder / self._file_name)

    def _is_due(self, shot: Shot, events: set[str], now_s: float) -> bool:
        if isinstance(shot.when, str):
            return shot.when in events
        return now_s - self._opened_s >= shot.when

    def _events(self, link: Link, now_s: float) -> set[str]:
        telemetry = link.telemetry
        has_left = link.state == "silent" and self._closed_s is not None
        if telemetry is None or not (link.state == "connected" or has_left):
            return set()
        events: set[str] = set()
        if (link.image is not None and link.image_is_of_run) or _has_pictures(link):
            events.add("first-image")
        if telemetry.state == "running":
            self._was_running, self._closed_s, self._complete_s = True, None, None
            self.finished = False
            events.add("running")
        if telemetry.state in ("closed", "error") and self._was_running:
            self._closed_s = now_s if self._closed_s is None else self._closed_s
            events.add("closed")
            if not self._final_image(link):
                self._complete_s = None
            elif self._complete_s is None:
                self._complete_s = now_s
            settled = self._complete_s is not None and now_s - self._complete_s >= SETTLE_S
            if settled or has_left or now_s - self._closed_s > FINAL_IMAGE_BOUND_S:
                events.add("final")
        return events

    @staticmethod
    def _final_image(link: Link) -> bool:
        pictures = link.projections
        if link.single_photons and not (_has_pictures(link) and pictures and pictures.final):
            return False
        return bool(link.image and link.image.final and link.image_is_of_run)

    def _take(self, path: Path, page: str = "") -> None:
        before, page = self._window.pages.current, page or self._page
        if page:
            self._window.pages.show_page(page)
            self._window.module_page.refresh(self._window.link)
            _lay_out()
        try:
            take(self._window, path)
        except ScreenshotError as error:
            self.failure = str(error)
            return
        finally:
            self._window.pages.show_page(before)
        if str(path) not in self.taken:
            self.taken.append(str(path))


def _lay_out() -> None:
    """Have what a page shows laid out at once: a picture is taken before the event loop goes on."""
    for _ in range(4):  # a layout within a layout asks for its turn as the outer one has it
        QtCore.QCoreApplication.sendPostedEvents()


def _has_pictures(link: Link) -> bool:
    """Whether there are planar pictures of the run."""
    return link.projections is not None and link.projections_are_of_run
