"""The name of a phantom, with its numbers: ``nema-line:sleeves=3,y_mm=100``.

It is written into a run's labels, so whoever judges the run knows where the source was.
"""

from __future__ import annotations

import math

from hw.errors import TomoshibiError


class PhantomNameError(TomoshibiError, ValueError):
    """A phantom's name that cannot be read; the message says how it is written."""


def split_name(text: str) -> tuple[str, dict[str, float]]:
    """Return a phantom's name and its numbers.

    Raises
    ------
    PhantomNameError
        for numbers that are not ``KEY=NUMBER`` with commas between them.
    """
    name, _, rest = text.partition(":")
    numbers: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not key or not math.isfinite(number):
            raise PhantomNameError(
                f"phantom {text!r}: {part!r} is not KEY=NUMBER; write it as in "
                "nema-line:sleeves=3,y_mm=100"
            )
        numbers[key] = number
    return name, numbers
