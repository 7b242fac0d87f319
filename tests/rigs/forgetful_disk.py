"""A disk as a power cut leaves it: only what was brought there by name is there.

A file has what it had at its last ``fsync`` or ``fdatasync``; it has a name only if its folder was
brought to the disk since it got it. Real file systems keep more; none promises more.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Inode = int


@dataclass(frozen=True)
class DiskState:
    """What the disk holds: bytes by inode, and the names in each folder's inode."""

    root: Inode
    contents: dict[Inode, bytes] = field(default_factory=dict)
    folders: dict[Inode, dict[str, Inode]] = field(default_factory=dict)

    def write_to(self, target: Path) -> None:
        """Write what is left after the cut into an empty folder."""
        self._write(self.root, target)

    def _write(self, folder: Inode, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name, inode in self.folders.get(folder, {}).items():
            if inode in self.folders:
                self._write(inode, target / name)
            else:
                (target / name).write_bytes(self.contents.get(inode, b""))


class ForgetfulDisk:
    """Watches the syncs of this process below a folder, which is on the disk from the start."""

    def __init__(self, root: Path, monkeypatch: Any) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._contents: dict[Inode, bytes] = {}
        self._folders: dict[Inode, dict[str, Inode]] = {root.stat().st_ino: {}}
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, sync: Any) -> Any:
        def synced(number: Any) -> None:
            sync(number)
            self._note(number if isinstance(number, int) else number.fileno())

        return synced

    def _note(self, number: int) -> None:
        path = Path(f"/proc/self/fd/{number}").readlink()
        if not path.is_relative_to(self._root):
            return
        found = os.fstat(number)
        with self._lock:
            if stat.S_ISDIR(found.st_mode):
                names = {one.name: one.inode() for one in os.scandir(path)}
                self._folders[found.st_ino] = names
                for one in os.scandir(path):
                    if one.is_dir():
                        self._folders.setdefault(one.inode(), {})
            else:
                with open(f"/proc/self/fd/{number}", "rb") as file:  # noqa: PTH123
                    self._contents[found.st_ino] = file.read(found.st_size)

    def cut(self) -> DiskState:
        """Return what a power cut now would leave."""
        with self._lock:
            folders = {inode: dict(names) for inode, names in self._folders.items()}
            return DiskState(self._root.stat().st_ino, dict(self._contents), folders)
