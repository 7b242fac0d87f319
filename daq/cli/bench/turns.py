"""Two builds measured in turns on one machine: sittings of A B B A, each of fresh processes.

A process has its own luck (places in memory, cores, caches), so two processes of one build differ
by more than their passes do; therefore a sitting, a pair of new processes, counts once. In a
sitting each figure is measured in turns of a third of a second, A B B A, in the next one B A A B;
of a build's turns the fastest pass counts, because other work on the machine only ever adds time.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daq.cli.bench.build_worker import BuildWorker, CannotCompare
from daq.cli.bench.measuring import DURATION
from daq.cli.bench.ratio_interval import RatioInterval, ratio_interval

TURN_S = 0.35
FEWEST_PASSES, MOST_PASSES = 3, 20

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """A checkout, its name, and its cache (None for the usual place)."""

    root: Path
    name: str
    cache: Path | None = None

    def worker(self) -> BuildWorker:
        """Start a process that measures it."""
        return BuildWorker(self.root, self.name, cache=self.cache)


@dataclass
class MeasuredFigure:
    """One figure of both builds, the best pass of each sitting; in ms, or in work per second."""

    unit: str
    passes: int = FEWEST_PASSES
    bases: list[float] = field(default_factory=list)
    heres: list[float] = field(default_factory=list)

    @property
    def base(self) -> float:
        """The base's figure."""
        return statistics.median(self.bases)

    @property
    def here(self) -> float:
        """This build's figure."""
        return statistics.median(self.heres)

    def logs(self) -> list[float]:
        """Return, for each sitting, the logarithm of this build's time over the base's, for the
        same work, as passes may differ in size.
        """
        sign = 1 if self.unit == DURATION else -1
        return [sign * math.log(h / b) for h, b in zip(self.heres, self.bases, strict=True)]

    def interval(self) -> RatioInterval:
        """How much longer this build takes than the base."""
        return ratio_interval(self.logs())


def compile_both(
    base: Build, here: Build, wanted: Sequence[str], tell: Tell
) -> dict[str, MeasuredFigure]:
    """Run each figure in both builds, both at once, so that their kernels are compiled; return the
    figures that both have, with the number of passes in a turn.

    Raises
    ------
    CannotCompare : one of them does not have a figure that is asked for
    """
    with _both(base, here) as (one, other):
        _check_known(wanted, one, other)
        for name in sorted({name for name, _ in one.figures.items() ^ other.figures.items()}):
            tell(f"note: {name!r} has another unit in the other build, or is none of its figures: "
                 "not compared")  # fmt: skip
        figures = {name: MeasuredFigure(unit) for name, unit in other.figures.items()
                   if one.figures.get(name) == unit and (not wanted or name in wanted)}  # fmt: skip
        for number, (name, measured) in enumerate(figures.items(), 1):
            tell(f"compiling both builds, {number}/{len(figures)}: {name}")
            for worker in (one, other):
                worker.ask(name, FEWEST_PASSES)
            seconds = min(min(worker.answer()["seconds"]) for worker in (one, other))
            measured.passes = min(MOST_PASSES, max(FEWEST_PASSES, round(TURN_S / seconds)))
    return figures


def _check_known(wanted: Sequence[str], base: BuildWorker, here: BuildWorker) -> None:
    for name in wanted:
        for worker in (here, base):
            if name not in worker.figures:
                known = ", ".join(worker.figures)
                raise CannotCompare(f"{worker.name} has no figure {name!r}; it has {known}")


def measure_in_turns(
    base: Build, here: Build, figures: dict[str, MeasuredFigure], *, sittings: int, tell: Tell
) -> None:
    """Measure the figures of both builds, adding to ``figures``.

    Parameters
    ----------
    base, here : the builds that are compared
    figures : by name; each gets one value of each build a sitting
    sittings : how often each figure is measured
    tell : is called with what is being done
    """
    began = time.monotonic()
    for sitting in range(sittings):
        left = (time.monotonic() - began) / sitting * (sittings - sitting) if sitting else 0.0
        tell(f"sitting {sitting + 1}/{sittings}" + (f", {left:.0f} s left" if sitting else ""))
        with _both(base, here) as (one, other):
            _warm(figures, one, other)
            for name, measured in figures.items():
                first = len(measured.bases) % 2 == 0
                _sit(name, measured, one, other, base_first=first)


def _warm(figures: dict[str, MeasuredFigure], one: BuildWorker, other: BuildWorker) -> None:
    for name in figures:
        for worker in (one, other):
            worker.ask(name, 0)
        for worker in (one, other):
            worker.answer()


def _sit(
    name: str, measured: MeasuredFigure, base: BuildWorker, here: BuildWorker, *, base_first: bool
) -> None:
    turns = (base, here, here, base) if base_first else (here, base, base, here)
    values: dict[BuildWorker, list[float]] = {base: [], here: []}
    for worker in turns:
        worker.ask(name, measured.passes)
        values[worker] += worker.answer()["values"]
    best = min if measured.unit == DURATION else max
    measured.bases.append(best(values[base]))
    measured.heres.append(best(values[here]))


@contextlib.contextmanager
def _both(base: Build, here: Build) -> Iterator[tuple[BuildWorker, BuildWorker]]:
    with base.worker() as one, here.worker() as other:
        yield one, other
