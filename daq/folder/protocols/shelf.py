"""The protocols available: those of the package, and this user's own.

A user's lie in ``protocols`` of the user's configuration (0700, files 0600), one file a version:
``NAME@3.toml``. What was saved is never written again: saving a name makes its next version, also
of a name of the package. A version that is deleted is set aside as ``NAME@3.deleted``, so that its
number is not given again: runs that were taken by it name it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hw.errors import FileWriteError
from hw.messages.scan_protocol import ScanProtocol
from hw.physics.nuclides import NuclideError, load_nuclide
from hw.private_place import PlaceError, check_private, locked_folder
from hw.scanner.protocol_text import (
    ProtocolError,
    protocol_text,
    read_protocol,
    shipped_protocols,
)
from hw.whole_file import PRIVATE_FILE, whole_file

MOST_FILES = 10_000
_FILE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,39})@(?P<version>[1-9]\d{0,6})")
_KEPT, _DELETED = ".toml", ".deleted"


def protocols_folder() -> Path:
    """Return the folder of this user's protocols; it may not exist yet."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "tomoshibi" / "protocols"


@dataclass(frozen=True)
class Shelved:
    """A protocol, and where it is kept: ``path`` is None for those of the package."""

    protocol: ScanProtocol
    path: Path | None = None


def check_nuclide(protocol: ScanProtocol) -> ScanProtocol:
    """Return a protocol whose nuclide is known; raises ProtocolError."""
    try:
        if protocol.nuclide:
            load_nuclide(protocol.nuclide)
    except NuclideError as error:
        raise ProtocolError(f"protocol {protocol.name}: nuclide: {error}") from error
    return protocol


class Shelf:
    """Finds, saves and deletes protocols. ``faults`` tells files that cannot be used, in words."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or protocols_folder()
        self.faults: list[str] = []

    def all(self) -> list[Shelved]:
        """Return every version of every protocol, by name, the newest version first."""
        self.faults = []
        found = [Shelved(one) for one in shipped_protocols()]
        for path in self._files(_KEPT):
            try:
                found.append(Shelved(_of_file(path), path))
            except ProtocolError as error:
                self.faults.append(str(error))
        return sorted(found, key=lambda one: (one.protocol.name, -one.protocol.version))

    def newest(self) -> list[Shelved]:
        """Return the newest version of each protocol, by name."""
        newest: dict[str, Shelved] = {}
        for one in self.all():
            newest.setdefault(one.protocol.name, one)
        return list(newest.values())

    def find(self, text: str) -> ScanProtocol:
        """Return the protocol ``NAME``, in its newest version, or ``NAME@VERSION``.

        Raises
        ------
        ProtocolError
            naming those that there are
        """
        name, _, number = text.partition("@")
        found = [one.protocol for one in self.all() if one.protocol.name == name]
        if number:
            found = [one for one in found if str(one.version) == number]
        if found:
            return found[0]
        broken = [fault for fault in self.faults if f"/{name}@" in fault]
        known = ", ".join(one.protocol.name for one in self.newest())
        words = f"there is no protocol {text!r}; there are {known}"
        raise ProtocolError("; ".join([words, *broken]))

    def save(self, protocol: ScanProtocol) -> Shelved:
        """Keep a protocol under the next version of its name; raises ProtocolError."""
        check_nuclide(protocol)
        with self._locked():
            version = 1 + max([0, *self._numbers(protocol.name)])
            kept = msgspec.structs.replace(protocol, version=version)
            path = self.folder / f"{kept.name}@{version}{_KEPT}"
            try:
                with whole_file(path, mode=PRIVATE_FILE) as file:
                    file.write(protocol_text(kept).encode())
            except FileWriteError as error:
                raise ProtocolError(str(error)) from error
        return Shelved(kept, path)

    def delete(self, text: str) -> list[ScanProtocol]:
        """Set aside all of a user's versions of ``NAME``, or ``NAME@VERSION``; return them."""
        name, _, number = text.partition("@")
        with self._locked():
            mine = [one for one in self.all() if one.path and one.protocol.name == name]
            wanted = [one for one in mine if number in ("", str(one.protocol.version))]
            if not wanted:
                raise ProtocolError(self._why_not_deleted(text, name))
            for one in wanted:
                assert one.path is not None
                one.path.replace(one.path.with_suffix(_DELETED))
        return [one.protocol for one in wanted]

    def _why_not_deleted(self, text: str, name: str) -> str:
        if any(one.name == name for one in shipped_protocols()):
            return f"{text}: it came with the program, and cannot be deleted"
        own = sorted({one.protocol.name for one in self.all() if one.path})
        return f"there is no protocol {text!r} of yours; yours are {', '.join(own) or 'none'}"

    def _numbers(self, name: str) -> list[int]:
        """Return the versions that a name ever had."""
        numbers = [one.version for one in shipped_protocols() if one.name == name]
        for path in [*self._files(_KEPT), *self._files(_DELETED)]:
            found = _FILE.fullmatch(path.stem)
            if found and found["name"] == name:
                numbers.append(int(found["version"]))
        return numbers

    def _files(self, suffix: str) -> list[Path]:
        """Return the user's files; none if the folder is missing, or open to other users."""
        if not self.folder.exists():
            return []
        try:
            check_private(self.folder)
            paths = sorted(path for path in self.folder.iterdir() if path.suffix == suffix)
        except (PlaceError, OSError) as error:
            self.faults.append(f"your protocols are not read: {error}")
            return []
        if len(paths) > MOST_FILES:
            self.faults.append(f"{self.folder} has {len(paths)} files, {MOST_FILES} are read")
        return paths[:MOST_FILES]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others from saving meanwhile; raises ProtocolError."""
        try:
            with locked_folder(self.folder):
                yield
        except (PlaceError, OSError) as error:
            raise ProtocolError(f"protocols: {error}") from error


def _of_file(path: Path) -> ScanProtocol:
    """Return the protocol in a user's file, whose name must say the same."""
    protocol = read_protocol(path)
    try:
        check_nuclide(protocol)
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error
    if path.stem != f"{protocol.name}@{protocol.version}":
        raise ProtocolError(
            f"{path}: it says that it is {protocol.name}@{protocol.version}: name the file "
            f"{protocol.name}@{protocol.version}{_KEPT}, or correct name and version in it"
        )
    return protocol
