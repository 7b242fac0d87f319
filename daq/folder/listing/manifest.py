"""The manifest of a run: the size and digest of each of its files, made when it was closed.

It shows later whether the disk, a copy or a person has changed anything. Not in it is what may
change with good reason: the journal, regions, images, screenshots and logs of processes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daq.errors import LogError, StorageError
from daq.folder.listmode_log import ListmodeReader
from daq.folder.plain_json import read_object
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import write_json
from daq.folder.signals.signal_file import signals_in
from hw.bounded_files import FileRefused, regular_file

FILE_NAME = "manifest.json"
ALGORITHM = "blake2b-256"
OF_RUNS = (
    ".tmraw", ".tmlm", ".tmws", ".tmtruth", ".npz", ".toml",
)  # fmt: skip
"""Endings of files that never change once a run is closed."""

JSON_FILES = (
    "run.json", "summary.json", "faults.json", "interruptions.json", "markers.json",
    "activity.json", "uids.json",
)  # fmt: skip
_STEP = 1 << 20
LONGEST_NAME = 255
"""In bytes, as file systems have it."""

Progress = Callable[[int, int], None]


@dataclass
class Verification:
    """What a run's files are against its manifest.

    files : that were checked; ``wrong`` : what is missing, changed or damaged, in words
    known : whether there is a manifest
    """

    known: bool
    files: int = 0
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def words(self) -> str:
        """Return the outcome in words."""
        if not self.known:
            return "no manifest: of an earlier release, never closed, or its daq left too soon"
        if self.wrong:
            return "; ".join(self.wrong)
        return f"whole: {self.files} files, {self.bytes / 1e6:.1f} MB"


def write_manifest(folder: Path) -> None:
    """Write the manifest of a run as it is now; raises StorageError."""
    entries = {path.name: entry_of(path) for path in _files(folder)}
    write_json(folder / FILE_NAME, {"algorithm": ALGORITHM, "files": entries})


def _files(folder: Path) -> Iterator[Path]:
    signals = set(signals_in(folder).values())
    for path in sorted(folder.iterdir()):
        named = path.suffix in OF_RUNS or path.name in JSON_FILES or path in signals
        if named and path.is_file() and not path.is_symlink():
            yield path


def entry_of(path: Path, progress: Callable[[int], None] = lambda size: None) -> dict[str, Any]:
    """Return a file's size and digest; raises StorageError."""
    digest, size = hashlib.blake2b(digest_size=32), 0
    try:
        with regular_file(path) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while part := file.read(_STEP):
                digest.update(part)
                size += len(part)
                progress(size)
    except (FileRefused, OSError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return {"bytes": size, "digest": digest.hexdigest()}


def sizes_wrong(folder: Path) -> list[str]:
    """Return in words which files are missing or differ in size; cheap, as no content is read."""
    found = []
    for name, entry in entries_of(folder).items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != entry["bytes"]:
            found.append(f"{name} has {path.stat().st_size} bytes, not {entry['bytes']}")
    return found


def has_manifest(folder: Path) -> bool:
    """Whether there is something to compare a run with."""
    return (folder / FILE_NAME).is_file()


def verify(folder: Path, *, progress: Progress | None = None) -> Verification:
    """Read all files of a run and compare them with its manifest.

    Raises
    ------
    LogError
        if the manifest cannot be read.
    """
    if not has_manifest(folder):
        return Verification(known=False)
    entries = entries_of(folder)
    found = Verification(known=True, files=len(entries))
    total = sum(entry["bytes"] for entry in entries.values())
    for name, entry in entries.items():

        def told(size: int, before: int = found.bytes) -> None:
            if progress is not None:
                progress(before + size, total)

        if words := _compare(folder / name, entry, told):
            found.wrong.append(words)
        found.bytes += entry["bytes"]
    return found


def _compare(path: Path, entry: dict[str, Any], progress: Callable[[int], None]) -> str:
    if not path.is_file():
        return f"{path.name} is missing: put it back from a copy"
    try:
        now = entry_of(path, progress)
    except StorageError as error:
        return str(error)
    if now == entry:
        return ""
    return f"{path.name} was changed since the run was closed{_damage_of(path)}"


def _damage_of(path: Path) -> str:
    """Say where a log is damaged, "" for another file, or a log whose blocks are sound."""
    kinds: dict[str, type[RawLogReader] | type[ListmodeReader]] = {
        "raw.tmraw": RawLogReader,
        "listmode.tmlm": ListmodeReader,
    }
    if path.name not in kinds:
        return ""
    try:
        reader = kinds[path.name](path)
        for _ in reader:
            pass
    except LogError as error:
        return f": {error}"
    torn = f"{reader.torn_bytes} bytes at its end are no whole block" if reader.torn_bytes else ""
    return "".join(f": {words}" for words in (reader.trouble, torn) if words)


def entries_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest's entries, {} without one; raises LogError."""
    if not (folder / FILE_NAME).is_file():
        return {}
    files = read_object(folder / FILE_NAME).get("files")
    sound = isinstance(files, dict) and all(
        Path(name).name == name
        and len(os.fsencode(name)) <= LONGEST_NAME
        and "\0" not in name
        and isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("digest"), str)
        for name, entry in files.items()
    )
    if not sound or not isinstance(files, dict):
        raise LogError(f"{folder / FILE_NAME} is no manifest: its files are not as they should be")
    return files
