"""Whether the newest QC holds: by its run's age, its verdict, and for this instrument alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import numpy as np
import pytest

from daq.folder.quality.qc_history import qc_history, qc_status
from daq.folder.quality.qc_result import FILE_NAME, QcPart, QcResult, new_qc, write_qc
from daq.folder.quality.qc_trend import trend_head, trend_of, trend_rows
from hw.scanner.judged_figure import Figure

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
GOOD = Figure("CTR", 400.0, "ps", limit_key="most_ctr_ratio", limit=460.0)


def of(hours_ago: float, *, ctr_ps: float = 400.0, run: str = "", serial: str = "bench2-0001",
       scanner: str = "bench2", reason: str = "") -> QcResult:  # fmt: skip
    measured = NOW - dt.timedelta(hours=hours_ago)
    figure = msgspec.structs.replace(GOOD, value=ctr_ps)
    return QcResult(
        run=run or f"{measured:%Y%m%d-%H%M}", scanner=scanner, serial=serial, modality="PET",
        source="point", measured=measured.isoformat(), made=NOW.isoformat(), detector_time_s=60.0,
        calibration="none", overdue_h=24.0, trend={"CTR, ps": ctr_ps},
        parts=(QcPart(title="Timing", figures=(figure,)), QcPart(title="Crystals", reason=reason)),
    )  # fmt: skip


def kept(root: Path, *results: QcResult) -> Path:
    for result in results:
        with new_qc(root, result.run) as folder:
            write_qc(folder, result)
    return root


@pytest.mark.parametrize(
    ("result", "state", "words"),
    [
        (None, "none", "no QC yet (`tomoshibi qc run last` makes one)"),
        (of(0.5), "valid", "valid, 30 min old"),
        (of(23.9), "valid", "valid, 24 h old"),
        (of(24.1), "overdue", "24 h old: one is due every 24 h"),
        (of(72), "overdue", "3 d old: one is due every 24 h"),
        (of(2, ctr_ps=500), "failed", "failed: CTR; 2 h old"),
        (of(50, ctr_ps=500), "failed", "failed: CTR; 2 d old, overdue (every 24 h)"),
        (of(2, reason="few"), "incomplete", "incomplete: Crystals not measured; 2 h old"),
    ],
)
def test_status_says_what_the_newest_is_worth(
    result: QcResult | None, state: str, words: str
) -> None:
    found = qc_status(result, NOW)
    assert (found.state, found.words) == (state, words)
    assert found.good == (state == "valid")


def test_the_newest_run_counts_not_the_newest_analysis(tmp_path: Path) -> None:
    kept(tmp_path, of(1, run="today"), of(100, run="last-week"))
    newest = qc_history(tmp_path).newest
    assert newest is not None
    assert newest[1].run == "today"


def test_another_instruments_qc_is_no_qc(tmp_path: Path) -> None:
    kept(tmp_path, of(3), of(2, serial="bench2-0002"), of(1, scanner="tof_brain", serial=""))
    assert len(qc_history(tmp_path).results) == 3
    assert len(qc_history(tmp_path, scanner="bench2").results) == 2
    own = qc_history(tmp_path, scanner="bench2", serial="bench2-0001").newest
    assert own is not None
    assert own[1] == of(3)
    assert len(qc_history(tmp_path).of_newest().results) == 1


def test_one_that_is_damaged_is_told_and_hides_no_other(tmp_path: Path) -> None:
    kept(tmp_path, of(3))
    broken = tmp_path / "qc" / "broken"
    broken.mkdir()
    (broken / FILE_NAME).write_text("{", encoding="utf-8")
    (tmp_path / "qc" / "dangling").symlink_to(tmp_path / "nowhere")
    history = qc_history(tmp_path)
    assert len(history.results) == 1
    assert len(history.damaged) == 1
    assert "broken/qc.json" in history.damaged[0]


def test_trend_has_each_run_once_and_its_days(tmp_path: Path) -> None:
    kept(
        tmp_path, of(48, ctr_ps=410), of(24), of(0, ctr_ps=405, run="x"), of(0, ctr_ps=404, run="x")
    )
    trend = trend_of(qc_history(tmp_path))
    assert trend.days == pytest.approx([-2.0, -1.0, 0.0])
    assert trend.values["CTR, ps"][:2] == pytest.approx([410.0, 400.0])
    assert trend_head(trend)[-1] == "CTR, ps"
    assert [row[-1] for row in trend_rows(trend)][:2] == ["410", "400"]


def test_without_any_there_is_no_trend(tmp_path: Path) -> None:
    trend = trend_of(qc_history(tmp_path))
    assert trend.results == ()
    assert np.array_equal(trend.days, [])
    assert trend_rows(trend) == []
