"""What a QC keeps: its verdict follows from the file alone, and only a sound file is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daq.errors import LogError, RunError
from daq.folder.quality.qc_result import (
    FILE_NAME,
    FOLDER_NAME,
    QcPart,
    QcResult,
    new_qc,
    read_qc,
    write_qc,
)
from hw.scanner.judged_figure import Figure

GOOD = Figure("CTR", 400.0, "ps", limit_key="most_ctr_ratio", limit=460.0)
BAD = Figure("noisy crystals", 1.0, limit_key="most_noisy", limit=0.0)
TOLD = Figure("singles", 107.0, "kcps")


def a_result(*figures: Figure, **changes: Any) -> QcResult:
    values: dict[str, Any] = {
        "run": "monday", "scanner": "bench2", "serial": "bench2-0001", "modality": "PET",
        "source": "point", "measured": "2026-11-23T08:00:00+01:00",
        "made": "2026-11-23T08:05:00+01:00", "detector_time_s": 60.0, "calibration": "none",
        "overdue_h": 24.0, "parts": (QcPart(title="part", figures=figures),),
        "trend": {"CTR, ps": 400.0},
    }  # fmt: skip
    return QcResult(**{**values, **changes})


MISSING = QcPart(title="Timing", reason="too few")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (a_result(GOOD, TOLD), "pass"),
        (a_result(GOOD, BAD), "FAIL"),
        (a_result(TOLD), "no limit given"),
        (a_result(parts=(QcPart(title="a", figures=(GOOD,)), MISSING)), "incomplete"),
        (a_result(parts=(QcPart(title="a", figures=(BAD,)), MISSING)), "FAIL"),
        (
            a_result(
                parts=(
                    QcPart(title="a", figures=(GOOD,)),
                    msgspec.structs.replace(MISSING, needed=False),
                )
            ),
            "pass",
        ),
    ],
)
def test_the_verdict_is_the_gravest(result: QcResult, verdict: str) -> None:
    assert result.verdict == verdict


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with new_qc(tmp_path, "monday") as folder:
        write_qc(folder, a_result(GOOD, BAD))
        assert not (tmp_path / FOLDER_NAME / "monday").exists()  # nobody sees half of one
    assert read_qc(tmp_path / FOLDER_NAME / "monday") == a_result(GOOD, BAD)


def test_a_second_one_of_a_run_has_a_name_of_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        with new_qc(tmp_path, "monday") as folder:
            write_qc(folder, a_result(GOOD))
    assert {one.name for one in (tmp_path / FOLDER_NAME).iterdir()} == {"monday", "monday-2"}


def test_one_that_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with new_qc(tmp_path, "monday"):
            raise RunError("the run ended")

    with pytest.raises(RunError, match="the run ended"):
        fail()
    assert list((tmp_path / FOLDER_NAME).iterdir()) == []


def damaged(**changes: Any) -> bytes:
    return json.dumps({**msgspec.to_builtins(a_result(GOOD)), **changes}).encode()


def part_with(**figure: Any) -> dict[str, Any]:
    return {"title": "p", "figures": [{"name": "x", **figure}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "no JSON object"),
        (damaged(version=2), "version"),
        (damaged(colour="red"), "colour"),
        (damaged(measured="yesterday"), "no date with time and offset"),
        (damaged(measured="2026-11-23T08:00:00"), "no date with time and offset"),
        (damaged(overdue_h=0), "overdue_h"),
        (damaged(parts=[part_with(value=None)]), "value"),
        (
            damaged(
                parts=[{"title": "p", "figures": [{"name": "x", "value": 1, "form": "9999f"}]}]
            ),
            "form",
        ),
        (damaged(trend={f"{n}": 1.0 for n in range(21)}), "trend"),
        (damaged(run="x" * 300), "run"),
    ],
)
def test_a_damaged_one_is_refused_by_its_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(LogError, match=words) as refused:
        read_qc(tmp_path)
    assert FILE_NAME in str(refused.value)
