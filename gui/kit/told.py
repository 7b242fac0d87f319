"""What another process told, in the language that is spoken: by its id where it has one."""

from __future__ import annotations

from gui.kit.wording import grouped
from gui.kit.words import mark, spoken, tr
from hw.messages.telemetry import StartCheck
from hw.notices.catalogue import words_of

CHECK_NAMES = (
    mark("source"), mark("modules"), mark("calibration"), mark("disk"), mark("imager"),
    mark("clock"), "QC",
)  # fmt: skip


COUNTS = ("count", "total", "words", "wanted", "found")
"""Values of messages that are counts, written as all counts are."""


def told(name: str, values: dict[str, str], text: str) -> str:
    """Return a message's words, ``text`` where it has no id or one that is not known here."""
    counts = {
        key: grouped(float(value))
        for key, value in values.items()
        if key in COUNTS and value.isascii() and value.isdigit()
    }
    return words_of(name, values | counts, spoken()) or text


def check_words(check: StartCheck) -> str:
    """Return what was looked at before a start, and what was found."""
    return f"{tr(check.name)}: {told(check.id, check.values, check.words)}"
