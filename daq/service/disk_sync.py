"""Brings a log to the disk again and again, in a thread of its own: a power cut costs little.

What a write has returned is safe from the death of the process, not from that of the machine. The
loop that records never waits for the disk; how far the disk is stands in ``synced_bytes``.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

SYNC_S = 0.5
"""Between two calls, where the disk is faster: a power cut costs that, and what was under way."""

END_S = 5.0


class DiskSync:
    """Of one log, from now until ``close``.

    synced_bytes : so many of its bytes are on the disk
    error : why the last call failed, "" if it did not
    """

    def __init__(self, path: Path, *, every_s: float = SYNC_S) -> None:
        """Raises OSError if there is no such file."""
        self.synced_bytes = 0
        self.error = ""
        self._every_s = every_s
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-sync", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every_s):
                self._sync()
            self._sync()
        finally:
            os.close(self._file)

    def _sync(self) -> None:
        try:
            size = os.fstat(self._file).st_size
            if size != self.synced_bytes or self.error:
                os.fdatasync(self._file)
                self.synced_bytes, self.error = size, ""
        except OSError as error:
            self.error = error.strerror or str(error)

    def close(self) -> None:
        """Sync once more and end, without waiting longer than a few seconds for the disk."""
        self._stop.set()
        self._thread.join(END_S)
