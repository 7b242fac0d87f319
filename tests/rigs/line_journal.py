"""The journal entries of a module's line, for tests."""

from __future__ import annotations

from hw.messages.telemetry import Severity


class LineJournal(list[str]):
    """Entries as displayed: ``alarm: module 3: the interlock is open``."""

    def tell(self, severity: Severity, words: str) -> None:
        """Record an entry."""
        self.append(f"{severity}: {words}")
