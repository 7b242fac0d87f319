"""What is written down of a module's line: journal lines, the transcript and its dumps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from daq.link.serial.transcript import Transcript

Dump = Path | Callable[[str, list[str]], None]


class Chronicle:
    """Tells the journal and dumps the transcript. May be called from any thread.

    name : of the dumps' files; journal : takes lines that begin with their severity; transcripts :
    folder of dumps, a function that is given the reason and the lines, or None
    """

    def __init__(
        self, name: str, *, journal: Callable[[str], None] | None, transcripts: Dump | None
    ) -> None:
        self.transcript = Transcript()
        self._name, self._journal, self._transcripts = name, journal, transcripts
        self._threads: list[threading.Thread] = []

    def tell(self, words: str) -> None:
        """Write a line into the journal and the transcript."""
        self.transcript.event(words)
        if self._journal is not None:
            self._journal(words)

    def dump(self, reason: str) -> Path | None:
        """Write the last 1024 messages down; return the file where there is one.

        A disk that does not take it is told in the journal, and nothing else suffers.
        """
        if self._transcripts is None:
            return None
        try:
            if isinstance(self._transcripts, Path):
                return self.transcript.dump(self._transcripts, self._name, reason)
            self._transcripts(reason, self.transcript.lines())
        except OSError as error:
            where = self._transcripts if isinstance(self._transcripts, Path) else "its place"
            self.tell(f"warning: the transcript could not be written to {where}: {error.strerror}")
        return None

    def dump_aside(self, reason: str) -> None:
        """Dump without holding up the caller, which may be the poller."""
        if self._transcripts is not None:
            thread = threading.Thread(target=self.dump, args=(reason,), daemon=True)
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()

    def close(self) -> None:
        """Wait until what is being written is written (bounded)."""
        for thread in self._threads:
            thread.join(5.0)
