"""What a person at the scanner knows of a study: ``study.json`` of a run.

Weight, height and age, tracer, injected and residual activity with their times, operator, notes.
Who it is stands in ``identity.json`` alone. It may change after the run (a residual is measured
late); the journal says which fields changed, and when.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from daq.errors import LogError, RunError
from daq.folder.identity.identity_file import refuse_identity_in
from daq.folder.identity.private_file import write_private
from daq.folder.journal import Journal
from hw.bounded_files import FileRefused, read_object
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.physics.suv import suv_per_Bq_per_mL

STUDY_NAME = "study.json"

Words = Annotated[str, msgspec.Meta(max_length=256)]
Kg = Annotated[float, msgspec.Meta(ge=0.005, le=500)]
Cm = Annotated[float, msgspec.Meta(ge=2, le=260)]
Years = Annotated[float, msgspec.Meta(ge=0, le=130)]
MBq = Annotated[float, msgspec.Meta(gt=0, le=1e5)]
ResidualMBq = Annotated[float, msgspec.Meta(ge=0, le=1e5)]

LONGEST_UPTAKE_H = 24.0
MOST_USUAL_MBQ = 1500.0
USUAL_BMI = (10.0, 60.0)
"""kg/m²; beyond, weight and height are hardly both right."""


class Study(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All of it optional. Times are ISO 8601 with an offset, as ``2026-11-23T09:30+01:00``.

    weight_kg, height_cm : of a mouse, too
    injected_MBq : as measured in the syringe at ``injected_at``; ``residual_MBq``: what was left in
        it and the line, as measured at ``residual_at``
    """

    tracer: Words = ""
    age_years: Years | None = None
    weight_kg: Kg | None = None
    height_cm: Cm | None = None
    injected_MBq: MBq | None = None
    injected_at: Words = ""
    residual_MBq: ResidualMBq | None = None
    residual_at: Words = ""
    operator: Words = ""
    notes: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        for name in ("injected_at", "residual_at"):
            if (text := getattr(self, name)) and _moment(text) is None:
                raise ValueError(f"{name} is no date with time and offset")

    def net_injected_Bq(self, half_life_s: float) -> float | None:
        """Return what went in, at the time of the injection: the residual is decayed back to it.

        A_net = A_injected − A_residual · 2^((t_residual − t_injected) / T½); None if not known.
        """
        if self.injected_MBq is None:
            return None
        later_s = self._residual_after_s()
        if later_s is None:
            return self.injected_MBq * 1e6
        left_MBq = (self.residual_MBq or 0.0) * 2.0 ** (later_s / half_life_s)
        return (self.injected_MBq - left_MBq) * 1e6

    def _residual_after_s(self) -> float | None:
        injected, residual = _moment(self.injected_at), _moment(self.residual_at)
        if not self.residual_MBq or injected is None or residual is None:
            return None
        return (residual - injected).total_seconds()

    def suv_per_Bq_per_mL(self, started: dt.datetime, half_life_s: float) -> float:
        """Return SUV per Bq/mL of activity as of the run's start; 0 where something is missing, or
        doubtful."""
        net_Bq, injected_s = self.net_injected_Bq(half_life_s), self.injected_s(started)
        if self.weight_kg is None or net_Bq is None or net_Bq <= 0 or injected_s is None:
            return 0.0
        if abs(injected_s) > 3600 * LONGEST_UPTAKE_H:
            return 0.0
        since = -injected_s / half_life_s
        return suv_per_Bq_per_mL(self.weight_kg, net_Bq, half_lives_since=since)

    def injected_s(self, started: dt.datetime) -> float | None:
        """Return when it was injected, in s since the run's start; None if not known."""
        injected = _moment(self.injected_at)
        return None if injected is None else (injected - started).total_seconds()

    def doubts(self, started: dt.datetime, half_life_s: float | None) -> list[JournalLine]:
        """Return what is probably wrong; nothing of it is refused."""
        return [*self._doubts_of_body(), *self._doubts_of_activity(started, half_life_s)]

    def _doubts_of_body(self) -> list[JournalLine]:
        if self.weight_kg is None or self.height_cm is None or self.height_cm < 50:
            return []  # animals and the newborn have no usual index
        index = self.weight_kg / (self.height_cm / 100) ** 2
        least, most = USUAL_BMI
        if least <= index <= most:
            return []
        told = {"weight_kg": f"{self.weight_kg:g}", "height_cm": f"{self.height_cm:g}"}
        return [notice("doubt.body", **told)]

    def _doubts_of_activity(
        self, started: dt.datetime, half_life_s: float | None
    ) -> list[JournalLine]:
        found = []
        if (self.injected_MBq or 0.0) > MOST_USUAL_MBQ:
            found.append(notice("doubt.injected", injected_MBq=f"{self.injected_MBq:g}"))
        if self.injected_MBq is not None and not self.injected_at:
            found.append(notice("doubt.no_time"))
        since_s = self.injected_s(started)
        if since_s is not None and since_s < -3600 * LONGEST_UPTAKE_H:
            found.append(notice("doubt.long_ago", before_h=f"{-since_s / 3600:.0f}"))
        if since_s is not None and since_s > 60:
            found.append(notice("doubt.later", after_s=f"{since_s:.0f}"))
        if self.residual_MBq and self._residual_after_s() is None:
            found.append(notice("doubt.residual_times"))
        if half_life_s is not None and (self.net_injected_Bq(half_life_s) or 1.0) <= 0:
            found.append(notice("doubt.residual"))
        return found


def _moment(text: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def study_of(values: Mapping[str, Any]) -> Study:
    """Return the study in plain values, as a client sends them.

    Raises
    ------
    RunError
        naming the field.
    """
    try:
        return msgspec.convert(dict(values), Study)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        known = ", ".join(Study.__struct_fields__)
        raise RunError(f"study: {error} (there are {known})") from None


def read_study(folder: Path) -> Study | None:
    """Return the study of a run, None where none was given; raises LogError."""
    path = folder / STUDY_NAME
    if not path.exists():
        return None
    try:
        return study_of(read_object(path))
    except (FileRefused, RunError) as error:
        raise LogError(f"{path}: {error}; correct it, or remove it") from error


def write_study(folder: Path, study: Study) -> Path:
    """Keep a study in a run's folder, readable by its owner alone.

    Raises
    ------
    RunError
        if it contains what ``identity.json`` holds
    StorageError
    """
    refuse_identity_in(folder, " ".join((study.tracer, study.operator, study.notes)), "study")
    path = folder / STUDY_NAME
    write_private(path, study)
    return path


def change_study(folder: Path, changes: Mapping[str, Any]) -> tuple[Study, list[str]]:
    """Change fields of a run's study; return it, and the names of the fields that changed.

    The journal tells names, never values. Raises as :func:`read_study` and :func:`write_study`.
    """
    before = read_study(folder) or Study()
    now = study_of({**msgspec.to_builtins(before), **changes})
    names = [f for f in Study.__struct_fields__ if getattr(now, f) != getattr(before, f)]
    if names:
        write_study(folder, now)
        journal = Journal()
        journal.open(folder)
        journal.tell(notice("study.changed", names=", ".join(names)))
        journal.close()
    return now, names
