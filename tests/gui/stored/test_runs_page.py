"""Stored runs in the console: real runs, real commands in other processes, a real image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daq.folder.identity.review_file import read_review
from gui.app.window import ConsoleWindow
from gui.stored.job import Job
from gui.stored.run_list import CONDITION, picture_of, row_words
from gui.stored.runs_page import RunsPage
from gui.stored.stored_image import read_image

pytestmark = [pytest.mark.gui, pytest.mark.timeout(120)]
Pump = Callable[..., None]


def names(page: RunsPage) -> list[str]:
    return [page.table.item(row, 0).text() for row in range(page.table.rowCount())]


def test_runs_are_listed_searched_and_their_images_shown(page: RunsPage, pump: Pump) -> None:
    assert set(names(page)) == {"monday", "tuesday"}
    page.search.setText("MON")
    assert names(page) == ["monday"]
    assert page.count.text() == "1 of 2"
    assert page.table.item(0, CONDITION).text() in ("good", "tainted", "incomplete")
    page.table.selectRow(0)
    pump(lambda: page.image.shown is not None, bound_s=30)
    assert page.image._cursor == [10, 8, 6]
    page.image.frame.setValue(1)
    for axis, index in enumerate((4, 5, 6)):
        page.image._move(axis, index)
    assert page.image.words.toolTip() == "✛ 9.00 kBq/mL · bsrem.nii.gz"
    assert page.image.views["Transaxial"].ends["x"] == ("L", "R")
    page.search.setText("tuesday")
    assert page.image.shown is None
    page.search.setText("")


def test_thumbnails_come_from_another_process_and_stay_as_the_list_changes(
    page: RunsPage, pump: Pump
) -> None:
    row = names(page).index("monday")
    pump(lambda: not page.table.item(row, 0).icon().isNull(), bound_s=30)
    assert page.table.item(1 - row, 0).icon().isNull()
    page.search.setText("monday")
    assert not page.table.item(0, 0).icon().isNull()
    page.search.setText("")


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"width": 2, "height": 2, "levels": "AAAA"},
        {"width": 1, "height": 1, "levels": "ä"},
        {"width": 10**9, "height": 1, "levels": ""},
        {"width": -1, "height": -1, "levels": "AA=="},
    ],
)
def test_a_thumbnail_that_is_none_is_left_out(told: object) -> None:
    assert picture_of(told) is None


def test_a_search_finds_what_no_column_has(page: RunsPage, runs: Path) -> None:
    rows = [{**run, "protocol": "fdg-brain@2", "nuclide": "F-18", "conditions": "12 frames lost"}
            for run in page._runs]  # fmt: skip
    page.table.show_runs(rows, search="FDG-brain f-18 lost")
    assert page.table.rowCount() == 2
    assert "nuclide: F-18" in page.table.item(0, 0).toolTip()
    assert page.table.item(0, CONDITION).toolTip() == "12 frames lost"
    page.table.show_runs(rows, search="fdg-brain Tc-99m")
    assert page.table.rowCount() == 0


def test_a_run_is_decided_and_signed_by_a_job(
    page: RunsPage, runs: Path, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.table.selectRow(names(page).index("tuesday"))
    assert page.desk.buttons["Keep"].isEnabled()
    page.desk.buttons["Keep"].click()
    assert not page.desk.buttons["Keep"].isEnabled()
    assert page.desk.buttons["Cancel"].isEnabled()
    pump(lambda: page.desk.words.toolTip() == "✓ review of tuesday: done", bound_s=30)
    monkeypatch.setattr(page.desk, "ask_signature", lambda *_: ("M. Tanaka", "no motion"))
    page.desk.buttons["Sign…"].click()
    pump(lambda: not page.desk.worker.busy, bound_s=30)
    review = read_review(runs / "tuesday")
    assert review is not None
    assert (review.verdict, review.reviewed_by, review.note) == ("keep", "M. Tanaka", "no motion")
    pump(lambda: "keep ✓" in [page.table.item(r, 3).text() for r in range(2)], bound_s=30)


def test_a_damaged_run_is_told_and_hides_no_later_words(
    page: RunsPage, runs: Path, pump: Pump
) -> None:
    config = runs / "tuesday" / "run.json"
    content = config.read_bytes()
    config.write_bytes(content + b" ")
    page.list_anew()
    page.list_anew()  # while the first is being made
    pump(lambda: page.desk.words.toolTip() == "✗ damaged: tuesday", bound_s=30)
    page.table.selectRow(names(page).index("monday"))
    page.desk.buttons["Test"].click()
    pump(lambda: not page.desk.worker.busy, bound_s=30)
    pump(lambda: not page.lister.busy and not page._outdated, bound_s=30)
    assert page.desk.words.toolTip() == "✓ review of monday: done"
    assert page.count.text() == "⚠ 1 to look after · 2 runs"
    config.write_bytes(content)
    page.list_anew()
    pump(lambda: page.count.text() == "2 runs", bound_s=30)


def test_what_a_job_cannot_do_is_told_in_its_words(page: RunsPage, pump: Pump) -> None:
    page.table.selectRow(names(page).index("monday"))
    page.desk.work("review", "review", "monday", "--discard", "")
    pump(lambda: not page.desk.worker.busy, bound_s=30)
    assert "a run is discarded for a reason" in page.desk.words.toolTip()
    assert page.desk.words.toolTip().startswith("✗")


def test_a_job_is_cancelled_as_by_ctrl_c(console: ConsoleWindow, pump: Pump) -> None:
    job, told = Job(console), []
    job.failed.connect(lambda words: told.append(f"failed: {words}"))
    job.cancelled.connect(told.append)
    assert job.start("waiting", "imager", "--endpoint", "ipc:///tmp/nobody-is-here/x")
    assert not job.start("another", "runs")
    pump(lambda: job._process is not None and job._process.processId() > 0, bound_s=30)
    job.cancel()
    pump(lambda: told == ["waiting"], bound_s=30)
    assert not job.busy


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b" + bytes(40)])
def test_an_image_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.nii\.gz cannot be read"):
        read_image(path)


def test_a_row_of_a_damaged_catalogue_is_shown_as_far_as_it_goes() -> None:
    assert row_words({}) == ("", "", "", "", "00:00", "0", "0.0", "")
