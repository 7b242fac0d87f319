"""Options of a reconstruction as fields of a dataclass that say how they are asked for.

The command line's options, their help, choices and bounds, and what is refused follow from the
fields: a new option is one field and what makes use of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from recon.core.grid import ReconError

Modality = Literal["both", "PET", "SPECT"]


class OptionsError(ReconError):
    """An option out of bounds; says which, its value and what is allowed."""


@dataclass(frozen=True)
class Asked:
    """How a field is asked for.

    words : help; "" where another class's field declares the option
    group : of options
    modality : of the runs that know it
    option : its name on a command line, where it is not the field's
    bounds : least and greatest value
    choices : of each part of a tuple; a Literal's are its own
    parse : from text to value
    """

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
    return field(default=default, metadata={"asked": Asked(words, **facts)})


@dataclass(frozen=True)
class AskedField:
    """A field as an option; ``off`` where the option switches off what is on by default."""

    name: str
    default: Any
    asked: Asked
    choices: tuple[str, ...]

    @property
    def off(self) -> bool:
        """Whether it is on unless the option is given."""
        return self.default is True

    @property
    def option(self) -> str:
        """The option, such as ``--no-decay``."""
        name = (self.asked.option or self.name).replace("_", "-")
        return f"--no-{name}" if self.off else f"--{name}"


def asked_fields(kind: type) -> Iterator[AskedField]:
    """Yield the fields of a dataclass that can be asked for."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        if "asked" in one.metadata:
            about, hint = one.metadata["asked"], hints[one.name]
            words = get_args(hint) if get_origin(hint) is Literal else about.choices
            yield AskedField(one.name, one.default, about, words)


def check_options(options: Any) -> None:
    """Raise :class:`OptionsError` for the first field out of bounds, or no choice there is."""
    for one in asked_fields(type(options)):
        value = getattr(options, one.name)
        if one.asked.bounds is not None and value is not None:
            least, most = one.asked.bounds
            if not least <= value <= most:
                raise OptionsError(f"{one.name} = {value:g}: must lie in {least:g}..{most:g}")
        for part in value if isinstance(value, tuple) else (value,):
            if one.choices and part not in one.choices:
                raise OptionsError(f"{one.name} = {part!r}: there are {', '.join(one.choices)}")
