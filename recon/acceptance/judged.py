"""Figures with their verdicts, and the parts of a report that hold them.

A figure is judged by a limit of the preset's table ``[acceptance]``. Without one its verdict is "no
limit given": nothing passes in silence. A part without runs is "not measured".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recon.analysis.report import Section, Table

PASS, FAIL, NO_LIMIT, INFORMATION = "pass", "FAIL", "no limit given", "information"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Figure:
    """A figure of a part.

    limit_key : the limit's name in the preset, ``least_…`` or ``most_…``; "" for information
    limit : its value, None where the preset has none
    """

    name: str
    value: float
    unit: str = ""
    sigma: float = 0.0
    form: str = ".3g"
    limit_key: str = ""
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


@dataclass(frozen=True)
class Part:
    """A part of a standard: its figures, what deviates from the standard, tables and plots.

    reason : why it was not measured; "" where it was
    """

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    section: Section | None = None
    reason: str = ""

    @property
    def verdict(self) -> str:
        """The gravest verdict of its figures."""
        found = {one.verdict for one in self.figures}
        if self.reason or not found:
            return NOT_MEASURED
        return next(word for word in (FAIL, NO_LIMIT, PASS, INFORMATION) if word in found)

    def sections(self) -> Section:
        """Return the part as a section of the report."""
        if self.reason:
            return Section(self.title, [f"{NOT_MEASURED}: {self.reason}"])
        more = self.section or Section(self.title)
        words = [*more.words, *(f"Deviation: {text}" for text in self.deviations)]
        table = Table(["figure", "value", "limit", "verdict"], [one.cells for one in self.figures])
        return Section(self.title, words, [table, *more.tables], more.plots)

    def as_result(self) -> dict[str, Any]:
        """Return as plain values, for JSON."""
        return {
            "part": self.name, "title": self.title, "verdict": self.verdict, "reason": self.reason,
            "figures": [one.as_result() for one in self.figures], "deviations": self.deviations,
        }  # fmt: skip


class Limits:
    """The limits of a standard in a preset, asked by name."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def states(self, key: str) -> bool:
        """Whether the preset has this limit, which the standard need not know."""
        return getattr(self._table, key, None) is not None

    def judged(
        self, name: str, value: float, key: str, *, unit: str = "", sigma: float = 0.0,
        form: str = ".3g",
    ) -> Figure:  # fmt: skip
        """Return a figure with its limit; a key that no preset can have is a defect."""
        limit = None if self._table is None else getattr(self._table, key)
        return Figure(name, value, unit, sigma, form, key, limit)
