"""Options of a reconstruction as fields of a dataclass that say how they are asked for.

The command line's options, their help, choices and bounds, and what is refused follow from the
fields: a new option is one field and what makes use of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from recon.core.grid import ReconError

Modality = Literal["both", "PET", "SPECT"]


class OptionsError(ReconError):
    """An option out of bounds; says which, its value and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a field is asked for.

    words : help; "" where another class's field declares the option
    option : its name on a command line, where it is not the field's
    bounds : least and greatest value
    choices : of a value, or of each part of a tuple; a Literal's are its own
    parse : from text to value
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


def asked(default: Any, words: str = "", **facts: Any) -> Any:
    """Return a field with this default that is asked for as :class:`Asked` says."""
    about = Asked(default=default, words=words, **facts)
    return field(default=default, metadata={"asked": about})


def asked_fields(kind: type) -> Iterator[Asked]:
    """Yield the fields of a dataclass that can be asked for."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        if about := one.metadata.get("asked"):
            hint = hints[one.name]
            choices = get_args(hint) if get_origin(hint) is Literal else about.choices
            yield replace(about, name=one.name, choices=choices)


def check_options(options: Any) -> None:
    """Raise :class:`OptionsError` for the first field out of bounds, or no choice there is."""
    for one in asked_fields(type(options)):
        value = getattr(options, one.name)
        if one.bounds is not None and value is not None:
            least, most = one.bounds
            if not least <= value <= most:
                raise OptionsError(f"{one.name} = {value:g}: must lie in {least:g}..{most:g}")
        for part in value if isinstance(value, tuple) else (value,):
            if one.choices and part not in one.choices:
                raise OptionsError(f"{one.name} = {part!r}: there are {', '.join(one.choices)}")
