"""Reconstruction options: dataclass fields that say how a user sets them.

Command-line options, their help, choices, bounds and checks are all derived from the fields: a new
option is one field and the code that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from recon.core.grid import ReconError

Modality = Literal["both", "PET", "SPECT"]


class OptionsError(ReconError):
    """An option is out of bounds; the message names it, its value and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a user sets a field.

    words : help text; "" where another class's field declares the option
    option : command-line name, where it differs from the field's
    bounds : lowest and highest value
    choices : allowed values, of each element for a tuple; a Literal brings its own
    parse : turns text into a value
    by_counts : chosen by the counts of a measurement where the user does not name it
    """

    name: str = ""
    default: Any
    words: str = ""
    group: str = "algorithm"
    modality: Modality = "PET"
    option: str = ""
    metavar: str | None = None
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
    by_counts: bool = False


def asked(default: Any, words: str = "", **facts: Any) -> Any:
    """Return a field with this default, set by the user as :class:`Asked` describes."""
    about = Asked(default=default, words=words, **facts)
    return field(default=default, metadata={"asked": about})


def asked_fields(kind: type) -> Iterator[Asked]:
    """Yield the fields of a dataclass that a user can set."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        if about := one.metadata.get("asked"):
            hint = hints[one.name]
            choices = get_args(hint) if get_origin(hint) is Literal else about.choices
            yield replace(about, name=one.name, choices=choices)


def check_options(options: Any) -> None:
    """Raise :class:`OptionsError` for the first field out of bounds or not a valid choice."""
    for one in asked_fields(type(options)):
        value = getattr(options, one.name)
        if one.bounds is not None and value is not None:
            least, most = one.bounds
            if not least <= value <= most:
                raise OptionsError(f"{one.name} = {value:g}: must lie in {least:g}..{most:g}")
        for part in value if isinstance(value, tuple) else (value,):
            if one.choices and part not in one.choices:
                raise OptionsError(
                    f"{one.name} = {part!r}: must be one of {', '.join(one.choices)}"
                )
