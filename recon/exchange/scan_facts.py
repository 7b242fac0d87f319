"""The facts about a scan in an image's metadata, as exchange formats need them.

All keys are optional: formats leave unknown ones empty (docs/reconstruction/exchange.md lists
them).
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hw.messages.patient_position import PATIENT_POSITIONS, UNKNOWN, PatientPosition
from hw.physics.nuclides import Nuclide, load_nuclide, nuclide_names
from recon.exchange.errors import ExchangeError

NO_DATE = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
"""Used for an unknown start if a format requires one."""

NUCLIDE_CODES = {
    "C-11": ("40565003", "^11^Carbon"),
    "N-13": ("21576001", "^13^Nitrogen"),
    "O-15": ("129504001", "^15^Oxygen"),
    "F-18": ("77004003", "^18^Fluorine"),
    "Na-22": ("71633006", "^22^Sodium"),
    "Cu-64": ("3932008", "^64^Copper"),
    "Ge-68": ("53315004", "^68^Germanium"),
    "Ga-68": ("35337001", "^68^Gallium"),
    "Rb-82": ("79197006", "^82^Rubidium"),
    "Zr-89": ("63360001", "^89^Zirconium"),
    "Tc-99m": ("72454006", "^99m^Technetium"),
    "I-124": ("40937006", "^124^Iodine"),
    "I-131": ("1368003", "^131^Iodine"),
    "Lu-177": ("447553000", "^177^Lutetium"),
}
"""SNOMED CT codes of PS3.16, context groups 18 and 4020."""

_NAMESPACE = uuid.UUID("5e3c9c2e-4f0b-5b3a-9a56-2f7d1c0b8e11")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹ᵐ", "0123456789m")


@dataclass(frozen=True)
class ScanFacts:
    """Facts of a scan; build it with :meth:`of`.

    identity : identifies the scan: its study's UID, or where a file has none, its hash, or name and
        start: two scans may share a name
    position : how the patient lay
    applied : corrections that were applied
    how : method of each correction, by name
    """

    identity: str
    run: str
    series: str
    created: dt.datetime
    scanner: str
    algorithm: str
    unit: str
    applied: frozenset[str]
    how: Mapping[str, str]
    nuclide: Nuclide | None
    position: PatientPosition
    more: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> ScanFacts:
        """Return the facts in an image's metadata; raises ExchangeError for an invalid value (date,
        nuclide, patient position)."""
        corrections = metadata.get("corrections", {})
        run = str(metadata.get("run") or "unnamed")
        created = as_time(metadata.get("created"), "created") or NO_DATE
        named = metadata.get("study_uid") or metadata.get("hash")
        return cls(
            identity=str(named or f"{run} of {created}"),
            run=run,
            series=str(metadata.get("series") or ""),
            created=created,
            scanner=str(metadata.get("scanner") or "unknown"),
            algorithm=str(metadata.get("algorithm") or "not stated"),
            unit=str(metadata.get("unit") or "arbitrary"),
            applied=frozenset(name for name, said in corrections.items() if is_applied(said)),
            how={name: said.get("how", "") for name, said in corrections.items()
                 if isinstance(said, Mapping)},
            nuclide=as_nuclide(metadata.get("nuclide")),
            position=as_position(metadata.get("patient_position")),
            more=metadata,
        )  # fmt: skip

    def uid(self, *what: object) -> str:
        """Return a DICOM UID (2.25 and a UUID as a number), always the same for the same scan and
        words: PS3.5 annex B.2."""
        name = "/".join(map(str, (self.identity, *what)))
        return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"

    @property
    def study_uid(self) -> str:
        """The UID that the run has for its study, or one that follows from the identity."""
        return str(self.more.get("study_uid") or self.uid("study"))

    @property
    def frame_of_reference_uid(self) -> str:
        """The UID of the run's (or its µ map's) frame of reference, or one that follows."""
        given = self.more.get("frame_of_reference_uid")
        return str(given or self.uid("frame of reference"))

    def number(self, key: str) -> float | None:
        """Return a number from the metadata, None if absent."""
        value = self.more.get(key)
        return None if value is None else float(value)

    def at(self, seconds: float) -> dt.datetime:
        """Return the date and time this many seconds after the run's start."""
        return self.created + dt.timedelta(seconds=seconds)

    @property
    def half_life_s(self) -> float | None:
        """The half-life used for decay correction, or that of the nuclide."""
        given = self.number("half_life_s")
        return given if given is not None or self.nuclide is None else self.nuclide.half_life_s


def as_position(value: Any) -> PatientPosition:
    """Return a patient position, unknown if empty."""
    for position in PATIENT_POSITIONS:
        if position == (value or UNKNOWN):
            return position
    raise ExchangeError(
        f"patient_position = {value!r}: must be one of {', '.join(PATIENT_POSITIONS)}"
    )


def is_applied(said: Any) -> bool:
    """Return whether a correction's entry (a bool, or a mapping with ``applied``) says applied."""
    return bool(said.get("applied")) if isinstance(said, Mapping) else bool(said)


def as_time(value: Any, key: str) -> dt.datetime | None:
    """Return an ISO 8601 time as UTC, None if empty; without a zone it is taken as UTC."""
    if value is None or value == "":
        return None
    try:
        time = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ExchangeError(
            f"{key} = {value!r} is no ISO 8601 time, such as 2026-01-31T12:00:00Z"
        ) from error
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def nameable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's metadata without a nuclide that no format can name.

    Run labels are free text: mixtures, or nuclides not in the table.
    """
    try:
        as_nuclide(metadata.get("nuclide"))
    except ExchangeError:
        return {**metadata, "nuclide": ""}
    return dict(metadata)


def as_nuclide(value: Any) -> Nuclide | None:
    """Return the nuclide for any usual spelling (F-18, F18, 18F, ¹⁸F, Tc99m); None if unknown."""
    if not value:
        return None
    plain = str(value).translate(_SUPERSCRIPTS).replace("-", "").replace(" ", "").lower()
    turned = re.sub(r"^(\d+m?)([a-z]+)$", r"\2\1", plain)
    for name in nuclide_names():
        if name.replace("-", "").lower() in (plain, turned):
            return load_nuclide(name)
    raise ExchangeError(
        f"nuclide {value!r} is not in the table: it has {', '.join(nuclide_names())}"
    )
