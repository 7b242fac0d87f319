"""Coincidences as exporters read them: prompts and delayeds of a log, merged into time steps.

A list-mode log holds prompts and delayeds in separate blocks, each in order of time and never far
apart for the same moment. Exporters need all events of a time interval together, but never the
whole list in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from coincidence.events import COINCIDENCE
from hw.arrays import Records

Part = tuple[bool, Records]
"""Whether these ``COINCIDENCE`` records are delayeds, and the records."""

SLACK_PS = 2_000_000_000_000
"""How far apart the log may hold events of the two kinds from the same time."""

ENOUGH = 1 << 18


@dataclass(frozen=True)
class Interval:
    """All events before ``until_ps`` not in an earlier interval, in order of time."""

    prompts: Records
    delayeds: Records
    until_ps: int


def intervals(
    parts: Iterable[Part], *, step_ps: int, slack_ps: int = SLACK_PS, until_ps: int = 0
) -> Iterator[Interval]:
    """Yield the events of whole time steps together.

    step_ps : every interval ends at a multiple of it
    until_ps : the last interval does not end before
    """
    held: tuple[list[Records], list[Records]] = ([], [])
    newest = done = 0
    for delayed, records in parts:
        if not len(records):
            continue
        held[delayed].append(records)
        newest = max(newest, int(records["time_ps"].max()))
        safe = (newest - slack_ps) // step_ps * step_ps
        if safe > done and sum(map(len, held[0] + held[1])) >= ENOUGH:
            prompts, delayeds = (_before(kind, safe) for kind in held)
            yield Interval(prompts, delayeds, safe)
            done = safe
    last = max(-(-(newest + 1) // step_ps) * step_ps, done, -(-until_ps // step_ps) * step_ps)
    prompts, delayeds = (_before(kind, last) for kind in held)
    yield Interval(prompts, delayeds, last)


def _before(held: list[Records], end_ps: int) -> Records:
    """Take the records before a time out of ``held`` and return them in order of time."""
    if not held:
        return np.empty(0, COINCIDENCE)
    records = np.concatenate(held)
    time = records["time_ps"]
    if np.any(time[1:] < time[:-1]):
        records = records[np.argsort(time, kind="stable")]
        time = records["time_ps"]
    cut = int(np.searchsorted(time, end_ps))
    held[:] = [records[cut:]]
    return np.ascontiguousarray(records[:cut])
