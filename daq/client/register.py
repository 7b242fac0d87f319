"""The register of this user's running systems: one small file for each daq that runs.

It lies in the runtime folder, which no other user may enter. A file is believed as long as its
process runs and is the very one that wrote it: a process number that the kernel gave away again has
another start time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hw.private_place import private_folder, runtime_folder
from hw.whole_file import PRIVATE_FILE, whole_file

FOLDER = "systems"
MOST_BYTES = 65_536
_START_TIME = 19
"""Of the fields of /proc/PID/stat behind the command's name (proc(5): field 22)."""


class RunningSystem(msgspec.Struct, frozen=True):
    """A daq that runs, and its address.

    started : when its process began, in clock ticks since the machine did
    by : the command that a person typed, such as "demo"
    """

    pid: int
    started: int
    endpoint: str
    runs: str
    scanner: str
    by: str


def describe_self(endpoint: str, *, runs: Path, scanner: str, by: str) -> RunningSystem:
    """Return the register's entry for this process."""
    pid = os.getpid()
    return RunningSystem(pid, _started(pid), endpoint, str(runs.absolute()), scanner, by)


@contextlib.contextmanager
def registered(system: RunningSystem) -> Iterator[None]:
    """Keep a system in the register while active.

    Raises
    ------
    PlaceError
        if others may enter the folder, or could replace it
    FileWriteError
        if the file cannot be written
    """
    path = private_folder(_folder()) / f"{system.pid}.json"
    with whole_file(path, mode=PRIVATE_FILE) as file:
        file.write(msgspec.json.encode(system))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running_systems() -> list[RunningSystem]:
    """Return the systems that run, the oldest first; removes files of those that are gone."""
    found = []
    for path in _folder().glob("[!.]*.json"):
        system = _read(path)
        if system is not None and _started(system.pid) == system.started:
            found.append(system)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return sorted(found, key=lambda system: (system.started, system.pid))


def _folder() -> Path:
    """Return the register's folder, in a runtime folder that is this user's alone."""
    return private_folder(runtime_folder()) / FOLDER


def _read(path: Path) -> RunningSystem | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MOST_BYTES), type=RunningSystem)
    except (OSError, msgspec.DecodeError):
        return None


def _started(pid: int) -> int:
    """Return when a process began, in clock ticks since the machine did; 0 if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *_ = fields = text.rpartition(")")[2].split()
    except (OSError, ValueError):
        return 0
    return 0 if state in "ZX" else int(fields[_START_TIME])
