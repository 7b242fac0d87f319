"""Entries of a journal as tests compare them: how bad, and in what words."""

from __future__ import annotations

from collections.abc import Iterable

from hw.messages.telemetry import JournalLine, Severity


class LineJournal(list[str]):
    """A module's line's entries as displayed: ``alarm: module 3: the interlock is open``.

    lines : the entries themselves
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[JournalLine] = []

    def tell(self, line: JournalLine) -> None:
        """Record an entry."""
        self.append(f"{line.severity}: {line.text}")
        self.lines.append(line)


def told(lines: Iterable[JournalLine]) -> list[tuple[Severity, str]]:
    """Return each line's severity and English words."""
    return [(line.severity, line.text) for line in lines]
