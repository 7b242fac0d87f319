"""What another process told, in the language that is spoken: by its id where it has one."""

from __future__ import annotations

from gui.kit.wording import grouped
from gui.kit.words import mark, spoken, tr
from hw.messages.telemetry import ALIKE, REPEATED, JournalEntry, StartCheck
from hw.notices.catalogue import words_of

CHECK_NAMES = (
    mark("source"), mark("modules"), mark("calibration"), mark("disk"), mark("imager"),
    mark("clock"), "QC",
)  # fmt: skip


COUNTS = ("count", "total", "words", "wanted", "found", "prompts", "delayeds")
"""Values of messages that are counts, written as all counts are."""


def told(name: str, values: dict[str, str], text: str) -> str:
    """Return a message's words, ``text`` where it has no id or one that is not known here."""
    counts = {key: _count(v) for key, v in values.items() if key.split(".")[-1] in COUNTS}
    return words_of(name, values | counts, spoken()) or text


def entry_words(entry: JournalEntry) -> str:
    """Return an entry of the journal; one that stands for more says for how many."""
    words = told(entry.id, entry.values, entry.text)
    if words == entry.text:
        return words  # whose own words say it
    if more := entry.values.get(REPEATED):
        return words + " " + tr("(repeated {more} times)", more=_count(more))
    if more := entry.values.get(ALIKE):
        return words + " " + tr("(and others like it, {more} times)", more=_count(more))
    return words


def _count(value: str) -> str:
    return grouped(float(value)) if value.isascii() and value.isdigit() else value


def check_words(check: StartCheck) -> str:
    """Return what was looked at before a start, and what was found."""
    return f"{tr(check.name)}: {told(check.id, check.values, check.words)}"
