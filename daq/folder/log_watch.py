"""Notices that an open log is no longer what lies at its path, and brings it back.

A file that was deleted lives on as long as it is open: what is written to it is lost only when it
is closed. So a log that was deleted, or moved away, in mid-run is given a name again.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from daq.errors import StorageError
from daq.folder.appended_file import AppendedFile
from hw.whole_file import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, sync_folder

STEP_BYTES = 32 * 2**20
"""Copied, and brought to the disk, at a time: a fraction of a second."""

RESCUED = "rescued-"
"""In front of a log's name, where something else lies at its path."""


class LogWatch:
    """Watches one log while it is written. Of one thread: the one that appends.

    It keeps a descriptor of its own until ``close``, so that the file can be read whatever happens
    to its name.
    """

    def __init__(self, file: AppendedFile) -> None:
        """Raises StorageError if what lies at the file's path is not what is open."""
        self._file = file
        self._copy = -1
        self._copy_path = file.path
        self._copied = 0
        try:
            self._own = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StorageError(f"cannot watch {file.path}: {error.strerror}") from error
        if not os.path.sameopenfile(self._own, file.number):
            self.close()
            raise StorageError(f"cannot watch {file.path}: another file lies in its place")

    @property
    def is_astray(self) -> bool:
        """Whether the path no longer leads to the file, which can then be rescued."""
        here = os.fstat(self._own)
        try:
            return not os.path.samestat(self._file.path.lstat(), here)
        except OSError:
            return True

    @property
    def is_cut(self) -> bool:
        """Whether another program took bytes out of the file."""
        return os.fstat(self._own).st_size < self._file.size

    def look(self) -> str:
        """Return in words what happened to the file, "" if it is as it should be.

        Two system calls: meant to be called about once a second.
        """
        path, here = self._file.path, os.fstat(self._own)
        try:
            there = path.lstat()
        except OSError:
            return self._gone(here)
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            return f"{path.name} was replaced by another file in mid-run: {path}"
        if here.st_size < self._file.size:
            missing = self._file.size - here.st_size
            return f"{path.name} was cut in mid-run by another program: {missing} bytes are gone"
        return ""

    def _gone(self, here: os.stat_result) -> str:
        path = self._file.path
        if not path.parent.is_dir():
            return f"the run's folder was deleted, moved or unmounted in mid-run: {path.parent}"
        done = "moved away" if here.st_nlink else "deleted"
        return f"{path.name} was {done} in mid-run: {path}"

    def rescue(self, *, most_bytes: int = STEP_BYTES) -> Path | None:
        """Give the file a name again, under its path or, where something lies there, beside it.

        A file that was moved is linked. One that was deleted is copied, ``most_bytes`` at most in
        a call, and appended to meanwhile; once the copy has all of it, the writer goes on in it.

        Returns
        -------
        The path, when the file is there and on the disk; None while there is more to copy.

        Raises
        ------
        StorageError
            if the disk refuses; the open file is as it was, and the next call tries again.
        """
        try:
            if self._copy < 0 and self._linked():
                return self._file.path
            return self._copied_on(most_bytes)
        except OSError as error:
            self._give_up()
            raise StorageError(
                f"{self._file.path} cannot be brought back: {error.strerror}; it lives as long as "
                "this program has it open. Free disk space"
            ) from error

    def _free_path(self) -> Path:
        path = self._file.path
        make_folder(path.parent, mode=PRIVATE_FOLDER)
        if os.path.lexists(path):
            path = path.with_name(f"{RESCUED}{path.name.removeprefix(RESCUED)}")
        return path

    def _linked(self) -> bool:
        """Give a file that has another name its own again; a copy is needed where it has none."""
        if not os.fstat(self._own).st_nlink:
            return False
        path = self._free_path()
        try:
            own = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # only with a folder's descriptor does Python ask for links to be followed
            os.link(str(self._own), path, src_dir_fd=own, follow_symlinks=True)
        except OSError:  # on another file system, or not allowed
            return False
        finally:
            os.close(own)
        sync_folder(path.parent)
        self._file.path = path
        return True

    def _copied_on(self, most_bytes: int) -> Path | None:
        if self._copy < 0:
            self._copy_path, self._copied = self._free_path(), 0
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._copy = os.open(self._copy_path, flags, PRIVATE_FILE)
        left = min(most_bytes, self._file.size - self._copied)
        while left > 0 and (done := os.sendfile(self._copy, self._own, self._copied, left)):
            self._copied += done
            left -= done
        os.fdatasync(self._copy)
        if left <= 0 and self._copied < self._file.size:
            return None
        sync_folder(self._copy_path.parent)
        self._file.go_on_in(self._copy, self._copy_path)
        os.close(self._own)
        self._own, self._copy = self._copy, -1
        return self._copy_path

    def _give_up(self) -> None:
        """Remove a half-made copy, unless that, too, is no longer there."""
        if self._copy < 0:
            return
        with contextlib.suppress(OSError):
            there = self._copy_path.lstat()
            if stat.S_ISREG(there.st_mode) and os.path.samestat(there, os.fstat(self._copy)):
                self._copy_path.unlink()
        os.close(self._copy)
        self._copy = -1

    def close(self) -> None:
        """Stop watching; to be called before the log is closed, or after."""
        self._give_up()
        if self._own >= 0:
            os.close(self._own)
            self._own = -1
