"""Lines that the link process has for the journal, severity first: ``alarm: module 3: …``."""

from __future__ import annotations

from typing import get_args

from hw.messages.codec import Severity

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


def split_severity(line: str) -> tuple[Severity, str]:
    """Return the severity and the words of a line; one without a severity is information."""
    first, _, words = line.partition(": ")
    for severity in SEVERITIES:
        if first == severity:
            return severity, words
    return "info", line
