"""Entries of a journal as tests compare them: how bad, and in what words."""

from __future__ import annotations

from collections.abc import Iterable

from hw.messages.telemetry import JournalLine, Severity


class LineJournal(list[str]):
    """A module's line's entries as displayed: ``alarm: module 3: the interlock is open``."""

    def tell(self, severity: Severity, words: str) -> None:
        """Record an entry."""
        self.append(f"{severity}: {words}")


def told(lines: Iterable[JournalLine]) -> list[tuple[Severity, str]]:
    """Return each line's severity and English words."""
    return [(line.severity, line.text) for line in lines]
