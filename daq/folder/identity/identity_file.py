"""Who a run is about: ``identity.json``, the one file of a run that identifies a person.

It is readable by its owner alone (0600) and goes nowhere else: not into logs, telemetry, images,
other files or names of folders. ``tomoshibi pseudonymise`` takes it out.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from daq.errors import LogError, RunError
from daq.folder.identity.private_file import write_private
from hw.bounded_files import FileRefused, read_object

IDENTITY_NAME = "identity.json"
SHORTEST = 3
"""A text that is shorter is not looked for elsewhere: it would be found in anything."""

IDENTIFYING = frozenset({
    "patient", "patient_id", "patient_name", "subject", "subject_name", "name", "surname",
    "family_name", "given_name", "first_name", "last_name", "birth_date", "birthdate",
    "date_of_birth", "dob", "sex", "gender", "address", "phone", "email", "insurance",
    "insurance_number", "accession_number", "mrn", "referring_physician",
})  # fmt: skip
"""Labels of runs that belong into ``identity.json``, in lower case, with _ for blanks and -."""

Words = Annotated[str, msgspec.Meta(max_length=256)]


class Identity(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who a run is about, and who ordered it; all of it optional. Dates as YYYY-MM-DD.

    study_uid, procedure_id, step_id : of the study, the requested procedure and the scheduled step
        of a worklist's item, for objects and reports that name the patient
    """

    patient_id: Words = ""
    name: Words = ""
    birth_date: Words = ""
    sex: Literal["", "F", "M", "O"] = ""
    accession_number: Words = ""
    referring_physician: Words = ""
    study_uid: Annotated[str, msgspec.Meta(pattern=r"^([0-9]+(\.[0-9]+)+)?$", max_length=64)] = ""
    procedure_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    step_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    comment: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        if self.birth_date:
            try:
                dt.date.fromisoformat(self.birth_date)
            except ValueError:
                raise ValueError("birth_date is no date") from None

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield (field, text) of what would identify the person if it stood elsewhere."""
        for field in ("patient_id", "name", "accession_number", "referring_physician"):
            yield from ((field, text) for text in _forms(getattr(self, field)))
        if self.birth_date:
            day = dt.date.fromisoformat(self.birth_date)
            for form in ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"):
                yield "birth_date", day.strftime(form)


def _forms(text: str) -> list[str]:
    """Return a text, and the words of a name of several."""
    words = text.replace(",", " ").replace("^", " ").split()
    found = dict.fromkeys([text, *words] if len(words) > 1 else [text.strip()])
    return [one for one in found if len(one) >= SHORTEST]


def identity_of(values: Mapping[str, Any]) -> Identity:
    """Return the identity in plain values, as a client sends them.

    Raises
    ------
    RunError
        naming the field; never a value, for errors are logged
    """
    try:
        return msgspec.convert(dict(values), Identity)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        place = re.search(r"`\$\.(\w+)`$", str(error))
        known = ", ".join(Identity.__struct_fields__)
        raise RunError(
            f"identity: {place[1] if place else 'a field'} is not as it must be (there are "
            f"{known}; texts of up to 256 letters, dates as 1970-12-31, sex F, M or O)"
        ) from None


def identifying_labels(labels: Mapping[str, Any]) -> list[str]:
    """Return the labels that identify a person, by their names."""
    return [key for key in labels if _plain(key) in IDENTIFYING]


def _plain(key: str) -> str:
    return key.strip().lower().replace(" ", "_").replace("-", "_")


def refuse_identifying(name: str, labels: Mapping[str, Any], identity: Identity | None) -> None:
    """Raise RunError if a run's name or labels would say whom it is about."""
    found = identifying_labels(labels)
    if found:
        raise RunError(
            f"label {found[0]!r} identifies a person, and labels are copied into logs and images: "
            f"give it in `identity`, which is kept in {IDENTITY_NAME} alone"
        )
    for field, text in identity.texts() if identity else ():
        places = {"the run's name": name, **{f"label {k!r}": str(v) for k, v in labels.items()}}
        for place, words in places.items():
            if text.casefold() in words.casefold():
                raise RunError(f"{place} contains the {field} of `identity`: choose another")


def write_identity(folder: Path, identity: Identity) -> Path:
    """Write an identity into a run's folder, readable by its owner alone; raises StorageError."""
    path = folder / IDENTITY_NAME
    write_private(path, identity)
    return path


def refuse_identity_in(folder: Path, words: str, what: str) -> None:
    """Raise RunError if words that go elsewhere contain anything of a run's identity."""
    identity = read_identity(folder)
    for field, text in identity.texts() if identity else ():
        if text.casefold() in words.casefold():
            raise RunError(f"the {what} contains the {field} of {IDENTITY_NAME}: leave it out")


def read_identity(folder: Path) -> Identity | None:
    """Return who a run is about, None if it does not say; raises LogError."""
    path = folder / IDENTITY_NAME
    if not path.exists():
        return None
    try:
        return identity_of(read_object(path))
    except (FileRefused, RunError) as error:
        raise LogError(f"{path} is no identity: {error}; correct it, or remove it") from error
