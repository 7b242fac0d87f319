"""A first scan as a person takes it, with mouse and keys; prints how many of each it needed.

    python tests/first_scan.py [--whole] [--shots FOLDER] [--runs FOLDER] [--json]

Acquisition, emulator and imager are processes as they are at the scanner; the console is this
process's window, on the display that there is (or offscreen). A click must reach what is on the
screen at that place, so a part that is hidden, cut off or disabled ends the scan with its name.
Protocol, form, arm, start, look, region, stop, open, reconstruct, sign, report; then a second scan,
in which the emulator is killed, the alarm answered, and the emulator started again. ``--whole``
goes on: a third scan, in which imager and acquisition are killed, too; a replay of the first; and
a QC of a run of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

from pyqtgraph.Qt import QtWidgets
from PySide6.QtTest import QTest

from gui.app.console import application
from gui.app.window import ConsoleWindow
from rigs.gui.person import LEFT, Key, Person, until
from rigs.gui.scanner_system import System, a_system

SIZE = (1280, 800)
PROTOCOL = "pet-counts v1"
QC_S = 12


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
    """The patient and study form, and the protocol."""
    study = person.window.study
    person.page("Study")
    for name, text in (("patient_id", "P-0042"), ("weight_kg", "70"), ("tracer", "FDG F-18")):
        person.write(study.editors[name], text)
    person.write(study.editors["injected_MBq"], "185")
    person.write(study.editors["injected_at"], time.strftime("%H:%M", time.localtime()))
    person.choose(study.editors["patient_position"], "HFS")
    person.choose(study.protocol.box, PROTOCOL)
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
    until(lambda: runs.image.shown is not None, "the run's image")
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


def again(person: Person) -> int:
    """The same scan once more; returns how many clicks that takes."""
    window = person.window
    before = person.clicks
    person.click(window.run_bar.buttons["start"])  # it says Again
    in_state(window, "armed")
    until(window.run_bar.buttons["start"].isEnabled, "Start")
    until_later = time.monotonic() + 1.0
    until(lambda: time.monotonic() > until_later, "a breath")
    person.click(window.run_bar.buttons["start"])
    in_state(window, "running")
    detector_time(window, 1.0)
    return person.clicks - before


def second_scan(person: Person, system: System) -> None:
    """Two clicks; then the source dies, is answered for, and is started again."""
    window = person.window
    print(f"a second scan for the same patient: {again(person)} clicks", file=sys.stderr)
    system.kill("emulate")
    until(lambda: not window.alarms.isHidden(), "the alarm")
    person.look("alarm")
    person.key(Key.Key_F10)
    system.start_emulator()
    until(lambda: len(window.link.telemetry.interruptions) > 0, "the source's return")
    person.hold(window.run_bar.buttons["stop"])
    in_state(window, "closed")


def third_scan(person: Person, system: System) -> None:
    """Imager and daq die, are named while they are away, and go on with the run."""
    window = person.window
    again(person)
    system.kill("imager")
    until(lambda: "imager silent" in window.run_bar.reason.toolTip(), "word of a silent imager")
    system.start("imager")
    until(lambda: "imager silent" not in window.run_bar.reason.toolTip(), "the imager's return")
    system.kill("acquire")
    until(lambda: not window.veil.isHidden(), "word of a silent daq")
    person.look("no-daq")
    system.start_acquisition()
    until(lambda: window.link.state == "connected", "the daq's return")
    in_state(window, "running")
    until(lambda: len(window.link.telemetry.interruptions) > 0, "the gap's name")
    until(lambda: "segment 2" in window.run_bar.reason.toolTip(), "the segment's name")
    person.look("segment-2")
    person.hold(window.run_bar.buttons["stop"])
    in_state(window, "closed")


def replay(person: Person, run: str) -> None:
    """Replay a stored run in a console beside this one, and end that."""
    runs = person.window.runs
    person.page("Runs")
    names = lambda: [runs.table.item(row, 0).text() for row in range(runs.table.rowCount())]  # noqa: E731
    until(lambda: run in names(), f"{run} in the list")
    place = runs.table.visualItemRect(runs.table.item(names().index(run), 0)).center()
    QTest.mouseClick(runs.table.viewport(), LEFT, pos=place)
    person.clicks += 1
    before = set(runs.root.glob("*/summary.json"))
    button = runs.desk.buttons["Replay…"]
    person.answer("20", lambda: person.click(button))
    until(lambda: set(runs.root.glob("*/summary.json")) - before, "the replay's end")
    person.click(button)
    until(lambda: not runs.desk.player.busy, "the end of the replay's console")
    person.look("replay")


def quality(person: Person) -> str:
    """Take a QC's run and have it judged; returns what the page says of it."""
    page = person.window.qc
    person.page("QC")
    person.choose(page.source, "point")
    person.click(page.seconds)
    person.overwrite(page.seconds.lineEdit(), str(QC_S))
    person.click(page.measure)
    until(lambda: page.table.rowCount() and not page.worker.busy, "the QC's figures")
    person.look("qc")
    return str(page.words.toolTip())


def scan(system: System, person: Person, *, whole: bool) -> dict[str, object]:
    """Do all of it; returns what it took."""
    begun = time.monotonic()
    in_state(person.window, "idle")
    until(person.window.run_bar.buttons["arm"].isEnabled, "Arm")
    fill_in(person)
    take(person, least_s=4.0)
    taken = {"clicks_to_a_closed_run": person.clicks, "keys_to_a_closed_run": person.keys}
    review(person)
    report(person)
    told: dict[str, object] = {"window": QtWidgets.QApplication.instance().platformName()}
    told |= {**taken, "clicks": person.clicks, "keys": person.keys}
    told["start_acknowledged_ms"] = round(person.acknowledged_ms)
    told["seconds"] = round(time.monotonic() - begun, 1)
    second_scan(person, system)
    if whole:
        third_scan(person, system)
        replay(person, min(path.name for path in system.runs.iterdir() if path.is_dir()))
        told["qc"] = quality(person)
    return told | {"runs": sorted(path.name for path in system.runs.iterdir() if path.is_dir())}


def main() -> None:
    """Take the scan and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--whole", action="store_true", help="with a third scan, replay and QC")
    parser.add_argument("--shots", type=Path, metavar="FOLDER", help="keep pictures of the steps")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="keep the runs here")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    asked = parser.parse_args()
    for folder in filter(None, (asked.shots, asked.runs)):
        folder.mkdir(parents=True, exist_ok=True)
    app = application(headless=not os.environ.get("DISPLAY"))
    with a_system(asked.runs) as system:
        window = ConsoleWindow(system.endpoints)
        window.resize(*SIZE)
        window.show()
        window.timer.start()
        try:
            told = scan(system, Person(window, asked.shots), whole=asked.whole)
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
