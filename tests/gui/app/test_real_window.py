"""A console in a real window with a window manager: what people's keys do there in mid-run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gui.app.hold_button import HOLD_S
from hw.messages.endpoints import Endpoints
from rigs.gui.desktop import Desktop, missing, until
from rigs.gui.feeder import Feeder, Script
from rigs.gui.module_feeder import ModuleFeeder, well

pytestmark = [
    pytest.mark.gui,
    pytest.mark.processes,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(missing()), reason=missing() or "complete"),
]

ROOT = Path(__file__).parents[3]
OPENINGS = 2
TITLE = "Tomoshibi console"
SMALL = "1024x768"
Open = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def desktop() -> Iterator[Desktop]:
    with Desktop(SMALL) as made:
        yield made


@pytest.fixture
def running(endpoints: Endpoints) -> Iterator[Feeder]:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        yield feeder


@pytest.fixture
def open_console(endpoints: Endpoints, desktop: Desktop, tmp_path: Path) -> Iterator[Open]:
    """A function that opens a console in mid-run, and waits until it shows the run."""
    children: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        shot = tmp_path / f"{len(children)}.png"
        where = ["--endpoint", endpoints.base, "--shot", f"running={shot}", "--json"]
        child = subprocess.Popen(
            [sys.executable, "-m", "daq.cli", "console", *where, *options],
            cwd=ROOT, env=desktop.environment
            | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "config")},
            text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        children.append(child)

        def shown() -> bool:
            assert child.poll() is None, child.communicate()[1]
            return shot.exists()

        until(shown, "a console that shows the run")
        return child

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=10)


def test_no_key_ends_a_scan_in_a_window_opened_in_mid_run(
    running: Feeder, open_console: Open, desktop: Desktop
) -> None:
    for _ in range(OPENINGS):
        child = open_console()
        desktop.window(TITLE)
        desktop.type("space", "Return", "KP_Enter", "F7", "F8", "Tab", "space")
        assert desktop.do("getwindowfocus", "getwindowname") == TITLE
        child.terminate()
        child.wait(20)
    assert running.commands == []
    assert running.script.state == "running"


def test_f7_held_ends_it(running: Feeder, open_console: Open, desktop: Desktop) -> None:
    open_console()
    desktop.window(TITLE)
    began_s = time.monotonic()
    desktop.do("keydown", "F7")
    until(lambda: [command.name for command in running.commands] == ["stop"], "the stop")
    assert time.monotonic() - began_s >= HOLD_S
    desktop.do("keyup", "F7")


def test_the_window_managers_close_asks_and_enter_stays(
    running: Feeder, open_console: Open, desktop: Desktop
) -> None:
    child = open_console()
    desktop.window(TITLE)
    desktop.type("alt+F4")
    desktop.window("A scan is running")
    desktop.type("space")
    until(lambda: not desktop.windows("A scan is running"), "the answer")
    assert child.poll() is None
    assert running.commands == []


def test_bias_off_by_its_key_on_the_modules_page_which_fits_the_screen(
    endpoints: Endpoints, running: Feeder, open_console: Open, desktop: Desktop
) -> None:
    with ModuleFeeder(endpoints) as modules:
        open_console("--page", "modules")
        place = desktop.geometry(desktop.window(TITLE))
        width, height = (int(side) for side in SMALL.split("x"))
        assert place["X"] >= 0 and place["X"] + place["WIDTH"] <= width
        assert place["Y"] >= 0 and place["Y"] + place["HEIGHT"] <= height

        def ordered() -> bool:
            modules.tell([well(0), well(1)])
            desktop.type("F9")
            return any(command.name == "module" for command in running.commands)

        until(ordered, "the order")
    order = next(command for command in running.commands if command.name == "module")
    assert order.args == {"action": "bias", "modules": [], "values": {"target_mV": 0}}
