"""Make the pictures of the console's pages: a real run, each page in turn, checked as it is made.

    python tests/screens.py [--folder docs/images]

In each language at 1280×800, dark; other sizes and the light colours are checked, not kept. A demo
runs beside; the console is this process's. Fails where text is cut, widgets lie upon each other or
outside, or a page has so few colours that nothing can be drawn on it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PIL import Image

from daq.client.client import ClientError, ControlClient
from gui.app.console import application
from gui.app.window import PAGES, ConsoleWindow
from gui.kit.palettes import PALETTES
from hw.messages.endpoints import Endpoints
from hw.notices.language import LANGUAGES
from hw.regions import Cylinder, Region, Sphere, regions_to_json
from rigs.gui.layout_faults import layout_faults

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1280, 800)
OTHER_SIZES = ((1008, 728), (1920, 1040), (3840, 2080))
"""A screen of 1024 × 768, of full HD and of 4K, less what a window manager takes."""

DEMO = (
    "--headless", "--duration", "1200", "--activity-MBq", "0.1", "--live-frames", "5",
    "--firmware", "native",
)  # fmt: skip
"""It is ended once all pictures are there, on a slow machine as well."""
EARLIER = ("--headless", "--duration", "12", "--activity-MBq", "0.5")
"""A run that is stored already, for the page of runs."""

FROM_S = 40.0
"""Detector time from which pictures are taken: frames, curves and scatter are there."""

BOUND_S, FRAMES = 240.0, 8
COLOURS, LEAST_COLOURS = 256, 40
T = TypeVar("T")
REGIONS: list[Region] = [
    Sphere("front", (0.0, 45.0, 10.0), 30.0),
    Cylinder("left", (-35.0, 0.0, 0.0), 24.0, 40.0),
]


def store_a_run(folder: Path) -> None:
    """Make a run that was closed before."""
    argv = [sys.executable, "-m", "daq.cli", "demo", *EARLIER, "--name", "earlier", "--runs"]
    subprocess.run([*argv, str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=BOUND_S)


def choose_the_run(window: ConsoleWindow) -> None:
    """Look at the stored run, once its thumbnail and its image are there."""
    table = window.runs.table

    def row() -> int:
        names = [table.item(number, 0).text() for number in range(table.rowCount())]
        return names.index("earlier") if "earlier" in names else -1

    until(lambda: row() >= 0 and not table.item(row(), 0).icon().isNull(), "the list of runs")
    table.selectRow(row())
    until(lambda: window.runs.image.shown, "the stored image")


@contextmanager
def a_demo(folder: Path) -> Iterator[Endpoints]:
    """Run a demo; yields where it is to be reached."""
    argv = [sys.executable, "-m", "daq.cli", "demo", *DEMO, "--runs", str(folder), "--name", "fdg"]
    with (folder / "demo.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            yield Endpoints(until(lambda: _endpoint(folder / "demo.log"), "the demo"))
        finally:
            process.terminate()
            process.wait(60)


def _endpoint(log: Path) -> str:
    found = re.search(r"--endpoint (\S+)", log.read_text(encoding="utf-8"))
    return found[1] if found else ""


def until(what: Callable[[], T], words: str) -> T:
    """Let Qt work until something is there, and return it; ends the program after the bound."""
    deadline, app = time.monotonic() + BOUND_S, application(headless=True)
    while not (found := what()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{words} did not come within {BOUND_S:g} s")
        app.processEvents()
        time.sleep(0.01)
    return found


def draw_regions(endpoints: Endpoints) -> None:
    """Keep two regions with the run, once it is there."""
    args = json.loads(regions_to_json(REGIONS))
    with ControlClient(endpoints) as client:
        until(lambda: _state(client) == "running", "the run")
        client.call("regions", **args)


def _state(client: ControlClient) -> str:
    """Return the daq's state, "" while it does not answer: a busy machine starts it slowly."""
    try:
        return str(client.call("status")["state"])
    except ClientError:
        return ""


def picture(window: ConsoleWindow, page: str, path: Path) -> list[str]:
    """Take the picture of a page; return what is wrong with it, in words."""
    window.pages.show_page(page)
    if page == "Runs":
        choose_the_run(window)
    drawn_for_s(window, 1.5)
    faults = layout_faults(window)
    window.grab().save(str(path), "PNG", 70)
    with Image.open(path) as taken:
        few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    if len(few.getcolors() or []) < LEAST_COLOURS:
        faults.append(f"only {len(few.getcolors() or [])} colours: is the page empty?")
    return [f"{page}: {fault}" for fault in faults]


def pictures(window: ConsoleWindow, folder: Path) -> Iterator[str]:
    """Take all pictures; yield what is wrong, with where."""
    for language in LANGUAGES:
        window.speak(language)
        mark = "" if language == "en" else f"_{language}"
        for page in PAGES:
            path = folder / f"console_{page.lower()}{mark}.png"
            yield from (f"{language}, {fault}" for fault in picture(window, page, path))
        for palette in PALETTES:
            window.colour(palette)
            for size in OTHER_SIZES:
                window.resize(*size)
                yield from (f"{language}, {palette}, {size}: {one}" for one in checked(window))
        window.resize(*SIZE)
        window.colour("dark")


def checked(window: ConsoleWindow) -> Iterator[str]:
    """Show each page for a moment; yield what is wrong with how it lies."""
    for page in PAGES:
        window.pages.show_page(page)
        drawn_for_s(window, 0.5)
        yield from (f"{page}: {fault}" for fault in layout_faults(window))


def drawn_for_s(window: ConsoleWindow, seconds: float) -> None:
    """Let Qt work for so long, and until the window has drawn what it shows now some times: on a
    slow machine a first layout takes longer, and rows are wrapped after it."""
    since_s, frames = time.monotonic(), window.meter.frames
    until(
        lambda: time.monotonic() - since_s > seconds and window.meter.frames > frames + FRAMES,
        "some frames",
    )


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    application(headless=True)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as opened:
        store_a_run(Path(place))
        endpoints = opened.enter_context(a_demo(Path(place)))
        draw_regions(endpoints)
        window = ConsoleWindow(endpoints)
        window.resize(*SIZE)
        window.show()
        window.timer.start()
        until(lambda: _detector_time_s(window) > FROM_S, f"{FROM_S:g} s of detector time")
        wrong = list(pictures(window, folder))
        window.leaving = True
        window.close()
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{len(PAGES) * len(LANGUAGES)} pictures in {folder}")


def _detector_time_s(window: ConsoleWindow) -> float:
    image = window.link.image
    return image.detector_time_s if image is not None else 0.0


if __name__ == "__main__":
    main()
