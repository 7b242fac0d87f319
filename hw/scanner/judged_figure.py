"""Figures with the limits that judge them: of acceptance tests and of quality control.

A figure is judged by a limit of the preset. Without one its verdict is "no limit given": nothing
passes in silence.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

PASS, FAIL, NO_LIMIT, INFORMATION = "pass", "FAIL", "no limit given", "information"

Words = Annotated[str, Meta(max_length=256)]


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure with its verdict.

    limit_key : the limit's name in the preset, ``least_…`` or ``most_…``; "" for information
    limit : its value in the figure's unit, None where the preset has none
    """

    name: Words
    value: float
    unit: Words = ""
    sigma: float = 0.0
    form: Annotated[str, Meta(pattern=r"^\.[0-9][fg]$")] = ".3g"
    limit_key: Words = ""
    limit: float | None = None

    @property
    def verdict(self) -> str:
        """PASS, FAIL, NO_LIMIT or INFORMATION."""
        if not self.limit_key:
            return INFORMATION
        if self.limit is None:
            return NO_LIMIT
        least = self.limit_key.startswith("least_")
        good = self.value >= self.limit if least else self.value <= self.limit
        return PASS if good else FAIL  # nan fails

    @property
    def cells(self) -> list[str]:
        """The row of a table: name, value ± σ and unit, limit, verdict."""
        error = f" ± {self.sigma:.2g}" if self.sigma else ""
        unit = f" {self.unit}" if self.unit else ""
        sign = "≥" if self.limit_key.startswith("least_") else "≤"
        limit = "" if self.limit is None else f"{sign} {self.limit:g}{unit}"
        return [self.name, f"{self.value:{self.form}}{error}{unit}", limit, self.verdict]

    def as_result(self) -> dict[str, Any]:
        """Return as plain values, for JSON."""
        return {
            "figure": self.name, "value": self.value, "sigma": self.sigma, "unit": self.unit,
            "limit_key": self.limit_key, "limit": self.limit, "verdict": self.verdict,
        }  # fmt: skip


class Limits:
    """A table of limits in a preset, looked up by name."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def states(self, key: str) -> bool:
        """Whether the preset has this limit, which the standard need not know."""
        return getattr(self._table, key, None) is not None

    def judged(
        self, name: str, value: float, key: str, *, unit: str = "", sigma: float = 0.0,
        form: str = ".3g", times: float = 1.0,
    ) -> Figure:  # fmt: skip
        """Return a figure with its limit; a key that no preset can have is a defect.

        Parameters
        ----------
        name : of the figure, as people read it
        value, sigma : in ``unit``; sigma 0 where it is not known
        key : of the limit: ``least_…`` or ``most_…``
        form : format of the value
        times : what a limit that is a ratio is multiplied by, to be in the figure's unit
        """
        limit = None if self._table is None else getattr(self._table, key)
        if limit is not None and times != 1:
            limit = float(f"{limit * times:.4g}")
        return Figure(name, value, unit, sigma, form, key, limit)
