"""What a module's line tells the journal, for tests."""

from __future__ import annotations

from hw.messages.telemetry import Severity


class LineJournal(list[str]):
    """Lines as they are shown: ``alarm: module 3: the interlock is open``."""

    def tell(self, severity: Severity, words: str) -> None:
        """Take a line."""
        self.append(f"{severity}: {words}")
