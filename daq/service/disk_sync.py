"""Brings a log to the disk again and again, in a thread of its own: a power cut costs little.

What a write has returned is safe from the death of the process, not from that of the machine. The
loop that records never waits for the disk; how far the disk is stands in ``synced_bytes``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from daq.errors import StorageError
from daq.folder.appended_file import AppendedFile

SYNC_S = 0.5
"""Between two calls, where the disk is faster: a power cut costs that, and what was under way."""

END_S = 5.0


class DiskSync:
    """Syncs one log, from now until ``close``.

    error : why what is written is not safe on the disk, "" if it is
    beside : brings something else there each time, such as the journal; may raise StorageError
    """

    def __init__(self, log: AppendedFile, *, every_s: float = SYNC_S) -> None:
        self.error = ""
        self.beside: Callable[[], object] = lambda: None
        self._log, self._every_s = log, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-sync", daemon=True)
        self._thread.start()

    @property
    def synced_bytes(self) -> int:
        """The number of the log's bytes that are on the disk."""
        return self._log.synced_bytes

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._sync()
        self._sync()

    def _sync(self) -> None:
        try:
            self._log.sync()
            self.error = ""
        except (StorageError, OSError) as error:
            self.error = str(error)
        with contextlib.suppress(StorageError, OSError):  # whoever writes there tells it
            self.beside()

    def close(self) -> None:
        """Sync once more and end, without waiting longer than a few seconds for the disk."""
        self._stop.set()
        self._thread.join(END_S)
