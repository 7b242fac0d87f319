"""What is known of a study is kept, judged and changed; it never names anybody."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from daq.errors import LogError, RunError
from daq.folder.identity.identity_file import Identity, write_identity
from daq.folder.identity.study_file import (
    STUDY_NAME,
    Study,
    change_study,
    read_study,
    study_of,
    write_study,
)

START = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)
AT_9 = "2026-11-23T10:00+01:00"
HALF_LIFE_S = 6586.2  # F-18
WHOLE: dict[str, Any] = {
    "tracer": "FDG", "age_years": 61.0, "weight_kg": 70.0, "height_cm": 172.0,
    "injected_MBq": 250.0, "injected_at": AT_9, "operator": "K.",
}  # fmt: skip


def test_a_study_is_read_as_it_was_written_by_its_owner_alone(tmp_path: Path) -> None:
    study = study_of(WHOLE)
    path = write_study(tmp_path, study)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_study(tmp_path) == study
    assert study.doubts(START, HALF_LIFE_S) == []


def test_times_with_other_offsets_are_the_same_moment() -> None:
    assert study_of(WHOLE).injected_s(START) == -3600.0


def test_the_residual_is_decayed_back_to_the_injection() -> None:
    """100 MBq in the syringe; after one half-life 5 MBq are left in it, which were 10."""
    study = Study(
        injected_MBq=100.0, injected_at="2026-11-23T09:00:00+00:00",
        residual_MBq=5.0, residual_at="2026-11-23T09:10:00+00:00",
    )  # fmt: skip
    assert study.net_injected_Bq(600.0) == pytest.approx(90e6)


def test_a_residual_without_times_is_not_taken_off_and_told() -> None:
    study = Study(injected_MBq=100.0, injected_at=AT_9, residual_MBq=5.0)
    assert study.net_injected_Bq(HALF_LIFE_S) == 100e6
    assert "not taken off" in "; ".join(one.text for one in study.doubts(START, HALF_LIFE_S))


@pytest.mark.parametrize(("changes", "words"), [
    ({"weight_kg": 172.0, "height_cm": 70.0}, "is one of them wrong"),
    ({"injected_MBq": 250e2}, "is it kBq"),
    ({"injected_at": ""}, "without it there is no SUV"),
    ({"injected_at": "2026-11-20T10:00+01:00"}, "is the date right"),
    ({"injected_at": "2026-11-23T13:00+01:00"}, "is the time right"),
    ({"residual_MBq": 300.0, "residual_at": AT_9}, "more than what was injected"),
])  # fmt: skip
def test_what_is_hardly_right_is_told_and_not_refused(changes: dict[str, Any], words: str) -> None:
    (doubt,) = study_of(WHOLE | changes).doubts(START, HALF_LIFE_S)
    assert words in doubt.text and doubt.id.startswith("doubt.")


def test_a_mouse_has_no_usual_index() -> None:
    assert Study(weight_kg=0.025, height_cm=9.0).doubts(START, None) == []


@pytest.mark.parametrize("values", [
    {"weight_kg": -1}, {"weight_kg": 1e4}, {"weight_kg": float("nan")}, {"injected_MBq": 0},
    {"injected_at": "yesterday"}, {"injected_at": "2026-11-23T10:00"}, {"age_years": "old"},
    {"name": "Nobody"}, {"notes": "n" * 5000}, {"tracer": 5},
])  # fmt: skip
def test_what_cannot_be_is_refused_in_words(values: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="study: "):
        study_of(values)


@pytest.mark.parametrize("text", ["[]", "{", '{"weight_kg": 1e999}', "\x00" * 50, '{"version": 2}'])
def test_a_spoilt_file_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / STUDY_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(LogError, match=STUDY_NAME):
        read_study(tmp_path)


def test_a_change_is_journalled_by_name_and_not_by_value(tmp_path: Path) -> None:
    change_study(tmp_path, WHOLE)
    study, names = change_study(tmp_path, {"weight_kg": 71.5, "operator": "K."})
    assert (study.weight_kg, study.tracer, names) == (71.5, "FDG", ["weight_kg"])
    assert read_study(tmp_path) == study
    lines = (tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["text"] == "study changed: weight_kg"
    assert "71.5" not in "".join(lines)


def test_a_change_to_the_same_writes_nothing(tmp_path: Path) -> None:
    change_study(tmp_path, WHOLE)
    before = (tmp_path / "journal.jsonl").read_bytes()
    assert change_study(tmp_path, {"weight_kg": 70.0})[1] == []
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def test_a_study_never_says_whom_it_is_about(tmp_path: Path) -> None:
    write_identity(tmp_path, Identity(name="Aoki Hanako", patient_id="P-4711"))
    for notes in ("Mrs AOKI was restless", "see p-4711"):
        with pytest.raises(RunError, match=r"contains the .* of identity\.json"):
            change_study(tmp_path, {"notes": notes})
    assert read_study(tmp_path) is None
