"""What a field may hold, in words: of the checks that the daq's own types make."""

from __future__ import annotations

import re

from gui.kit.words import tr


def bound_in_words(complaint: str, unit: str, *, per_unit: float = 1.0) -> str:
    """Return msgspec's ``Expected `int` <= 16`` in words, with the bound in the field's unit.

    Parameters
    ----------
    unit : of the field, in the language that is spoken; per_unit: how many of what is checked it is
    """
    found = re.search(r"(<=|>=|<|>) (-?[\d.]+(?:e[+-]?\d+)?)", complaint)
    if found is None:
        return complaint.partition(" - at")[0]
    if "of length" in complaint:
        return tr("at most {most} letters", most=found[2])
    words = {"<=": tr("at most"), ">=": tr("at least"), "<": tr("below"), ">": tr("above")}
    return tr(
        "must be {words} {value:g} {unit}",
        words=words[found[1]],
        value=float(found[2]) / per_unit,
        unit=unit,
    ).rstrip()
