"""Command-line options made from the fields of dataclasses (:mod:`recon.core.asked`)."""

from __future__ import annotations

import argparse
from typing import Any

from daq.cli.common import CommandError
from recon.core.asked import Asked, Modality, asked_fields

Declared = list[tuple[Modality, argparse.Action]]
"""Options, each with the modality of the runs to which it applies."""


class OptionGroup:
    """A group of options with the modality of the runs to which they apply."""

    def __init__(self, parser: argparse.ArgumentParser, title: str) -> None:
        self.declared: Declared = []
        self._group = parser.add_argument_group(title)

    def add(self, option: str, *, modality: Modality = "PET", **facts: Any) -> None:
        """Add an option as argparse does."""
        self.declared.append((modality, self._group.add_argument(option, **facts)))

    def add_fields(self, kind: type, group: str) -> None:
        """Add the options of a dataclass's fields; those that leave something out come last."""
        chosen = [one for one in asked_fields(kind) if one.group == group and one.words]
        for one in sorted(chosen, key=lambda one: one.default is True):
            option = f"--{_dest(one)}".replace("_", "-")
            self.add(option, modality=one.modality, help=one.words, **_facts(one))


def _dest(one: Asked) -> str:
    """Return the option's name; if it is on by default, the option that switches it off."""
    return f"no_{one.name}" if one.default is True else one.option or one.name


def _facts(one: Asked) -> dict[str, Any]:
    """Return argparse's arguments for a field."""
    if isinstance(one.default, bool):
        return {"action": "store_true"}
    default = None if one.by_counts else one.default
    facts: dict[str, Any] = {"default": default, "metavar": one.metavar}
    if one.choices:
        facts["choices"] = one.choices
    if isinstance(one.default, tuple) and one.parse is None:
        return facts | {"action": "append", "default": []}
    return facts | {"type": one.parse or type(one.default)}


def given(
    options: argparse.Namespace, kind: type, *, without: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the values given for a dataclass's fields; ``without`` names groups not declared.

    Fields that are chosen by counts are left out unless they are named.
    """
    asked = [
        one
        for one in asked_fields(kind)
        if one.group not in without and getattr(options, _dest(one)) is not None
    ]
    values = {one.name: getattr(options, _dest(one)) for one in asked}
    for one in asked:
        if one.default is True:
            values[one.name] = not values[one.name]
        elif isinstance(one.default, tuple):
            values[one.name] = tuple(values[one.name])
    return values


def refuse_foreign(options: argparse.Namespace, declared: Declared, modality: str) -> None:
    """Raise CommandError for an option that does not apply to a run of this modality."""
    for of, action in declared:
        if of not in ("both", modality) and getattr(options, action.dest) != action.default:
            option = action.option_strings[0]
            raise CommandError(f"{option} is for {of} runs, this is a {modality} run: leave it out")
