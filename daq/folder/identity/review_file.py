"""What became of a run: kept, a test, discarded, and who signed that: ``review.json`` of a run.

Raw data are always recorded; whether a run counts is decided afterwards. A discarded run stays
where it is until somebody deletes it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from daq.errors import LogError, RunError
from daq.folder.identity.identity_file import refuse_identity_in
from daq.folder.identity.private_file import write_private
from daq.folder.journal import Journal
from hw.bounded_files import FileRefused, read_object
from hw.notices.catalogue import notice

REVIEW_NAME = "review.json"

Verdict = Literal["", "keep", "test", "discard"]
VERDICTS: tuple[str, ...] = tuple(one for one in get_args(Verdict) if one)
Words = Annotated[str, msgspec.Meta(max_length=256)]


class Review(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All of it optional. ``reviewed_at`` is ISO 8601 with an offset, set as somebody signs.

    verdict : what the run counts as; ``reason``: why, needed where it is discarded
    """

    verdict: Verdict = ""
    reason: Words = ""
    reviewed_by: Words = ""
    reviewed_at: Words = ""
    note: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        if self.verdict == "discard" and not self.reason:
            raise ValueError("a run is discarded for a reason: give one")
        if self.reviewed_at:
            try:
                moment = dt.datetime.fromisoformat(self.reviewed_at)
            except ValueError:
                moment = None
            if moment is None or moment.tzinfo is None:
                raise ValueError("reviewed_at is no date with time and offset")

    def words(self) -> str:
        """Return it in a line; "" where nothing was decided or signed."""
        parts = [f"{self.verdict}: {self.reason}" if self.reason else self.verdict]
        if self.reviewed_by:
            parts.append(f"reviewed by {self.reviewed_by} at {self.reviewed_at}")
        parts.append(self.note)
        return "; ".join(filter(None, parts))


def review_of(values: Mapping[str, Any]) -> Review:
    """Return the review in plain values; raises RunError naming the field."""
    try:
        return msgspec.convert(dict(values), Review)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        known = ", ".join(Review.__struct_fields__)
        raise RunError(f"review: {error} (there are {known})") from None


def read_review(folder: Path) -> Review | None:
    """Return the review of a run, None if there was none; raises LogError."""
    path = folder / REVIEW_NAME
    if not path.exists():
        return None
    try:
        return review_of(read_object(path))
    except (FileRefused, RunError) as error:
        raise LogError(f"{path}: {error}; correct it, or remove it") from error


def change_review(folder: Path, changes: Mapping[str, Any], *, now: dt.datetime) -> Review:
    """Change fields of a run's review; return it. A signature is dated ``now``.

    Any other change removes the signature, unless somebody signs again. The journal records the
    change in words.

    Raises
    ------
    RunError
        for a field that cannot be, or words that ``identity.json`` holds
    LogError, StorageError
    """
    before = read_review(folder) or Review()
    signed: dict[str, Any] = {"reviewed_by": "", "reviewed_at": ""}
    if changes.get("reviewed_by"):
        signed["reviewed_at"] = now.isoformat(timespec="seconds")
    review = review_of({**msgspec.to_builtins(before), **signed, **changes})
    if review == before:
        return before
    refuse_identity_in(folder, " ".join((review.reason, review.note)), "review")
    path = folder / REVIEW_NAME
    write_private(path, review)
    journal = Journal()
    journal.open(folder)
    words = review.words()
    journal.tell(notice("review.changed", words=words) if words else notice("review.taken_back"))
    journal.close()
    return review
