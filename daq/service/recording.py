"""Recording and sorting of one run, turn by turn. Recording comes first.

Frames go to the raw log before anything else is done with them. Whatever happens behind that
(sorting that cannot follow or fails, a list-mode log that cannot be written) does not end it, and
can be made good from the raw log. A full disk is waited for: nothing is taken from the sockets
meanwhile, so sources hold their data back.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence

from daq.errors import DaqError, StorageError
from daq.folder.journal import Journal
from daq.path.frame_check import Frame
from daq.path.pipeline import Output
from daq.path.run_summary import UNSORTED
from daq.service.run import Run
from hw.notices.catalogue import notice

DISK_FULL_S = 60.0
"""So long a full disk is waited for."""

RAW_ONLY_BYTES = 16 * 2**20
"""With less room, only the raw log is written."""

SLOW_S = 0.5
"""For one write; a disk that takes longer is told."""

GUARD_S = 0.5
"""Between two looks at whether the logs are still where they belong."""

SORTED_LOGS = (".tmlm", ".tmws")
"""The logs that can be made again from the raw log."""

LATER = 8
"""By which the time for sorting is divided where recording needs it."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
Deliver = Callable[[Run, Output], None]


class Recording:
    """Records and sorts one run. ``deliver`` takes what was sorted."""

    def __init__(self, journal: Journal, deliver: Deliver) -> None:
        self._journal, self._deliver = journal, deliver
        self._full_since_s: float | None = None
        self._no_room_since_s: float | None = None
        self._not_synced = ""
        self._not_kept = ""
        self._next_guard_s = 0.0

    @property
    def blocked(self) -> bool:
        """Whether the disk is full: no more frames should be taken in now."""
        return self._full_since_s is not None

    def record(self, run: Run, frames: Sequence[Frame], now: float) -> None:
        """Record frames, or what the disk did not take before; ``now`` is monotonic, in seconds.

        Raises
        ------
        StorageError
            if the disk does not take them, and waiting is in vain.
        """
        began = time.monotonic()
        try:
            run.record(frames)
            took_s = time.monotonic() - began
        except StorageError as error:
            self._wait_for_room(run, error, now)
            return
        if self._full_since_s is not None:
            waited_s, self._full_since_s = now - self._full_since_s, None
            self._journal.tell(notice("disk.room", waited_s=f"{waited_s:.1f}"))
        if took_s > SLOW_S:
            self._journal.tell(notice("disk.slow", took_s=f"{took_s:.1f}"), kind="slow disk")

    def _wait_for_room(self, run: Run, error: StorageError, now: float) -> None:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in _FULL:
            raise error
        if self._full_since_s is None:
            self._full_since_s = now
            words = f"{error}. Recording waits for {DISK_FULL_S:g} s, the sources hold their data"
            self._journal.tell(notice("disk.full", words=words))
            run.taint("the disk was full for a while")
        elif now - self._full_since_s > DISK_FULL_S:
            raise error

    def sort(self, run: Run, budget_s: float) -> bool:
        """Sort what is recorded, for about so long; return whether there is more to do now.

        Whatever goes wrong ends the sorting alone: the raw log can be sorted later.
        """
        begin = time.monotonic()
        if not run.backlog or self._has_no_room(run, begin):
            return False
        if run.load.sorts_later:
            budget_s /= LATER
        try:
            while run.backlog:
                self._deliver(run, run.sort_next())
                if time.monotonic() >= begin + budget_s:
                    break
        except DaqError as error:
            self.end_sorting(run, str(error))
        except Exception as error:  # noqa: BLE001  (a defect of ours must not end the recording)
            self.end_sorting(run, f"internal error in sorting, please report: {error!r}")
        return bool(run.backlog)

    def _has_no_room(self, run: Run, now: float) -> bool:
        """Whether the raw log needs the room left: sorting waits, and ends if that lasts."""
        try:
            disk = os.statvfs(run.folder)
        except OSError:  # whoever writes there will say it
            return False
        if disk.f_bavail * disk.f_frsize >= RAW_ONLY_BYTES:
            self._no_room_since_s = None
            return False
        if self._no_room_since_s is None:
            self._no_room_since_s = now
        if now - self._no_room_since_s > DISK_FULL_S:
            self.end_sorting(run, f"less than {RAW_ONLY_BYTES >> 20} MiB are free")
        return True

    def end_sorting(self, run: Run, why: str) -> None:
        """Sort no more, and say so."""
        run.leave_unsorted(why)
        self._journal.tell(notice("sorting.ended", why=why, run=run.name))

    def look(self, run: Run) -> None:
        """Journal what is new about the disk and the sorting."""
        now = time.monotonic()
        behind_s = (run.newest_ps - run.pipeline.newest_ps) * 1e-12
        for line in run.load.look(run.backlog.bytes, behind_s, now):
            self._journal.tell(line)
        if run.imager is not None:
            for line in run.load.look_at_image(run.imager, now):
                self._journal.tell(line)
        if now >= self._next_guard_s:
            self._next_guard_s = now + GUARD_S
            self.guard(run)
        if run.disk.error and run.disk.error != self._not_synced:
            self._journal.tell(notice("disk.fails", words=run.disk.error))
            run.taint("the disk failed")
        self._not_synced = run.disk.error
        if run.refused.error and run.refused.error != self._not_kept:
            self._journal.tell(notice("refused.not_kept", words=run.refused.error))
        self._not_kept = run.refused.error

    def guard(self, run: Run) -> None:
        """Restore files of the run that were removed or changed, and journal it."""
        for line in run.guard.look():
            self._journal.tell(line)
            run.taint("somebody deleted, moved or cut its logs in mid-run")
        for name in run.guard.cut():
            if name.endswith(SORTED_LOGS):
                run.taint(f"{UNSORTED} ({name} was cut in mid-run): `tomoshibi recover` sorts it")
