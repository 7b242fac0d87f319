"""Which files of a run its copy has: all plain files, but for what is said here.

Left out, and named: links, pipes and the like, which are never followed or read, and names that are
no text. ``identity.json`` goes only where that is asked for. Left out in silence: the record of
copies, the list that a copy has, and what writers have not finished.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from daq.errors import RunError
from daq.folder.identity.identity_file import IDENTITY_NAME
from daq.folder.listing.archive_record import ARCHIVE_NAME
from daq.folder.run_folder import CONFIG_NAME

LIST_NAME = "copy.json"
"""The list of a copy's files, in the copy."""

MOST_FILES, MOST_DEPTH = 20_000, 16
_OF_NO_COPY = (ARCHIVE_NAME, LIST_NAME)
_UNFINISHED = (".part-", ".old-", ".recover-")


@dataclass
class FilesToCopy:
    """The files of a run at one moment; two are equal if nothing changed in between.

    sizes : bytes of each file, by its path in the run
    changed_ns : when each was changed last
    left_out : what is not copied, in words
    """

    sizes: dict[str, int] = field(default_factory=dict)
    changed_ns: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(self.sizes.values())


def files_of(folder: Path, *, with_identity: bool) -> FilesToCopy:
    """Return the files to be copied, ``run.json`` last: without it a folder is no run.

    Raises
    ------
    RunError
        if the folder cannot be read, or holds more than a run does
    """
    found = FilesToCopy()
    try:
        for name, status in _walk(folder, "", 0):
            _take(found, name, status, with_identity=with_identity)
    except OSError as error:
        raise RunError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    if CONFIG_NAME in found.sizes:
        found.sizes[CONFIG_NAME] = found.sizes.pop(CONFIG_NAME)
    return found


def _walk(folder: Path, within: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all but folders, by path, without following links."""
    if depth > MOST_DEPTH:
        raise RunError(f"{folder}: folders lie more than {MOST_DEPTH} deep in it: no run has that")
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.startswith(_UNFINISHED):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{within}{entry.name}/", depth + 1)
            else:
                yield within + entry.name, entry.stat(follow_symlinks=False)


def _take(found: FilesToCopy, name: str, status: os.stat_result, *, with_identity: bool) -> None:
    if name in _OF_NO_COPY:
        return
    if name == IDENTITY_NAME and not with_identity:
        found.left_out.append(f"{name}: goes with a copy only by --with-identity")
    elif not stat.S_ISREG(status.st_mode):
        found.left_out.append(f"{_printable(name)}: a link, pipe or the like, no file")
    elif not _is_text(name):
        found.left_out.append(f"{_printable(name)}: its name is no text")
    elif len(found.sizes) >= MOST_FILES:
        raise RunError(f"there are more than {MOST_FILES} files in it: no run has that")
    else:
        found.sizes[name] = status.st_size
        found.changed_ns[name] = status.st_mtime_ns


def _is_text(name: str) -> bool:
    try:
        return name.encode().decode().isprintable()
    except UnicodeEncodeError:
        return False


def _printable(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")
