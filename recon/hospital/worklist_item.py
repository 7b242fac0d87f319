"""What a modality worklist asks and answers: of its items what a run's forms hold."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

SEXES = ("F", "M", "O")


@dataclass(frozen=True)
class Item:
    """An item: fields of ``identity.json`` and of ``study.json``, and what a person chooses by.

    ids : of study, requested procedure and scheduled step, as ``identity.json`` has them
    """

    identity: dict[str, str]
    study: dict[str, Any]
    ids: dict[str, str]
    scheduled: str
    procedure: str


def question(*, date: str = "", modality: str = "", accession: str = "") -> Dataset:
    """Return the query: all keys that we read, empty but for what is asked (date as YYYYMMDD)."""
    asked, step = Dataset(), Dataset()
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientWeight",
                 "PatientSize", "ReferringPhysicianName", "StudyInstanceUID",
                 "RequestedProcedureDescription", "RequestedProcedureID"):  # fmt: skip
        setattr(asked, name, None if name in ("PatientWeight", "PatientSize") else "")
    asked.AccessionNumber = accession
    for name in ("ScheduledProcedureStepStartTime", "ScheduledProcedureStepDescription",
                 "ScheduledProcedureStepID", "ScheduledStationAETitle"):  # fmt: skip
        setattr(step, name, "")
    step.ScheduledProcedureStepStartDate, step.Modality = date, modality
    asked.ScheduledProcedureStepSequence = [step]
    return asked


def item_of(found: Dataset) -> Item:
    """Return what an answer says; fields that cannot be are left out, nothing is guessed."""
    step = (found.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    birth, sex = _text(found, "PatientBirthDate"), _text(found, "PatientSex")
    identity = {
        "patient_id": _text(found, "PatientID"),
        "name": _text(found, "PatientName"),
        "birth_date": _date(birth),
        "sex": sex if sex in SEXES else "",
        "accession_number": _text(found, "AccessionNumber"),
        "referring_physician": _text(found, "ReferringPhysicianName"),
    }
    study: dict[str, Any] = {}
    if weight := _number(found, "PatientWeight"):
        study["weight_kg"] = weight
    if size := _number(found, "PatientSize"):
        study["height_cm"] = round(100 * size, 3)
    date, time = (_text(step, f"ScheduledProcedureStepStart{of}") for of in ("Date", "Time"))
    words = _text(step, "ScheduledProcedureStepDescription")
    return Item(
        {key: value for key, value in identity.items() if value},
        study,
        {
            "study_uid": _text(found, "StudyInstanceUID"),
            "procedure_id": _text(found, "RequestedProcedureID")[:64],
            "step_id": _text(step, "ScheduledProcedureStepID")[:64],
        },
        f"{_date(date)} {time[:2]}:{time[2:4]}" if len(time) >= 4 else _date(date),
        words or _text(found, "RequestedProcedureDescription"),
    )


def _text(found: Dataset, name: str) -> str:
    value = found.get(name)
    return "" if value is None else str(value).strip()[:256]


def _date(text: str) -> str:
    try:
        return dt.datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _number(found: Dataset, name: str) -> float:
    try:
        return float(found.get(name) or 0.0)
    except (TypeError, ValueError):
        return 0.0
