"""Messages for the journal as tests compare them: how bad, and in what words."""

from __future__ import annotations

from collections.abc import Iterable

from hw.messages.telemetry import JournalLine, Severity


def told(lines: Iterable[JournalLine]) -> list[tuple[Severity, str]]:
    """Return each line's severity and English words."""
    return [(line.severity, line.text) for line in lines]
