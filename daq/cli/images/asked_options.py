"""Options of the command line that follow from the fields of options (:mod:`recon.core.asked`)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

from daq.cli.common import CommandError
from recon.core.asked import AskedField, Modality, asked_fields

Declared = list[tuple[Modality, argparse.Action]]


@dataclass(frozen=True)
class OptionGroup:
    """A group of options that know of which modality's runs they are.

    declared : modality and action of each
    """

    parser: argparse._ArgumentGroup
    declared: Declared = field(default_factory=list)

    def add(self, name: str, *, modality: Modality = "PET", **facts: Any) -> None:
        """Add an option as argparse does."""
        self.declared.append((modality, self.parser.add_argument(name, **facts)))

    def add_fields(self, kind: type, group: str) -> None:
        """Add the options of a dataclass's fields; what leaves something out comes last."""
        chosen = [one for one in asked_fields(kind) if one.asked.group == group and one.asked.words]
        for one in sorted(chosen, key=lambda one: one.off):
            self.add(one.option, modality=one.asked.modality, help=one.asked.words, **_facts(one))


def _facts(one: AskedField) -> dict[str, Any]:
    """Return how argparse is to read a field."""
    if isinstance(one.default, bool):
        return {"action": "store_true"}
    facts: dict[str, Any] = {"default": one.default, "metavar": one.asked.metavar}
    if one.choices:
        facts["choices"] = one.choices
    if isinstance(one.default, tuple) and one.asked.parse is None:
        return facts | {"action": "append", "default": []}
    return facts | {"type": one.asked.parse or type(one.default)}


def _dest(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the values of a dataclass's fields as they were asked for."""
    values = {}
    for one in asked_fields(kind):
        value = getattr(options, _dest(one.option))
        values[one.name] = not value if one.off else value
        if isinstance(value, list):
            values[one.name] = tuple(value)
    return values


def refuse_foreign(options: argparse.Namespace, declared: Declared, modality: str) -> None:
    """Raise CommandError for an option that a run of this modality does not know."""
    for of, action in declared:
        if of not in ("both", modality) and getattr(options, action.dest) != action.default:
            raise CommandError(
                f"{action.option_strings[0]} is for {of} runs, this is a {modality} run: leave it "
                "out"
            )
