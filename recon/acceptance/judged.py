"""The parts of an acceptance report, with figures that limits of ``[acceptance]`` judge.

A part without runs is "not measured".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hw.scanner.judged_figure import FAIL, INFORMATION, NO_LIMIT, PASS, Figure
from recon.analysis.report import Section, Table

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Part:
    """A part of a standard: its figures, what deviates from the standard, tables and plots.

    reason : why it was not measured; "" where it was
    runs_given : False where it was not asked for
    """

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    section: Section | None = None
    reason: str = ""
    runs_given: bool = True

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
