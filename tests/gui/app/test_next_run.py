"""The next run's set-up against the real daq: what was set is in force, or refused in words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints

pytestmark = [pytest.mark.gui, pytest.mark.processes]
ROOT = Path(__file__).parents[3]
START_S = 60.0  # of the daq, its kernels perhaps not compiled yet

Pump = Callable[..., None]


@pytest.fixture
def daq(endpoints: Endpoints, tmp_path: Path) -> Iterator[None]:
    """A real acquisition service of the brain scanner, idle."""
    child = subprocess.Popen(
        [sys.executable, "-m", "daq.cli", "acquire", "--endpoint", endpoints.base,
         "--runs", str(tmp_path), "--preset", "caremibrain"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield
    child.kill()  # how a daq ends in good order is tested elsewhere
    child.wait(timeout=60)


def test_what_was_set_is_in_force_after_the_next_arm(
    daq: None, console: ConsoleWindow, pump: Pump
) -> None:
    pump(console.sorting.button.isEnabled, bound_s=START_S)
    console.sorting.button.click()
    dialog = console.sorting.dialog
    assert dialog is not None
    dialog.editors["policy"].setCurrentIndex(dialog.editors["policy"].findData("RemoveMultiples"))
    for name, text in {"window_ps": "3.2", "delay_windows": "3", "windows": "Lu-177@208.4"}.items():
        dialog.editors[name].setText(text)
    dialog.use.click()
    console.run_bar.buttons["arm"].click()
    values = console.sorting.values
    pump(lambda: values["Policy"].text() == "GATE RemoveMultiples", bound_s=START_S)
    assert values["Window"].text().startswith("±3.2 ns")
    assert values["Delayeds"].text() == "3 × D 500 ns, one-sided, factor 3"
    assert values["Energy"].text() == "350–650 keV + 3 windows"  # levels as the preset has them
    assert console.sorting.table.rowCount() == 3


def test_what_only_the_daq_can_judge_is_refused_in_words(
    daq: None, console: ConsoleWindow, pump: Pump
) -> None:
    pump(console.sorting.button.isEnabled, bound_s=START_S)
    console.sorting.button.click()
    assert console.sorting.dialog is not None
    # Without a run the form does not know the preset's D = 500 ns; the daq does.
    console.sorting.dialog.editors["window_ps"].setText("300")
    console.sorting.dialog.use.click()
    console.run_bar.buttons["arm"].click()
    pump(lambda: "arm refused" in console.run_bar.notice.toolTip(), bound_s=START_S)
    assert "delay_ps = 500000 must be above 2 × window_ps" in console.run_bar.notice.toolTip()
    assert console.run_bar.state.text() == "○ IDLE"
