"""The program's versions side by side, and which is in force.

A folder holds each version by its name, and two links: ``current``, through which units and command
go, and ``previous``. A link is exchanged by a rename, which is done or not done: at any moment
``current`` leads to one whole version. A change that has not been seen to work stands in
``unconfirmed.json``, with the way back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from daq.cli.appliance.places import NAME, write_readable
from daq.cli.common import CommandError
from hw.bounded_files import FileRefused, read_object
from hw.whole_file import make_folder, sync_folder, whole_link

CURRENT, PREVIOUS = "current", "previous"
WHOLE = "whole"
"""A file in a version's folder, written last: without it the folder is what was left of a build."""

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,99}")


class Unconfirmed(msgspec.Struct, frozen=True):
    """A change from one version to another, and what was the previous one before it ("": none).

    An older version reads what a newer one wrote: fields that it does not know are left out.
    """

    to: str
    came_from: str
    previous: str = ""


class Versions:
    """The versions in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def current(self) -> str:
        """The name of the version in force, "" for none."""
        return self._led_to(CURRENT)

    @property
    def previous(self) -> str:
        """The name of the version before, "" for none."""
        return self._led_to(PREVIOUS)

    def _led_to(self, link: str) -> str:
        try:
            name = str((self.folder / link).readlink())
        except OSError:
            return ""
        return name if self.is_whole(name) else ""

    def place(self, name: str) -> Path:
        """Return a version's folder; CommandError if the name cannot be a version's."""
        if not _NAME.fullmatch(name) or name in (CURRENT, PREVIOUS):
            raise CommandError(f"{name!r} is no name of a version")
        return self.folder / name

    def program(self, name: str) -> Path:
        """Return a version's command line."""
        return self.place(name) / NAME

    def is_whole(self, name: str) -> bool:
        """Whether a version's build was finished."""
        return bool(_NAME.fullmatch(name)) and (self.folder / name / WHOLE).is_file()

    def finish(self, name: str) -> None:
        """Mark a version's build as finished, once all of it is on the disk."""
        os.sync()
        write_readable(self.place(name) / WHOLE, f"{name}\n")

    def put_in_force(self, name: str, *, previous: str) -> None:
        """Make a complete version the current one, after setting the way back."""
        if not self.is_whole(name):
            raise CommandError(f"version {name} in {self.folder} is not whole: build it again")
        self._lead(PREVIOUS, previous)
        self._lead(CURRENT, name)

    def _lead(self, link: str, name: str) -> None:
        path = self.folder / link
        if name:
            whole_link(path, Path(name))
        else:
            path.unlink(missing_ok=True)
            sync_folder(self.folder)

    def forget_others(self) -> list[str]:
        """Remove all versions but current, previous and the way back; return those removed."""
        kept = {self.current, self.previous}
        if (open_change := self.unconfirmed()) is not None:
            kept |= {open_change.came_from, open_change.previous}
        others = [path for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink()]
        gone = [path for path in others if path.name not in kept]
        for path in gone:
            (path / WHOLE).unlink(missing_ok=True)  # first: what is half removed is not whole
            shutil.rmtree(path)
        return sorted(path.name for path in gone)

    # --- changes that nobody has seen to work yet ---------------------------------------------

    @property
    def _note(self) -> Path:
        return self.folder / "unconfirmed.json"

    def unconfirmed(self) -> Unconfirmed | None:
        """Return the change that is not confirmed yet; None if there is none."""
        try:
            return msgspec.convert(read_object(self._note), Unconfirmed)
        except FileRefused:
            if not self._note.exists():
                return None
            raise CommandError(f"{self._note} cannot be read: remove it") from None
        except msgspec.ValidationError as error:
            raise CommandError(f"{self._note}: {error}; remove it") from error

    def note(self, change: Unconfirmed) -> None:
        """Record a change before it is made."""
        write_readable(self._note, msgspec.json.encode(change).decode())

    def confirm(self) -> None:
        """Confirm that the version in force works, or that the way back was taken."""
        self._note.unlink(missing_ok=True)
        sync_folder(self.folder)

    # --- one at a time ------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock out other changes; CommandError at once if another one is under way."""
        make_folder(self.folder, mode=0o755)
        with (self.folder / "lock").open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CommandError(
                    f"somebody installs, updates or rolls back in {self.folder} right now: wait "
                    "until that has ended"
                ) from error
            yield
