"""The patient and study form: mistakes at their fields, doubts beside it, one run and no other."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.folder.identity.study_file import Study, study_of
from gui.app.window import ConsoleWindow
from gui.kit.words import speak
from gui.study.reading import FIELDS, read_study_form
from gui.study.study_page import GONE, NOTHING, SET
from hw.messages.endpoints import Endpoints
from hw.messages.patient_position import PATIENT_POSITIONS
from hw.messages.telemetry import StartCheck
from rigs.gui.feeder import Feeder, Script

Pump = Callable[..., None]
ZONE = dt.timezone(dt.timedelta(hours=1))
NOW = dt.datetime(2026, 11, 23, 10, 0, tzinfo=ZONE)
GOOD = {
    "patient_id": "P-0042", "sex": "F", "age_years": "61", "weight_kg": "70,5", "height_cm": "172",
    "patient_position": "HFS", "tracer": "FDG F-18", "injected_MBq": "185", "injected_at": "9:30",
    "residual_MBq": "5", "residual_at": "9:36", "operator": "MT", "notes": "",
}  # fmt: skip


def test_a_whole_form_is_read_as_the_daq_takes_it() -> None:
    reading = read_study_form(GOOD, NOW)
    assert reading.faults == {}
    assert reading.doubts == []
    assert reading.args["identity"] == {"patient_id": "P-0042", "sex": "F"}
    assert reading.args["patient_position"] == "HFS"
    assert study_of(reading.args["study"]) == Study(
        age_years=61, weight_kg=70.5, height_cm=172, tracer="FDG F-18", injected_MBq=185,
        injected_at="2026-11-23T09:30:00+01:00", residual_MBq=5, operator="MT",
        residual_at="2026-11-23T09:36:00+01:00",
    )  # fmt: skip


def test_what_is_left_now_is_told() -> None:
    # 185 − 5 · 2^(6/109.77) = 179.8 MBq at 9:30, a half-life of 109.77 min, 30 min ago
    assert read_study_form(GOOD, NOW).net_words == "179.8 MBq went in, 148.8 MBq now, 30 min later"


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("weight_kg", "seventy", "“seventy” is not a number"),
        ("weight_kg", "nan", "is not a number"),
        ("weight_kg", "-3", "-3: must be at least 0.005 kg"),
        ("height_cm", "1720", "1720: must be at most 260 cm"),
        ("injected_at", "25:70", "is no time: write 9:30"),
        ("injected_at", "yesterday", "is no time"),
        ("operator", "x" * 300, "at most 256 letters"),
    ],
)
def test_a_mistake_is_told_at_its_field(field: str, text: str, words: str) -> None:
    reading = read_study_form(GOOD | {field: text}, NOW)
    assert list(reading.faults) == [field]
    assert words in reading.faults[field]
    assert "study" not in reading.args


def test_what_is_hardly_right_is_told_and_not_refused() -> None:
    reading = read_study_form(GOOD | {"weight_kg": "705"} | {"weight_kg": "7"}, NOW)
    assert reading.faults == {}
    assert "7 kg at 172 cm" in reading.doubts[0]


def test_what_is_told_at_the_form_is_told_in_japanese() -> None:
    speak("ja")
    try:
        doubtful = read_study_form(GOOD | {"weight_kg": "7", "injected_MBq": "90000"}, NOW)
        wrong = read_study_form(GOOD | {"height_cm": "1720", "operator": "x" * 300}, NOW)
    finally:
        speak("en")
    said = [*doubtful.doubts, *wrong.faults.values()]
    assert len(said) >= 3
    for words in said:
        assert not set(re.findall("[A-Za-z]{2,}", words)) - {"kg", "cm", "MBq", "kBq"}, words


def test_each_position_is_offered_in_words(console: ConsoleWindow) -> None:
    box = console.study.editors["patient_position"]
    assert [box.itemData(place) for place in range(box.count())] == list(PATIENT_POSITIONS)
    shown = {box.itemData(place): box.itemText(place) for place in range(1, box.count())}
    assert shown["HFS"] == "HFS · head first, supine"
    assert shown["FFDL"] == "FFDL · feet first, on the left side"
    assert len({words.partition("·")[2] for words in shown.values()}) == 8


def test_a_time_without_a_date_that_lies_ahead_is_yesterdays() -> None:
    late = read_study_form(GOOD | {"injected_at": "23:50", "residual_at": "23:55"}, NOW)
    assert late.args["study"]["injected_at"] == "2026-11-22T23:50:00+01:00"


@given(st.dictionaries(st.sampled_from(list(FIELDS)), st.text(max_size=40)))
def test_whatever_is_typed_is_read_or_refused_at_its_field(texts: dict[str, str]) -> None:
    reading = read_study_form(texts, NOW)
    assert set(reading.faults) <= set(FIELDS)
    if "study" in reading.args:
        study_of(reading.args["study"])


@pytest.mark.gui
def test_it_goes_with_the_next_arm_and_no_other(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    page = console.study
    assert page.state.text() == NOTHING
    with Feeder(endpoints, Script(state="idle", no_images=True)) as feeder:
        for name, text in GOOD.items():
            page._write(name, text)
        page.use.click()
        assert page.state.text() == SET
        for _ in range(3):
            pump(lambda: console.run_bar.buttons["arm"].isEnabled())
            console.run_bar.buttons["arm"].click()
            pump(lambda: feeder.script.state == "armed")
            pump(lambda: not console.desk.pending)
            feeder.script.state = "idle"
    first, second, third = (c.args for c in feeder.commands if c.name == "arm")
    assert first["study"]["weight_kg"] == 70.5
    assert first["identity"] == {"patient_id": "P-0042", "sex": "F"}
    assert first["patient_position"] == "HFS"
    assert second == third == {}
    assert page.state.text() == GONE
    page.clear.click()
    assert page.state.text() == NOTHING
    assert set(page.texts().values()) == {"", "unknown"}


@pytest.mark.gui
def test_what_to_look_at_before_a_start_is_told(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    checks = [
        StartCheck(name="source", state="ok", words="emulator (bench2)"),
        StartCheck(name="imager", state="warning", words="there is none"),
        StartCheck(name="disk", state="stops", words="0.1 GB free, a run needs 0.27: make room"),
    ]
    with Feeder(endpoints, Script(state="idle", no_images=True, checks=checks)) as feeder:
        pump(lambda: console.study.checks[2].text().startswith("✗ disk: 0.1 GB free"))
        shown = [label.text() for label in console.study.checks if not label.isHidden()]
        assert shown[:2] == ["✓ source: emulator (bench2)", "⚠ imager: there is none"]
        headline = console.run_bar.reason.toolTip()
        assert headline.startswith("✗ disk: 0.1 GB free")
        assert headline.endswith("; imager: there is none")
        feeder.script.checks = checks[:1]
        pump(lambda: console.run_bar.reason.toolTip() == "")
