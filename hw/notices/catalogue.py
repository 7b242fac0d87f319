"""The catalogue of messages: what an id says, how bad it is, and what to do about it.

Ids and values travel and are kept; the words of another language come from its folder beside this
file. The English text goes with each message too, so that journals read well without the catalogue.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Formatter
from typing import Literal

import msgspec

from hw.bounded_files import toml_in
from hw.messages.telemetry import JournalLine, Severity
from hw.notices.language import translations

Priority = Literal["high", "medium", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "medium", "low")


class Notice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of the catalogue; ``en.toml`` explains the fields."""

    severity: Severity
    says: str
    means: str = ""
    do: str = ""
    priority: Priority = "medium"
    lasts: bool = False
    ends: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @property
    def values(self) -> frozenset[str]:
        """The names of the values that its words have."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.says) if name)


@cache
def catalogue(language: str = "en") -> dict[str, Notice]:
    """Return all messages by their ids."""
    text = resources.files("hw.notices").joinpath("en.toml").read_text(encoding="utf-8")
    english, said = msgspec.convert(toml_in(text), dict[str, Notice]), translations(language)
    return {
        name: msgspec.structs.replace(
            entry,
            says=said.get(entry.says, entry.says),
            means=said.get(entry.means, entry.means),
            do=said.get(entry.do, entry.do),
        )
        for name, entry in english.items()
    }


def notice(name: str, **values: object) -> JournalLine:
    """Return a message with its values and its English words; raises KeyError for an id or a value
    that the catalogue does not have.

    A value may be a message itself: its id and its values travel with it, as ``why.id`` and
    ``why.folder`` for instance.
    """
    entry = catalogue()[name]
    told: dict[str, str] = {}
    for key, value in values.items():
        told |= _within(key, value) if isinstance(value, JournalLine) else {key: str(value)}
    text = entry.says.format(**told)
    return JournalLine(severity=entry.severity, text=text, id=name, values=told)


def _within(key: str, line: JournalLine) -> dict[str, str]:
    """Return the values by which a message travels within another."""
    parts = {"id": line.id, **line.values} if line.id else {}
    return {key: line.text} | {f"{key}.{part}": value for part, value in parts.items()}


def words_of(name: str, values: dict[str, str], language: str = "en") -> str:
    """Return a message's words in a language, "" where the catalogue does not have it."""
    entry = catalogue(language).get(name)
    if entry is None or not entry.values <= values.keys():
        return ""
    return entry.says.format(**{key: _value(key, values, language) for key in entry.values})


def _value(key: str, values: dict[str, str], language: str) -> str:
    """Return a value in a language: that of a message within a message is its words."""
    name = values.get(f"{key}.id", "")
    parts = {k.removeprefix(f"{key}."): v for k, v in values.items() if k.startswith(f"{key}.")}
    return (words_of(name, parts, language) if name else "") or values[key]
