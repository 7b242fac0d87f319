"""A file that only grows, and how far it has reached the disk.

What ``append`` has written is the kernel's: it outlives the process, but not the machine. ``sync``
brings it to the disk, and may be called by a thread of its own, so that whoever appends never waits
for the disk.
"""

from __future__ import annotations

import fcntl
import os
import threading
from errno import EACCES, EWOULDBLOCK
from pathlib import Path

from daq.errors import StorageError
from hw.whole_file import PRIVATE_FILE, sync_folder

Bytes = bytes | memoryview
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


def lock_file(number: int) -> bool:
    """Lock an open file for as long as it is open; return whether no other process had it."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (EWOULDBLOCK, EACCES)  # else: no locks there
    return True


class AppendedFile:
    """An open file of its owner alone, locked against other writers.

    size : bytes that are written
    synced_bytes : of these, how many are on the disk for sure
    """

    def __init__(self, path: Path, *, size: int | None = None, new: bool = True) -> None:
        """Create a file, or open the one that is there, and bring its name to the disk.

        size : bytes to keep; what follows is cut off; None keeps all

        Raises
        ------
        StorageError
            if it cannot be opened, if a ``new`` one exists, or if another process writes it.
        """
        self.path = path
        flags = _APPEND | os.O_CREAT | (os.O_EXCL if new else 0)
        try:
            self._file = os.open(path, flags, PRIVATE_FILE)
        except OSError as error:
            raise StorageError(f"cannot create {path}: {error.strerror}") from error
        self._closing = threading.Lock()
        self._doubt = ""
        self.size = self.synced_bytes = 0
        try:
            if not lock_file(self._file):
                raise StorageError(f"{path} is being written by another process")
            if size is not None:
                os.ftruncate(self._file, size)
            self.size = os.fstat(self._file).st_size
            sync_folder(path.parent)
        except OSError as error:
            self.close()
            raise StorageError(f"cannot create {path}: {error.strerror}") from error
        except StorageError:
            self.close()
            raise

    @property
    def number(self) -> int:
        """The file's descriptor, -1 when it is closed."""
        return self._file

    def append(self, *parts: Bytes) -> None:
        """Write parts one behind the other, with one system call as a rule; all of them, or none.

        Raises
        ------
        StorageError
            if the disk does not take all; what was written of it is cut off again.
        """
        wanted = sum(map(len, parts))
        try:
            done = os.writev(self._file, parts)
            while done < wanted:  # rare: a signal or a nearly full disk cut the call short
                done += os.write(self._file, b"".join(parts)[done:])
        except OSError as error:
            self._cut_back()
            raise StorageError(
                f"cannot write to {self.path}: {error.strerror}; everything before is kept. "
                "Free disk space, then start a new run"
            ) from error
        self.size += wanted

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            return  # readers find a torn tail

    def sync(self) -> int:
        """Bring to the disk what is written; return how many bytes are there for sure.

        May be called by any thread while another one appends or closes; neither waits for it.

        Raises
        ------
        StorageError
            if the disk refused, now or in an earlier call: what it lost then is not known, and it
            does not say so twice. ``synced_bytes`` stays as it was.
        """
        with self._closing:
            if self._file < 0 or (self.synced_bytes == self.size and not self._doubt):
                return self.synced_bytes
            size, number = self.size, os.dup(self._file)
        try:
            os.fdatasync(number)
        except OSError as error:
            self._doubt = error.strerror or str(error)
        finally:
            os.close(number)
        if self._doubt:
            raise StorageError(
                f"{self.path} is not safe on the disk beyond {self.synced_bytes} bytes: "
                f"{self._doubt}. Check the disk, and copy the run elsewhere when it has ended"
            )
        self.synced_bytes = max(self.synced_bytes, size)
        return self.synced_bytes

    def go_on_in(self, number: int, path: Path) -> None:
        """Switch to another open file that holds the same bytes, all on the disk.

        Raises OSError.
        """
        with self._closing:
            fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
            lock_file(number)
            os.dup2(number, self._file, inheritable=False)
            self.path, self.synced_bytes, self._doubt = path, self.size, ""

    def close(self) -> None:
        """Close it as it is; a ``sync`` under way ends as if it were open."""
        with self._closing:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
