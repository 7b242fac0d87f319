"""A first scan as a person takes it, with mouse and keys; prints how many of each it needed.

    python tests/first_scan.py [--shots FOLDER] [--runs FOLDER] [--json]

Acquisition, emulator and imager are processes as they are at the scanner; the console is this
process's window, on the display that there is (or offscreen). A click must reach what is on the
screen at that place, so a part that is hidden, cut off or disabled ends the scan with its name.
Form, arm, start, look, region, stop, open, reconstruct, sign, report; then a second scan, in which
the emulator is killed, the alarm answered, and the emulator started again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

from pyqtgraph.Qt import QtCore, QtWidgets
from PySide6.QtTest import QTest

from gui.app.console import application
from gui.app.hold_button import HOLD_S
from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.layout_faults import layout_faults

BOUND_S = 120.0
SIZE = (1280, 800)
PRESET = "bench2"
LEFT = QtCore.Qt.MouseButton.LeftButton
Key = QtCore.Qt.Key
T = TypeVar("T")


def until(what: Callable[[], T], words: str) -> T:
    """Let Qt work until something is there, and return it; ends the program after the bound."""
    deadline = time.monotonic() + BOUND_S
    while not (found := what()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{words} did not come within {BOUND_S:g} s")
        QtWidgets.QApplication.processEvents()
        time.sleep(0.01)
    return found


@dataclass
class System:
    """The processes at the scanner, each started by the command that docs/operations.md names."""

    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(f"ipc://{self.folder / 'q'}")

    def start(self, command: str, *options: str) -> None:
        """Start a command of ours."""
        argv = [sys.executable, "-m", "daq.cli", command, *options]
        log = (self.folder / f"{command}.log").open("ab")
        with log:
            self.children[command] = subprocess.Popen(
                [*argv, "--endpoint", self.endpoints.base], stdout=log, stderr=log
            )

    def start_emulator(self) -> None:
        """Start, or start again, what stands in for the detectors."""
        self.start("emulate", "--preset", PRESET, "--phantom", "point", "--activity-MBq", "1")

    def kill(self, command: str) -> None:
        """Kill a process, as a crash would."""
        self.children[command].kill()
        self.children[command].wait()

    def end(self) -> None:
        """End all of them."""
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(30)
            child.kill()


@contextlib.contextmanager
def a_system(runs: Path | None) -> Iterator[System]:
    """Acquisition, emulator and imager; ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="tomoshibi-scan-") as place:
        system = System(Path(place))
        if runs is not None:
            system.runs.symlink_to(runs.resolve(), target_is_directory=True)
        try:
            system.start("acquire", "--preset", PRESET, "--runs", str(system.runs))
            system.start_emulator()
            system.start("imager")
            yield system
        finally:
            system.end()


@dataclass
class Person:
    """Hands and eyes at the console: counts clicks and keys, sees only what is on the screen.

    acknowledged_ms : from the click on Start to the console's word that the daq has done it
    """

    window: ConsoleWindow
    shots: Path | None = None
    clicks: int = 0
    keys: int = 0
    acknowledged_ms: float = 0.0
    _shot: int = 0

    def click(self, widget: QtWidgets.QWidget) -> None:
        """Click the middle of a part, once it can be clicked."""
        words = _named(widget)
        until(lambda: widget.isVisible() and widget.isEnabled(), f"{words}, to be clicked,")
        place = widget.rect().center()
        top = widget.window()
        there = top.childAt(widget.mapTo(top, place))  # None outside the window
        if there is not widget and not (there and widget.isAncestorOf(there)):
            raise SystemExit(f"{words} is not where it is to be clicked: {_named(there)} is")
        QTest.mouseClick(widget, LEFT, pos=place)
        self.clicks += 1

    def page(self, name: str) -> None:
        """Go to a page by the rail."""
        self.click(self.window.pages.rail.buttons[name])
        until(lambda: self.window.pages.current == name, f"page {name}")

    def write(self, line: QtWidgets.QLineEdit, text: str) -> None:
        """Click into a field and type."""
        self.click(line)
        QTest.keyClicks(line, text)
        self.keys += len(text)

    def choose(self, box: QtWidgets.QComboBox, text: str) -> None:
        """Open a list by a click and choose by a second one."""
        place = box.findText(text)
        if place < 0:
            raise SystemExit(f"{_named(box)} does not offer {text!r}")
        box.setCurrentIndex(place)
        self.clicks += 2

    def key(self, key: QtCore.Qt.Key) -> None:
        """Press a key in the window."""
        QTest.keyClick(self.window, key)
        self.keys += 1

    def hold(self, button: QtWidgets.QAbstractButton) -> None:
        """Hold a button of what ends or discards."""
        until(button.isEnabled, f"{_named(button)}, to be held,")
        QTest.mousePress(button, LEFT)
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > HOLD_S + 0.3, "the hold")
        QTest.mouseRelease(button, LEFT)
        self.clicks += 1

    def answer(self, text: str, act: Callable[[], None]) -> None:
        """Do what asks for a line, and answer it."""

        def type_it() -> None:
            asked = QtWidgets.QApplication.activeModalWidget()
            if asked is None:
                QtCore.QTimer.singleShot(50, type_it)
                return
            line = asked.findChild(QtWidgets.QLineEdit)
            QTest.keyClicks(line, text)
            QTest.keyClick(line, Key.Key_Return)
            self.keys += len(text) + 1

        QtCore.QTimer.singleShot(50, type_it)
        act()

    def look(self, name: str) -> None:
        """See whether the page can be read, and keep it."""
        if faults := layout_faults(self.window):
            raise SystemExit("\n".join([f"{name}:", *faults]))
        if self.shots is not None:
            self._shot += 1
            self.window.grab().save(str(self.shots / f"{self._shot:02d}-{name}.png"))


def _named(widget: QtWidgets.QWidget | None) -> str:
    if widget is None:
        return "nothing"
    text = getattr(widget, "text", lambda: "")()
    return f"{type(widget).__name__} {(widget.accessibleName() or text).split(chr(10))[0]!r}"


def in_state(window: ConsoleWindow, *names: str) -> None:
    """Wait until the daq tells one of the states."""

    def told() -> bool:
        telemetry = window.link.telemetry
        return telemetry is not None and telemetry.state in names

    until(told, f"state {' or '.join(names)}")


def _nothing_stops(window: ConsoleWindow) -> bool:
    """Whether the list of what to look at before a start is there and has no cross."""
    checks = window.link.telemetry.checks if window.link.telemetry else []
    return bool(checks) and all(check.state != "stops" for check in checks)


def detector_time(window: ConsoleWindow, least_s: float) -> None:
    """Wait until the run is so old."""

    def reached() -> bool:
        telemetry = window.link.telemetry
        return telemetry is not None and telemetry.detector_time_s >= least_s

    until(reached, f"{least_s:g} s of the run")


def fill_in(person: Person) -> None:
    """The patient and study form."""
    study = person.window.study
    person.page("Study")
    for name, text in (("patient_id", "P-0042"), ("weight_kg", "70"), ("tracer", "FDG F-18")):
        person.write(study.editors[name], text)
    person.write(study.editors["injected_MBq"], "185")
    person.write(study.editors["injected_at"], time.strftime("%H:%M", time.localtime()))
    person.choose(study.editors["patient_position"], "HFS")
    person.look("study")
    person.click(study.use)


def take(person: Person, *, least_s: float) -> None:
    """Arm, start, look at the image, keep a region, stop."""
    window = person.window
    until(lambda: _nothing_stops(window), "what a start needs, by its checks,")
    person.click(window.run_bar.buttons["arm"])
    in_state(window, "armed")
    person.click(window.run_bar.buttons["start"])
    clicked_s = time.monotonic()
    until(lambda: window.desk.notice.text.startswith("✓ start"), "the daq's word on Start")
    person.acknowledged_ms = 1e3 * (time.monotonic() - clicked_s)
    in_state(window, "running")
    person.page("Live")
    until(lambda: window.link.image_is_of_run and window.link.image is not None, "an image")
    person.key(Key.Key_H)
    person.click(window.image.tools.suv)
    person.key(Key.Key_R)
    until(lambda: bool(window.link.image and window.link.image.regions), "the region's reading")
    detector_time(window, least_s)
    person.look("live")
    person.hold(window.run_bar.buttons["stop"])
    in_state(window, "closed")


def review(person: Person) -> None:
    """Open the run, reconstruct it again, keep and sign it."""
    runs = person.window.runs
    person.page("Runs")
    until(lambda: runs.table.rowCount() > 0, "the list of runs")
    first = runs.table.visualItemRect(runs.table.item(0, 0)).center()
    QTest.mouseClick(runs.table.viewport(), LEFT, pos=first)
    person.clicks += 1
    for name in ("Reconstruct", "Keep"):
        person.click(runs.desk.buttons[name])
        until(lambda: not runs.desk.worker.busy, f"{name}: its end")
    sign = runs.desk.buttons["Sign…"]
    person.answer("Dr. Ito", lambda: person.click(sign))
    until(lambda: not runs.desk.worker.busy, "the signature")
    person.look("runs")


def report(person: Person) -> None:
    """The live page as a PDF."""
    person.page("Live")
    tools = person.window.image.tools
    person.click(tools.page)
    asked = until(lambda: tools.page.findChild(QtWidgets.QFileDialog), "where the PDF goes")
    QTest.keyClick(asked, Key.Key_Return)
    person.keys += 1
    until(lambda: tools.words.text().startswith("✓"), "the PDF")
    person.look("report")


def second_scan(person: Person, system: System) -> None:
    """Two clicks; then the source dies, is answered for, and is started again."""
    window = person.window
    before = person.clicks
    person.click(window.run_bar.buttons["start"])  # it says Again
    in_state(window, "armed")
    until(window.run_bar.buttons["start"].isEnabled, "Start")
    until_later = time.monotonic() + 1.0
    until(lambda: time.monotonic() > until_later, "a breath")
    person.click(window.run_bar.buttons["start"])
    in_state(window, "running")
    print(f"a second scan for the same patient: {person.clicks - before} clicks", file=sys.stderr)
    detector_time(window, 1.0)
    system.kill("emulate")
    until(lambda: not window.alarms.isHidden(), "the alarm")
    person.look("alarm")
    person.key(Key.Key_F10)
    system.start_emulator()
    until(lambda: len(window.link.telemetry.interruptions) > 0, "the source's return")
    person.hold(window.run_bar.buttons["stop"])
    in_state(window, "closed")


def scan(system: System, person: Person) -> dict[str, object]:
    """Do all of it; returns what it took."""
    begun = time.monotonic()
    in_state(person.window, "idle")
    until(person.window.run_bar.buttons["arm"].isEnabled, "Arm")
    fill_in(person)
    take(person, least_s=4.0)
    taken = {"clicks_to_a_closed_run": person.clicks, "keys_to_a_closed_run": person.keys}
    review(person)
    report(person)
    told: dict[str, object] = {**taken, "clicks": person.clicks, "keys": person.keys}
    told["start_acknowledged_ms"] = round(person.acknowledged_ms)
    told["seconds"] = round(time.monotonic() - begun, 1)
    second_scan(person, system)
    return told | {"runs": sorted(path.name for path in system.runs.iterdir() if path.is_dir())}


def main() -> None:
    """Take the scan and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shots", type=Path, metavar="FOLDER", help="keep pictures of the steps")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="keep the runs here")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    asked = parser.parse_args()
    for folder in filter(None, (asked.shots, asked.runs)):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = application(headless=True)
    with a_system(asked.runs) as system:
        window = ConsoleWindow(system.endpoints)
        window.resize(*SIZE)
        window.show()
        window.timer.start()
        try:
            told = scan(system, Person(window, asked.shots))
        finally:
            window.leaving = True
            window.close()
            app.processEvents()
    if asked.json:
        print(json.dumps(told))
    else:
        print("\n".join(f"{name}: {value}" for name, value in told.items()))


if __name__ == "__main__":
    main()
