"""Keeps the logs of a running run where they belong: who deletes or moves one does not end it.

A file that was deleted lives on while it is open. So it is brought back, the raw log first, and
said; only what stands in no log (such as a patient's identity) is gone with a folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from daq.errors import StorageError
from daq.folder.appended_file import AppendedFile
from daq.folder.log_watch import LogWatch
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice


class _Guarded:
    """One log, and what of it was told."""

    def __init__(self, file: AppendedFile) -> None:
        self.file, self.watch, self.told = file, LogWatch(file), ""


class LogGuard:
    """Guards one run's logs from now until ``end``, to be called before they are closed."""

    def __init__(self, files: Sequence[AppendedFile], *, restore: Callable[[], list[str]]) -> None:
        """``restore``: makes again what else the folder should hold, and returns its names; may
        raise StorageError.
        """
        self._logs = [_Guarded(file) for file in files]
        self._restore, self._not_restored = restore, ""

    def add(self, file: AppendedFile) -> None:
        """Watch one more file; raises StorageError if it is lost already."""
        self._logs.append(_Guarded(file))

    def look(self) -> list[JournalLine]:
        """Return what happened to the logs, and what was done; to be called about once a second."""
        return [line for log in self._logs for line in self._look_at(log)] + self._restored()

    def _restored(self) -> list[JournalLine]:
        try:
            names = self._restore()
        except StorageError as error:
            before, self._not_restored = self._not_restored, str(error)
            again = before == self._not_restored
            return [] if again else [notice("logs.taken", words=self._not_restored)]
        words = f"deleted or changed in mid-run, and made again: {', '.join(names)}"
        return [notice("logs.taken", words=words)] if names else []

    def cut(self) -> list[str]:
        """Return the names of the logs of which another program took bytes."""
        return [log.file.path.name for log in self._logs if log.watch.is_cut]

    def _look_at(self, log: _Guarded) -> list[JournalLine]:
        words = log.watch.look()
        news = [notice("logs.taken", words=words)] if words and words != log.told else []
        log.told = words
        if words and log.watch.is_astray:
            news += self._rescue(log)
        return news

    def _rescue(self, log: _Guarded) -> list[JournalLine]:
        try:
            path = log.watch.rescue()
            if path is None:
                return []
        except StorageError as error:
            again = str(error) == log.told
            log.told = str(error)
            return [] if again else [notice("logs.taken", words=log.told)]
        log.told = ""
        return [notice("logs.brought_back", path=path)]

    def end(self) -> None:
        """Restore what still lacks a name, however long that takes, and stop watching."""
        for log in self._logs:
            with contextlib.suppress(StorageError):  # it was told
                while log.watch.is_astray and log.watch.rescue() is None:
                    pass
            log.watch.close()
