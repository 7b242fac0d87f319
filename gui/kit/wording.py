"""Numbers as the console writes them: fixed units, and figures that do not jump.

Rates are always in thousands per second (k/s), so that two numbers can be compared at a glance
without reading their units.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gui.kit.words import tr
from hw.physics.suv import UNIT as SUV

THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def rate_text(rate_per_s: float) -> str:
    """Return a rate in k/s, without its unit: three to four significant figures."""
    rate_k = rate_per_s / 1000.0
    if not math.isfinite(rate_k):
        return "–"
    digits = 2 if abs(rate_k) < 99.995 else 1 if abs(rate_k) < 999.95 else 0
    return grouped(rate_k, digits=digits)


def fraction_text(fraction: float) -> str:
    """Return a fraction in 0..1 as per cent with one decimal, and 100 % only for exactly all."""
    if not math.isfinite(fraction):
        return "–"
    per_cent = 100 * fraction
    return f"{min(per_cent, 99.9) if fraction < 1 else per_cent:.1f} %"


def grouped(value: float, *, digits: int = 0) -> str:
    """Return a number with thin spaces between thousands and a true minus sign."""
    return f"{value:,.{digits}f}".replace(",", THIN).replace("-", MINUS)


def clock_text(seconds: float) -> str:
    """Return a span of time as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def age_text(seconds: float) -> str:
    """Return an age with its unit; the older, the coarser."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return tr("{value:.0f} min", value=seconds / 60)
    return f"{seconds / 3600:.1f} h"


class ShownUnit(NamedTuple):
    """The unit that is shown, and how many of it one of the image's is."""

    each: float
    name: str


def shown_unit(unit: str, suv_per_unit: float = 0.0) -> ShownUnit:
    """Return the unit to show an image in: SUV if its factor is given."""
    if suv_per_unit > 0:
        return ShownUnit(suv_per_unit, SUV)
    return ShownUnit(1e-3, "kBq/mL") if unit == "Bq/mL" else ShownUnit(1.0, unit)


def short_unit(unit: str) -> str:
    """Return a unit without the remark that may follow it in brackets."""
    return unit.partition(" (")[0]


def level_text(value: float) -> str:
    """Return an image level with three significant figures."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    if 1e-2 <= abs(value) < 1e5:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return grouped(value, digits=digits)
    return f"{value:.2e}".replace("-", MINUS)


def nice_ceiling(value: float) -> float:
    """Return the least of 1, 2, 2.5, 4, 5, 8 × 10ⁿ that is not below ``value`` (1 for 0)."""
    if not math.isfinite(value) or value < 1e-30:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1.0, 2.0, 2.5, 4.0, 5.0, 8.0):
        if value <= factor * power * (1 + 1e-9):
            return factor * power
    return 10.0 * power


class SteadyCeiling:
    """Upper end of an axis that does not follow every frame.

    It rises when the data pass it, and falls only when they leave 60 % of it unused: so a plot
    keeps its ticks as long as they suit (changing the range on every frame also doubles its cost).
    """

    def __init__(self) -> None:
        self.value = 1.0

    def follow(self, highest: float) -> bool:
        """Follow the data's highest value; return whether the ceiling moved."""
        if highest <= self.value and highest >= 0.4 * self.value:
            return False
        ceiling = nice_ceiling(1.1 * highest)
        moved = ceiling != self.value
        self.value = ceiling
        return moved
