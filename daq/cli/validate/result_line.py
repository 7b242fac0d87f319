"""One line of the validation table: what was computed, what it should be, whether it is.

A figure passes where |measured − expected| ≤ tolerance. With few counts (``quick``) three standard
errors are allowed beyond that: a look, no proof. What could not be computed says why and is never
a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

QUICK_SIGMAS = 3.0
QUICK_SHARE = 10

PASS, FAIL, INFORMATION, NOT_RUN = "pass", "FAIL", "information", "not run"


@dataclass(frozen=True)
class Figure:
    """A figure of the table.

    name : what it is
    measured, sigma : computed here, and its standard error (0: no statistics)
    expected, tolerance : in the same unit; a tolerance of None makes it information
    source : where the expectation comes from, and the conditions that match its
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
    """Figures that were not computed, and why; ``broken`` where that is a defect of ours."""

    name: str
    reason: str
    broken: bool = False

    def verdict(self, *, quick: bool = False) -> str:
        """Return NOT_RUN, or FAIL for a defect."""
        return FAIL if self.broken else NOT_RUN


Line = Figure | NotRun


@dataclass(frozen=True)
class Scope:
    """How much to compute, and with what.

    quick : a tenth of the counts
    reference : the folder of reference data, None where there is none
    plots : where pictures go, None for none
    progress : called with the work done and all of it
    """

    quick: bool = False
    seed: int = 1
    threads: int = 1
    reference: Path | None = None
    plots: Path | None = None
    progress: Callable[[float, float], None] = field(default=lambda done, total: None)

    def counts(self, full: float) -> float:
        """Return how many decays (or photons) to take where a full validation takes ``full``."""
        return full / QUICK_SHARE if self.quick else full


@dataclass(frozen=True)
class Check:
    """Something to validate: the figures come from ``module.function(scope)``.

    module : below ``daq.cli``
    needs_time : left out with ``quick``
    """

    name: str
    words: str
    module: str
    function: str
    needs_time: bool = False


def relative(fraction: float, expected: float) -> float:
    """Return the absolute tolerance of a relative one."""
    return abs(fraction * expected)


def failures(lines: list[Line], *, quick: bool) -> Iterator[Line]:
    """Yield the figures that fail."""
    return (line for line in lines if line.verdict(quick=quick) == FAIL)
