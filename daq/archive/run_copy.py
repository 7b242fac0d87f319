"""A run copied to another place, every byte read back and compared; then, and only then, it counts.

A new copy grows in ``DEST/.archiving/NAME``, where nobody takes it for a run, and is moved to
``DEST/NAME`` when it is whole. One that was broken off goes on where it stopped. A copy that is
there already is brought up to date. ``copy.json``, written last, lists its files with digests.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from daq.archive.copied_files import LIST_NAME, files_of
from daq.archive.file_copy import copy_file, read_again
from daq.errors import LogError, RunError, StorageError
from daq.folder.blocks import is_being_written
from daq.folder.identity.identity_file import IDENTITY_NAME
from daq.folder.listing.archive_record import Copy, add_copy
from daq.folder.listing.manifest import ALGORITHM, entries_of, entry_of, sizes_wrong, verify
from daq.folder.one_at_a_time import alone
from daq.folder.plain_json import read_object
from daq.folder.raw_log import FILE_NAME as RAW_NAME
from daq.folder.run_folder import CONFIG_NAME, SUMMARY_NAME, write_json
from daq.replay.run_recovery import needs_recovery
from hw.bounded_files import words_of
from hw.whole_file import PRIVATE_FOLDER, make_folder, sync_folder

GROWING = ".archiving"
MARGIN_BYTES = 16 << 20
"""For names, folders and the list of files, beside the files themselves."""

Progress = Callable[[int, int], None]
Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Archived:
    """What was done. ``left_out``: of the run; ``notes``: what a person should know."""

    copy: Copy
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def words(self) -> str:
        """Return it in words."""
        size = words_of(self.copy.bytes)
        return f"{self.copy.place}: {self.copy.files} files, {size}, copied and read back: whole"


def archive(
    folder: Path,
    destination: Path,
    *,
    now: dt.datetime,
    with_identity: bool = False,
    progress: Progress = lambda done, total: None,
) -> Archived:
    """Copy a run to a folder on another disk, and record that in the run.

    Parameters
    ----------
    folder : of the run
    destination : a folder that exists; the copy gets the name of the run in it
    now : with an offset from UTC, recorded as the time of the copy
    with_identity : whether the file that names the patient is copied, too
    progress : is told bytes done and all of them

    Raises
    ------
    RunError
        for a run that is not closed, or damaged, and a place that cannot be
    StorageError, LogError
        if a disk refuses, or a file is not what it should be; the copy does not count then
    """
    busy = f"{folder.name} is being archived or recovered by another process: wait until it is done"
    with alone(folder, busy=busy):
        refuse_unsound(folder)
        _refuse_place(folder, destination)
        return _Copying(folder.resolve(), destination.resolve(), with_identity, progress).run(now)


def refuse_unsound(folder: Path) -> None:
    """Raise RunError for a run that goes on, was cut off, or lacks what it had: cheap."""
    if is_being_written(folder / RAW_NAME):
        raise RunError(f"{folder.name} is being recorded: stop the run first")
    if why := needs_recovery(folder):
        raise RunError(f"{folder.name} needs recovery ({why}): `tomoshibi recover {folder}` first")
    if not (folder / SUMMARY_NAME).is_file():
        raise RunError(f"{folder.name} has no {SUMMARY_NAME}: it is not closed")
    try:
        wrong = sizes_wrong(folder)
    except (LogError, OSError) as error:
        wrong = [str(error)]
    if wrong:
        raise RunError(f"{folder.name} is damaged: {'; '.join(wrong)}. Put it right from a copy")


def _refuse_place(folder: Path, destination: Path) -> None:
    if not destination.is_dir():
        raise RunError(f"{destination} is no folder: mount the disk, or make the folder first")
    run, place = folder.resolve(), destination.resolve()
    if place == run or run in place.parents:
        raise RunError(f"{destination} lies in the run itself: choose a folder on another disk")
    if place / run.name == run:
        raise RunError(f"{folder.name} is in {destination} already: choose another folder")


class _Copying:
    """One copy as it is made."""

    def __init__(
        self, folder: Path, destination: Path, with_identity: bool, progress: Progress
    ) -> None:
        self._folder, self._progress, self._identity = folder, progress, with_identity
        self._final = destination / folder.name
        self._growing = destination / GROWING / folder.name
        self._files = files_of(folder, with_identity=with_identity)
        self._done, self._total = 0, 2 * self._files.bytes
        self._manifest = entries_of(folder)

    def run(self, now: dt.datetime) -> Archived:
        """Copy, read back, list, move, record."""
        known = self._known()
        target = self._growing if known is None else self._final
        self._refuse_full(target)
        try:
            make_folder(target, mode=PRIVATE_FOLDER)
        except OSError as error:
            raise StorageError(f"cannot make {target}: {error.strerror}") from error
        busy = f"{target} is being written by another process: wait until it is done"
        with alone(target, busy=busy):
            kept = {name: one for name, one in (known or {}).items() if (target / name).is_file()}
            entries = {**kept, **self._copy_all(target)}
            self._read_back(target, entries)
            self._refuse_changed()
            self._remove_strays(target, entries)
            self._finish(target, entries, now)
        copy = Copy(
            place=str(self._final), at=now.isoformat(timespec="seconds"), files=len(entries),
            bytes=sum(one["bytes"] for one in entries.values()),
            with_identity=IDENTITY_NAME in entries,
        )  # fmt: skip
        add_copy(self._folder, copy)
        return Archived(copy, self._files.left_out, self._notes(entries))

    def _known(self) -> Entries | None:
        """Return the files of a copy that is there, None where there is none; raises RunError."""
        if not os.path.lexists(self._final):
            return None
        known = {} if self._final.is_symlink() else files_in_copy(self._final)
        if known.get(CONFIG_NAME) != entry_of(self._folder / CONFIG_NAME):
            raise RunError(
                f"{self._final} is there, and is no copy of this run: choose another folder"
            )
        found = verify(self._folder)  # before anything of a good copy is replaced
        if found.wrong:
            raise RunError(f"{self._folder.name} is damaged: {found.words()}")
        return known

    def _refuse_full(self, target: Path) -> None:
        there = sum(
            min(size, (target / name).lstat().st_size)
            for name, size in self._files.sizes.items()
            if (target / name).is_file()
        )
        needed = self._files.bytes - there + MARGIN_BYTES
        place = self._final.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise StorageError(
                f"{place} has {words_of(free)} free, {words_of(needed)} are needed: free some, or "
                "choose another disk"
            )

    def _copy_all(self, target: Path) -> Entries:
        made: Entries = {}
        for name in self._files.sizes:
            place = target / name
            if not place.parent.is_dir():
                make_folder(place.parent, mode=PRIVATE_FOLDER)
            made[name] = copy_file(self._folder / name, place, self._told())
            self._done += made[name]["bytes"]
            if name in self._manifest and made[name] != self._manifest[name]:
                words = verify(self._folder).words()
                raise RunError(f"{self._folder.name} is damaged: {words}. Put it right from a copy")
        for folder in {(target / name).parent for name in made}:
            sync_folder(folder)
        return made

    def _read_back(self, target: Path, entries: Entries) -> None:
        for name, entry in entries.items():
            if read_again(target / name, self._told()) != entry:
                raise StorageError(
                    f"{target / name} does not read as it was written: check that disk. The copy "
                    "does not count"
                )
            self._done += entry["bytes"]

    def _told(self) -> Callable[[int], None]:
        return lambda size: self._progress(min(self._done + size, self._total), self._total)

    def _refuse_changed(self) -> None:
        if files_of(self._folder, with_identity=self._identity) != self._files:
            raise RunError(f"{self._folder.name} was changed meanwhile: archive it again")

    def _remove_strays(self, target: Path, entries: Entries) -> None:
        """Remove what an earlier attempt left in a growing copy, identity.json above all.

        In a copy that was whole once nothing is removed.
        """
        if target == self._final:
            return
        for name in files_of(target, with_identity=True).sizes.keys() - entries.keys():
            try:
                (target / name).unlink()
            except OSError as error:
                raise StorageError(f"cannot remove {target / name}: {error.strerror}") from error

    def _finish(self, target: Path, entries: Entries, now: dt.datetime) -> None:
        write_json(
            target / LIST_NAME,
            {"version": 1, "run": self._folder.name, "made": now.isoformat(timespec="seconds"),
             "algorithm": ALGORITHM, "files": entries, "left_out": self._files.left_out},
        )  # fmt: skip
        if target == self._final:
            return
        try:
            target.rename(self._final)
            sync_folder(self._final.parent)
        except OSError as error:
            raise StorageError(f"cannot move {target} to {self._final}: {error}") from error
        with suppress(OSError):  # another run's copy grows there
            target.parent.rmdir()

    def _notes(self, entries: Entries) -> list[str]:
        notes = []
        if self._folder.stat().st_dev == self._final.stat().st_dev:
            notes.append("it is on the same disk as the run, and is lost with it")
        if not self._manifest:
            notes.append("the run has no manifest: the copy is as the run is now, sound or not")
        if IDENTITY_NAME in entries:
            notes.append(f"{IDENTITY_NAME} is in the copy: it says whom the run is about")
        return notes


class _Entry(msgspec.Struct):
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    digest: str


class _List(msgspec.Struct):
    files: dict[str, _Entry]


def files_in_copy(place: Path) -> Entries:
    """Return the files that a copy lists, {} for a folder that is no copy of a run."""
    try:
        files = msgspec.convert(read_object(place / LIST_NAME), _List).files
    except (LogError, msgspec.ValidationError):
        return {}
    return msgspec.to_builtins(files) if all(map(_is_inside, files)) else {}


def _is_inside(name: str) -> bool:
    path = Path(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts
