"""Where copies of a run are: ``archive.json`` of the run, written by ``tomoshibi archive``.

It says that a copy was complete when made, not that it still is: whoever deletes a run reads the
copy again. It stays with the run and is in no copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from daq.errors import LogError
from daq.folder.run_folder import write_json
from hw.bounded_files import FileRefused, read_object

ARCHIVE_NAME = "archive.json"
MOST_COPIES = 100

Words = Annotated[str, msgspec.Meta(max_length=4096)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Copy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One copy: whole, and read back file by file, at the time ``at`` (ISO 8601 with an offset).

    place : its folder, absolute, as seen from the machine that made it
    with_identity : whether ``identity.json`` went with it
    """

    place: Words
    at: Words
    files: Count
    bytes: Count
    with_identity: bool = False


class _File(msgspec.Struct):
    copies: Annotated[list[Copy], msgspec.Meta(max_length=MOST_COPIES)]


def read_copies(folder: Path) -> list[Copy]:
    """Return the copies of a run, the newest last; raises LogError."""
    path = folder / ARCHIVE_NAME
    if not path.exists():
        return []
    try:
        return msgspec.convert(read_object(path), _File).copies
    except (FileRefused, msgspec.ValidationError) as error:
        raise LogError(
            f"{path} is no record of copies ({error}): remove it, and archive the run again"
        ) from error


def add_copy(folder: Path, copy: Copy) -> None:
    """Record a copy, in place of an earlier one at the same place; raises LogError, StorageError.

    Of more than ``MOST_COPIES``, the oldest record is forgotten.
    """
    others = [one for one in read_copies(folder) if one.place != copy.place]
    kept = [*others, copy][-MOST_COPIES:]
    write_json(folder / ARCHIVE_NAME, msgspec.to_builtins(_File(kept)))
