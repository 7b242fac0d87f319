"""What a run is to DICOM: UIDs drawn once and kept in its folder, and how the patient lay.

``uids.json`` is written when the run is armed or imported; for a run that has none, at first need.
Names and hashes would not do: two sites may both have a run ``test-1``. A copy of a run keeps its
UIDs; a replay is another run and has its own.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import LogError, StorageError
from daq.folder.identity.review_file import Review, read_review
from daq.folder.identity.study_file import Study, read_study
from daq.folder.run_folder import CONFIG_NAME, run_config
from hw.bounded_files import read_object
from hw.messages.patient_position import UNKNOWN, PatientPosition
from hw.whole_file import PRIVATE_FILE, sync_folder

UIDS_NAME = "uids.json"
LONGEST_UID = 64
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_KINDS = ("study", "frame_of_reference")
_READ_ONLY = uuid.UUID("8f0e0d1c-1f5e-5d0a-8b7e-6d0f3c5b9a42")


@dataclass(frozen=True)
class RunIdentity:
    """UIDs of a run ("" where not known), the patient's position, study and review.

    All images of a run share them: they are series of one study, in one frame of reference.
    """

    study_uid: str = ""
    frame_of_reference_uid: str = ""
    patient_position: PatientPosition = UNKNOWN
    study: Study | None = None
    review: Review | None = None

    @classmethod
    def of(cls, folder: Path) -> RunIdentity:
        """Return the identity of the run in a folder, drawn now if it has none yet.

        Raises
        ------
        LogError
            if ``run.json``, ``uids.json``, ``study.json`` or ``review.json`` cannot be read.
        """
        uids = _kept(folder) or _drawn(folder)
        return cls(
            **uids,
            patient_position=run_config(folder).patient_position,
            study=read_study(folder),
            review=read_review(folder),
        )

    def with_changes(self, *, frame_of_reference_uid: str, patient_position: str) -> RunIdentity:
        """Return the identity with another frame of reference or position; "" keeps one."""
        changes: dict[str, Any] = {}
        if frame_of_reference_uid:
            changes["frame_of_reference_uid"] = frame_of_reference_uid
        if patient_position:
            changes["patient_position"] = patient_position
        return replace(self, **changes)

    def as_metadata(self) -> dict[str, Any]:
        """Return it as plain values for an image's metadata; of the study what images tell."""
        values: dict[str, Any] = {
            "study_uid": self.study_uid,
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "patient_position": self.patient_position,
        }
        if self.study is not None:
            for name in ("tracer", "age_years", "height_cm"):
                if value := getattr(self.study, name):
                    values[name] = value
        if self.review is not None:
            values["review"] = msgspec.to_builtins(self.review)
        return values


UNIDENTIFIED = RunIdentity()
"""Of data that are no run in a folder."""


def is_uid(text: str) -> bool:
    """Return whether a text is a DICOM UID (PS3.5 chapter 9)."""
    parts = text.split(".")
    plain = all(part == "0" or not part.startswith("0") for part in parts)
    return len(text) <= LONGEST_UID and _UID.fullmatch(text) is not None and plain


def draw_uids(folder: Path) -> None:
    """Draw the UIDs of a run that has none yet; raises StorageError if they cannot be kept."""
    path = folder / UIDS_NAME
    if path.exists():
        return
    values = {kind: f"2.25.{uuid.uuid4().int}" for kind in _KINDS}
    part = path.with_name(f".part-{os.getpid()}-{UIDS_NAME}")
    try:
        part.unlink(missing_ok=True)
        _write(part, json.dumps(values, indent=1) + "\n")
        try:
            os.link(part, path)  # unlike whole_file, never over those that another process drew
        except FileExistsError:
            return
        finally:
            part.unlink()
        sync_folder(folder)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _kept(folder: Path) -> dict[str, str]:
    """Return the UIDs in the folder, none if there is no file."""
    path = folder / UIDS_NAME
    if not path.exists():
        return {}
    try:
        found = read_object(path)
        uids = {f"{kind}_uid": str(found[kind]) for kind in _KINDS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(
            f"{path} does not hold the run's UIDs ({error}): put a sound copy back, or remove it "
            "and new ones are drawn"
        ) from error
    for name, uid in uids.items():
        if not is_uid(uid):
            raise LogError(f"{path}: {name} {uid!r} is no UID, such as 2.25.1234")
    return uids


def _drawn(folder: Path) -> dict[str, str]:
    """Draw the UIDs. A folder that cannot be written to has those that follow from ``run.json``,
    which holds the run's random tag and when it was armed."""
    try:
        draw_uids(folder)
    except StorageError:
        text = (folder / CONFIG_NAME).read_text(encoding="utf-8")
        return {
            f"{kind}_uid": f"2.25.{uuid.uuid5(_READ_ONLY, f'{kind}/{text}').int}" for kind in _KINDS
        }
    return _kept(folder)
