"""The QC page: made by a job of the last run, shown with limits and trends, its PDF opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyqtgraph.Qt import QtGui

from daq.folder.quality.qc_result import read_qc
from gui.app.window import ConsoleWindow
from gui.stored.qc_page import QcPage
from gui.stored.qc_trend_plots import y_range
from gui.stored.runs_page import RunsPage
from hw.messages.endpoints import Endpoints
from rigs.gui.feeder import Feeder, Script
from rigs.runs.spect_run_folder import flood_run

pytestmark = [pytest.mark.gui, pytest.mark.timeout(180)]
Pump = Callable[..., None]
LIMITS = "least_flood_counts = 300.0\nmost_integral_ufov_percent = 15.0\n" + "\n".join(
    f"most_{kind}_percent = 15.0"
    for kind in ("integral_cfov", "differential_ufov", "differential_cfov")
)


@pytest.fixture
def page(console: ConsoleWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QcPage:
    monkeypatch.setattr(RunsPage, "root", tmp_path)
    console.pages.show_page("QC")
    return console.qc


def cells(page: QcPage, column: int) -> dict[str, str]:
    found = {}
    for row in range(page.table.rowCount()):
        name, item = page.table.item(row, 0), page.table.item(row, column)
        if name is not None and item is not None:
            found[name.text().strip()] = item.text()
    return found


def make(page: QcPage, pump: Pump) -> None:
    page.make.click()
    assert not page.make.isEnabled()
    pump(lambda: not page.worker.busy, bound_s=120)


def test_without_any_the_page_says_what_to_do(page: QcPage) -> None:
    assert page.status.toolTip().startswith("○ no QC yet: measure a point, line or cylinder")
    assert page.table.rowCount() == 0
    assert not page.open_report.isEnabled()
    assert all(not plot.isVisible() for plot in page.plots.plots)


def test_one_button_makes_it_of_the_last_run(
    page: QcPage, pump: Pump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood_run(tmp_path, name="monday", limits=LIMITS)
    make(page, pump)
    assert page.words.toolTip() == "✓ QC: pass"
    assert page.status.toolTip().startswith("✓ valid, ")
    assert cells(page, 3)["integral, UFOV"] == "✓ pass"
    assert cells(page, 2)["integral, UFOV"] == "≤ 15 %"
    assert page.count.text() == "1 run"
    opened: list[str] = []
    monkeypatch.setattr(
        QtGui.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True
    )
    page.open_report.click()
    assert opened == [str(tmp_path / "qc" / "monday" / "qc.pdf")]
    flood_run(tmp_path, name="tuesday", tilt=0.3, limits=LIMITS)
    make(page, pump)
    assert page.words.toolTip().startswith("✗ QC: QC of tuesday: FAIL: integral, UFOV")
    assert page.status.toolTip().startswith("✗ failed: integral, UFOV")
    assert cells(page, 3)["integral, UFOV"] == "✗ FAIL"
    assert page.count.text() == "2 runs"
    assert page.plots.plots[0].isVisible()
    assert read_qc(tmp_path / "qc" / "tuesday").verdict == "FAIL"


def test_what_the_run_was_not_is_told_in_the_jobs_words(
    page: QcPage, pump: Pump, tmp_path: Path
) -> None:
    flood_run(tmp_path, name="heart", phantom="heart", limits=LIMITS)
    make(page, pump)
    assert "its phantom was 'heart'" in page.words.toolTip()
    page.source.setCurrentText("flood")
    make(page, pump)
    assert page.words.toolTip() == "✓ QC: pass"


def test_while_a_run_is_under_way_none_is_made(
    endpoints: Endpoints, page: QcPage, pump: Pump
) -> None:
    with Feeder(endpoints):
        pump(lambda: not page.make.isEnabled())
        assert "under way" in page.make.toolTip()


def test_one_button_takes_a_run_of_its_own_and_judges_it(
    endpoints: Endpoints, page: QcPage, pump: Pump, tmp_path: Path
) -> None:
    with Feeder(endpoints, Script(state="idle", run="", no_images=True)) as feeder:
        pump(page.measure.isEnabled)
        page.measure.click()
        assert page.words.toolTip() == "choose what stands before the scanner"
        page.source.setCurrentText("flood")
        page.seconds.setValue(30)
        page.measure.click()
        pump(lambda: bool(feeder.commands))
        arm = feeder.commands[0]
        assert (arm.name, arm.args["aside"], arm.args["duration_s"]) == ("arm", True, 30)
        assert arm.args["labels"] == {"phantom": "flood", "purpose": "QC"}
        assert not page.measure.isEnabled() and not page.make.isEnabled()
        name = str(arm.args["name"])
        feeder.script.folder = str(tmp_path / name)
        pump(lambda: [one.name for one in feeder.commands] == ["arm", "start"])
        pump(lambda: page.words.toolTip().startswith("QC: measuring"))
        flood_run(tmp_path, name=name, limits=LIMITS)
        feeder.script.state = "closed"
        pump(lambda: page.words.toolTip() == "✓ QC: pass", bound_s=120)
        assert read_qc(tmp_path / "qc" / name).verdict == "pass"
        pump(page.measure.isEnabled)


def test_a_refused_measurement_says_why_and_ends(
    endpoints: Endpoints, page: QcPage, pump: Pump
) -> None:
    script = Script(state="idle", run="", no_images=True, refuse="A has control: ask for it")
    with Feeder(endpoints, script):
        pump(page.measure.isEnabled)
        page.source.setCurrentText("¹⁷⁶Lu background")
        page.measure.click()
        pump(lambda: "A has control" in page.words.toolTip())
        assert page.words.toolTip().startswith("✗ QC: not measured: ")
        pump(page.measure.isEnabled)


@pytest.mark.parametrize("values", [[511.0], [0.0, 0.0], [400.0, 410.0], [-1.0, 1.0]])
def test_a_trend_never_touches_the_plots_edge(values: list[float]) -> None:
    low, high = y_range(np.array(values))
    assert low < min(values)
    assert max(values) < high
