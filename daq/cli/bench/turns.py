"""Two builds measured in turns on one machine: sittings of A B B A, each of fresh processes.

A process has its own luck (places in memory, cores, caches), so that two of one build differ by
more than their passes do: a sitting, a pair of new processes, is what counts once. In a sitting
each figure is measured in turns of a third of a second, A B B A, in the next one B A A B; of a
build's turns the fastest pass counts, for what else runs on a machine only ever adds time.
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
from daq.cli.bench.ratio_interval import RatioInterval, ratio_interval

TURN_S = 0.35
FEWEST_PASSES, MOST_PASSES = 3, 20

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """A checkout, what it is called, and where it caches (None: the usual place)."""

    root: Path
    name: str
    cache: Path | None = None

    def worker(self) -> BuildWorker:
        """Start a process that measures it."""
        return BuildWorker(self.root, self.name, cache=self.cache)


@dataclass
class Measured:
    """One figure of both builds: a fastest pass per sitting, in s and in the figure's unit."""

    unit: str
    passes: int = FEWEST_PASSES
    base_s: list[float] = field(default_factory=list)
    here_s: list[float] = field(default_factory=list)
    base_values: list[float] = field(default_factory=list)
    here_values: list[float] = field(default_factory=list)

    @property
    def base(self) -> float:
        """The base's figure."""
        return statistics.median(self.base_values)

    @property
    def here(self) -> float:
        """This build's figure."""
        return statistics.median(self.here_values)

    def interval(self) -> RatioInterval:
        """How much longer this build takes than the base."""
        pairs = zip(self.here_s, self.base_s, strict=True)
        return ratio_interval([math.log(here / base) for here, base in pairs])


def compile_both(
    base: Build, here: Build, wanted: Sequence[str], tell: Tell
) -> dict[str, Measured]:
    """Run each figure in both builds, both at once, so that their kernels are compiled; return the
    figures that both know, with how many passes make a turn.

    Raises
    ------
    CannotCompare : a figure is asked for that one of them has not
    """
    with _both(base, here) as (one, other):
        _check_known(wanted, one, other)
        for name in sorted(one.figures.keys() ^ other.figures.keys()):
            tell(f"note: {name!r} is a figure of one build alone, and not compared")
        figures = {name: Measured(unit) for name, unit in other.figures.items()
                   if name in one.figures and (not wanted or name in wanted)}  # fmt: skip
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
    base: Build, here: Build, figures: dict[str, Measured], *, sittings: int, tell: Tell
) -> None:
    """Measure the figures of both builds, adding to ``figures``."""
    began = time.monotonic()
    for sitting in range(sittings):
        left = (time.monotonic() - began) / sitting * (sittings - sitting) if sitting else 0.0
        tell(f"sitting {sitting + 1}/{sittings}" + (f", {left:.0f} s left" if sitting else ""))
        with _both(base, here) as (one, other):
            _warm(figures, one, other)
            for name, measured in figures.items():
                first = len(measured.base_s) % 2 == 0
                _sit(name, measured, one, other, base_first=first)


def _warm(figures: dict[str, Measured], one: BuildWorker, other: BuildWorker) -> None:
    for name in figures:
        for worker in (one, other):
            worker.ask(name, 0)
        for worker in (one, other):
            worker.answer()


def _sit(
    name: str, measured: Measured, base: BuildWorker, here: BuildWorker, *, base_first: bool
) -> None:
    turns = (base, here, here, base) if base_first else (here, base, base, here)
    passes: dict[BuildWorker, list[tuple[float, float]]] = {base: [], here: []}
    for worker in turns:
        worker.ask(name, measured.passes)
        found = worker.answer()
        passes[worker] += zip(found["seconds"], found["values"], strict=True)
    for worker, seconds, values in (
        (base, measured.base_s, measured.base_values),
        (here, measured.here_s, measured.here_values),
    ):
        fastest = min(passes[worker])
        seconds.append(fastest[0])
        values.append(fastest[1])


@contextlib.contextmanager
def _both(base: Build, here: Build) -> Iterator[tuple[BuildWorker, BuildWorker]]:
    with base.worker() as one, here.worker() as other:
        yield one, other
