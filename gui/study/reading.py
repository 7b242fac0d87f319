"""Reading the patient and study form as a person wrote it: no widgets here.

Every field is optional. Mistakes are shown at their fields; what is merely implausible is shown
beside the form and never refused.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass, field
from typing import Any

from daq.errors import RunError
from daq.folder.identity.identity_file import identity_of
from daq.folder.identity.study_file import Study, study_of
from gui.kit.bounds import bound_in_words
from gui.kit.told import told
from gui.kit.words import mark, tr
from hw.messages.patient_position import UNKNOWN
from hw.physics.nuclides import nuclide_in


@dataclass(frozen=True)
class Field:
    """A field of the form: its caption, its unit, what it is for, an example."""

    caption: str
    unit: str
    teaches: str
    example: str = ""


FIELDS: dict[str, Field] = {
    "patient_id": Field(
        mark("Patient id"),
        "",
        mark("A pseudonym, kept in identity.json alone, which its owner can read."),
        "P-0042",
    ),
    "sex": Field(mark("Sex"), "", mark("F, M or O; kept in identity.json alone.")),
    "age_years": Field(mark("Patient age"), mark("years"), mark("At the scan.")),
    "weight_kg": Field(mark("Weight"), "kg", mark("SUV needs it."), "70"),
    "height_cm": Field(mark("Height"), "cm", mark("Tells a weight that cannot be right."), "172"),
    "patient_position": Field(
        mark("Position"),
        "",
        mark("How the patient lies: the image's letters, DICOM and NIfTI follow it."),
    ),
    "tracer": Field(mark("Tracer"), "", mark("With its nuclide, such as FDG F-18."), "FDG F-18"),
    "injected_MBq": Field(mark("Injected"), "MBq", mark("As measured in the syringe."), "185"),
    "injected_at": Field(
        mark("… at"), "", mark("Time of that measurement: 9:30, or 2026-11-23 9:30."), "9:30"
    ),
    "residual_MBq": Field(mark("Residual"), "MBq", mark("What was left in syringe and line."), "4"),
    "residual_at": Field("… at", "", mark("Time of that measurement."), "9:36"),
    "operator": Field(mark("Operator"), "", mark("Who takes the scan.")),
    "notes": Field(
        mark("Notes"), "", mark("Nothing that identifies a person: they are kept with the run.")
    ),
}

NUMBERS = ("age_years", "weight_kg", "height_cm", "injected_MBq", "residual_MBq")
TIMES = ("injected_at", "residual_at")
OF_IDENTITY = ("patient_id", "sex")
_CLOCK = re.compile(r"(?:(?P<day>\d{4}-\d\d-\d\d)[ T])?(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d))?")


@dataclass
class StudyReading:
    """The content of the form: arguments of Arm, mistakes by field, doubts, and the activity by
    now.

    args : study, identity and patient_position, as far as they are given net_words : activity now,
    if nuclide, activity and time are known
    """

    args: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    net_words: str = ""


def read_study_form(texts: dict[str, str], now: dt.datetime) -> StudyReading:
    """Read the form; ``now`` has the zone of the times that it gives without one."""
    reading = StudyReading()
    study: dict[str, Any] = {}
    for name, text in ((name, texts.get(name, "").strip()) for name in FIELDS):
        if not text or name in (*OF_IDENTITY, "patient_position"):
            continue
        value = _value(reading, name, text, now)
        if value is not None:
            study[name] = value
    _check(reading, study)
    _take_identity(reading, texts)
    position = texts.get("patient_position") or UNKNOWN
    if position != UNKNOWN:
        reading.args["patient_position"] = position
    if study and not reading.faults:
        reading.args["study"] = study
        _judge(reading, study_of(study), now)
    return reading


def _value(reading: StudyReading, name: str, text: str, now: dt.datetime) -> float | str | None:
    if name in NUMBERS:
        return _number(reading, name, text)
    if name in TIMES:
        return _time(reading, name, text, now)
    return text


def _number(reading: StudyReading, name: str, text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        reading.faults[name] = tr("“{text}” is not a number", text=text)
        return None
    return value


def _time(reading: StudyReading, name: str, text: str, now: dt.datetime) -> str | None:
    """Return a time with its zone. One without a date is today's or, if that lies ahead by more
    than an hour, yesterday's.
    """
    found = _CLOCK.fullmatch(text)
    try:
        if found is None:
            given = dt.datetime.fromisoformat(text)
            return (given if given.tzinfo else given.replace(tzinfo=now.tzinfo)).isoformat()
        clock = dt.time(int(found["h"]), int(found["m"]), int(found["s"] or 0))
        day = dt.date.fromisoformat(found["day"]) if found["day"] else now.date()
    except ValueError:
        reading.faults[name] = tr("“{text}” is no time: write 9:30, or 2026-11-23 9:30", text=text)
        return None
    given = dt.datetime.combine(day, clock, now.tzinfo)
    if not found["day"] and given > now + dt.timedelta(hours=1):
        given -= dt.timedelta(days=1)
    return given.isoformat()


def _check(reading: StudyReading, study: dict[str, Any]) -> None:
    """Tell each value that no study may have at its own field."""
    for name, value in study.items():
        try:
            study_of({name: value})
        except RunError as error:
            unit = FIELDS[name].unit
            why = bound_in_words(str(error).removeprefix("study: "), tr(unit) if unit else "")
            reading.faults[name] = f"{value:g}: {why}" if name in NUMBERS else why


def _take_identity(reading: StudyReading, texts: dict[str, str]) -> None:
    identity = {name: text for name in OF_IDENTITY if (text := texts.get(name, "").strip())}
    if not identity:
        return
    try:
        identity_of(identity)
    except RunError:
        reading.faults["patient_id"] = tr("at most {most} letters", most="256")
    reading.args["identity"] = identity


def _judge(reading: StudyReading, study: Study, now: dt.datetime) -> None:
    nuclide = nuclide_in(study.tracer)
    half_life_s = None if nuclide is None else nuclide.half_life_s
    reading.doubts = [
        told(line.id, line.values, line.text) for line in study.doubts(now, half_life_s)
    ]
    since_s = study.injected_s(now)
    if half_life_s is None or since_s is None or study.injected_MBq is None:
        return
    net_Bq = study.net_injected_Bq(half_life_s)
    if net_Bq is not None and net_Bq > 0:
        left_MBq = net_Bq * 1e-6 * 2.0 ** (since_s / half_life_s)  # since_s is negative afterwards
        now_words = tr(
            "{left_MBq:.4g} MBq now, {value:.0f} min later", left_MBq=left_MBq, value=-since_s / 60
        )
        reading.net_words = tr(
            "{value:.4g} MBq went in, {now_words}", value=net_Bq * 1e-06, now_words=now_words
        )
