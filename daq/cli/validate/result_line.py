"""One line of the validation table: the figure computed, its expected value, the verdict.

A figure passes if |measured − expected| ≤ tolerance. With few counts (``quick``) three more
standard errors are allowed: an indication, not a proof. A figure that could not be computed says
why and never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

QUICK_SIGMAS = 3.0
QUICK_SHARE = 10

PASS, FAIL, INFORMATION, NOT_RUN = "pass", "FAIL", "information", "not run"


@dataclass(frozen=True)
class CheckFigure:
    """A figure of the table.

    name : what it is
    measured, sigma : the value computed here, and its standard error (0: no statistics)
    expected, tolerance : in the same unit; a tolerance of None makes it information
    source : where the expectation comes from, and the conditions matched to it
    unit, form : for printing
    """

    name: str
    measured: float
    sigma: float
    expected: float
    tolerance: float | None
    source: str
    unit: str = ""
    form: str = ".4g"

    def verdict(self, *, quick: bool = False) -> str:
        """Return PASS, FAIL or INFORMATION."""
        if self.tolerance is None:
            return INFORMATION
        allowed = self.tolerance + (QUICK_SIGMAS * self.sigma if quick else 0.0)
        return PASS if abs(self.measured - self.expected) <= allowed else FAIL


@dataclass(frozen=True)
class NotRun:
    """Figures that were not computed, and why; ``broken`` if that is a defect of ours."""

    name: str
    reason: str
    broken: bool = False

    def verdict(self, *, quick: bool = False) -> str:
        """Return NOT_RUN, or FAIL for a defect."""
        return FAIL if self.broken else NOT_RUN


Line = CheckFigure | NotRun


@dataclass(frozen=True)
class Scope:
    """How much to compute, and with what.

    quick : a tenth of the counts
    reference : the folder of reference data, None if there is none
    plots : folder for plots, None for none
    progress : called with the work done and the total
    """

    quick: bool = False
    seed: int = 1
    threads: int = 1
    reference: Path | None = None
    plots: Path | None = None
    progress: Callable[[float, float], None] = field(default=lambda done, total: None)

    def counts(self, full: float) -> float:
        """Return the number of decays (or photons) to use if a full validation uses ``full``."""
        return full / QUICK_SHARE if self.quick else full


@dataclass(frozen=True)
class Check:
    """Something to validate: ``module.function(scope)`` gives its figures.

    module : below ``daq.cli``
    needs_time : left out with ``quick``
    """

    name: str
    words: str
    module: str
    function: str
    needs_time: bool = False


def relative(fraction: float, expected: float) -> float:
    """Return the absolute tolerance for a relative one."""
    return abs(fraction * expected)


def failures(lines: list[Line], *, quick: bool) -> Iterator[Line]:
    """Yield the figures that fail."""
    return (line for line in lines if line.verdict(quick=quick) == FAIL)
