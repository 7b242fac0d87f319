"""The bounds of what a message may hold, checked as it is decoded: the one guard on every plane.

Whatever comes from a socket may be forged. A number that fits here fits an i8 and may be added up,
a text may be journalled, a list is no longer than any honest sender's. What does not fit is refused
as a whole, with field and bound in words.

Bare types would let anything through, so every field of every message that the daq takes has one
of these (a test looks).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from msgspec import Meta

MOST_COUNT = 2**53
"""Exact as a float, too; at 10⁸ a second, three years."""

MOST_MODULES = 65_535
MOST_TREE_DEPTH, MOST_TREE_VALUES = 16, 100_000

Count = Annotated[int, Meta(ge=0, le=MOST_COUNT)]
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
"""NaN is refused, too."""

Name = Annotated[str, Meta(max_length=1000)]
Text = Annotated[str, Meta(max_length=20_000)]
ModuleNumber = Annotated[int, Meta(ge=0, le=MOST_MODULES)]
PerModule = Annotated[list[Count], Meta(max_length=MOST_MODULES)]
Modules = Annotated[list[ModuleNumber], Meta(max_length=MOST_MODULES)]
Counts = Annotated[dict[Name, Integer], Meta(max_length=1000)]
Numbers = Annotated[dict[Name, Finite], Meta(max_length=1000)]
Words = Annotated[dict[Name, Text], Meta(max_length=1000)]


def check_tree(value: Any) -> None:
    """Refuse a freely formed value that plain JSON could not hold, or that is too large.

    Raises
    ------
    ValueError
        for NaN, infinity, integers beyond 64 bits, bytes, dates, and trees too deep or too large.
    """
    level, values = [value], 0
    for _ in range(MOST_TREE_DEPTH):
        values += len(level)
        if values > MOST_TREE_VALUES:
            raise ValueError(f"more than {MOST_TREE_VALUES} values in one message")
        level = [part for node in level for part in _parts(node)]
        if not level:
            return
    raise ValueError(f"values nested deeper than {MOST_TREE_DEPTH}")


def _parts(node: Any) -> list[Any]:
    """Return what a value holds, after a look at the value itself."""
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, list | tuple):
        return list(node)
    _check_leaf(node)
    return []


def _check_leaf(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that can be kept")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit 64 bits")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError(f"a value of type {type(value).__name__} is nothing that can be kept")
