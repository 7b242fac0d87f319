"""News of a module's line, under the module's name: in the journal, transcript and dumps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daq.link.serial.frame_books import FrameBooks
from daq.link.serial.line_errors import FirmwareMismatch, SerialLinkError
from daq.link.serial.line_statistics import LinkStatistics
from daq.link.serial.transcript import Chronicle, Dump, Tell
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.control import ResetCause, fault_words


class ModuleNews:
    """Tells of one module. ``transcript`` : the last messages on its line."""

    def __init__(
        self,
        module: int | None,
        statistics: LinkStatistics,
        *,
        journal: Tell | None,
        transcripts: Dump | None,
    ) -> None:
        self._module, self._statistics = module, statistics
        name = "module" if module is None else f"module-{module:03d}"
        self._chronicle = Chronicle(name, journal=journal, transcripts=transcripts)
        self.transcript = self._chronicle.transcript
        self._told_lost = (0, 0, 0.0)

    @property
    def where(self) -> str:
        """This module's name in error messages."""
        return "{module} on {port}".format(**self._named)

    @property
    def _named(self) -> dict[str, str]:
        """This module's name, as the values of a message."""
        name = "the module" if self._module is None else f"module {self._module}"
        return {"module": name, "port": self._statistics.url or "its port"}

    def tell(self, line: JournalLine) -> None:
        """Write a line into the journal and the transcript."""
        self._chronicle.tell(line)

    def say(self, words: str) -> None:
        """Write of an event."""
        self.tell(JournalLine("info", f"{self.where}: {words}"))

    def dump(self, reason: str) -> Path | None:
        """Write the last 1024 messages to a file; return the file, if there is one."""
        return self._chronicle.dump(f"{self.where}: {reason}")

    def close(self) -> None:
        """Wait, for a bounded time, until everything is written."""
        self._chronicle.close()

    def linked(self, identity: np.void, how: str) -> None:
        """Tell that the module answers."""
        build = f"{int(identity['build']):08x}"
        self.tell(notice("module.linked", **self._named, how=how, build=build))

    def link_lost(self, why: str) -> None:
        """Tell that the line is lost, and dump what was said before."""
        self.tell(notice("module.link_lost", **self._named, why=why))
        self._chronicle.dump_aside(f"{self.where}: link lost: {why}")

    def not_back(self, error: SerialLinkError) -> None:
        """Tell of an attempt that failed; time does not mend another firmware."""
        if isinstance(error, FirmwareMismatch):
            self.tell(notice("module.other_firmware", **self._named, why=error))
        else:
            self.say(f"not back yet: {error}")

    def started_anew(self, identity: np.void) -> None:
        """Tell of a restart, and its cause."""
        causes = {int(cause): cause.name for cause in ResetCause}
        cause = causes.get(int(identity["reset_cause"]), "unknown cause")
        self.tell(notice("module.started_anew", **self._named, cause=cause))

    def fault(self, entry: np.void) -> None:
        """Tell of a fault that the module has noticed, and dump what was said before."""
        words = fault_words(int(entry["fault"]))
        limits = {"measured": int(entry["value"]), "allowed": int(entry["limit"])}
        self.tell(notice("module.fault", **self._named, fault=words, **limits))
        self._chronicle.dump_aside(f"{self.where}: fault: {words}")

    def losses_from(self, frames: int, words: int, now_s: float) -> None:
        """Tell only losses beyond these from now on."""
        self._told_lost = (frames, words, now_s)

    def frames_lost(self, books: FrameBooks, now_s: float) -> None:
        """Tell new losses, at most once a second."""
        frames, words, told_s = self._told_lost
        if books.lost_ever > frames and now_s - told_s >= 1.0:
            more = {"count": books.lost_ever - frames}
            more["words"] = max(0, books.lost_words - words)
            self.tell(notice("module.frames_lost", **self._named, **more))
            self._told_lost = (books.lost_ever, books.lost_words, now_s)
