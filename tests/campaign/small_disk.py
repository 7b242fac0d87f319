"""The disk that the runs lie on: small, and, where mounting is allowed, one whose power can be cut.

With loop devices it is a file system of its own (ext4) in a file. `EXT4_IOC_SHUTDOWN` without
flushing ends it as a power cut does (xfstests uses the same): what was not written to the device by
then is gone. Else a tmpfs, which can be full at least; else a plain folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

SIZE_MB = 128
_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), fs/ext4/ext4.h
_WITHOUT_FLUSH = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH


class SmallDisk:
    """A file system at a folder; ``kind`` is "ext4", "tmpfs" or "" where nothing can be mounted."""

    def __init__(self, folder: Path, *, image: Path) -> None:
        self._folder, self._image = folder, image
        folder.mkdir()
        self.kind = self._made()

    def _made(self) -> str:
        if os.geteuid() != 0:
            return ""
        if shutil.which("mkfs.ext4"):
            with self._image.open("wb") as file:
                file.truncate(SIZE_MB << 20)
            if _done("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image)) and self._mount():
                return "ext4"
            self._image.unlink()
        size = f"size={SIZE_MB}m,mode=700"
        return "tmpfs" if _done("mount", "-t", "tmpfs", "-o", size, "campaign", self._name) else ""

    @property
    def _name(self) -> str:
        return str(self._folder)

    def _mount(self) -> bool:
        if not _done("mount", "-o", "loop", str(self._image), self._name):
            return False
        self._folder.chmod(0o700)
        return True

    def cut(self) -> None:
        """Cut the power; from here on every access fails. End its users, then call ``back``."""
        here = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(here, _SHUTDOWN, _WITHOUT_FLUSH)
        finally:
            os.close(here)

    def back(self) -> None:
        """Mount what the disk has. Raises OSError."""
        self.give_back(lazily=False)
        if not self._mount():
            raise OSError(f"{self._image}: cannot be mounted again")

    def give_back(self, *, lazily: bool = True) -> None:
        """Unmount; lazily: whoever still uses it."""
        options = ["-l"] if lazily else []
        for _ in range(20 if self.kind else 0):
            if _done("umount", *options, self._name):
                return
            time.sleep(0.1)  # a process that was killed may not be gone yet


def _done(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0
