"""Prepares the records of a log for EM, part by part, in several threads and in order.

Each thread has a line model with a projector of its own, so that lines are located, attenuated and
given their background side by side. A few parts are in flight at once: memory does not depend on
the length of the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue

import numpy as np

from hw.arrays import Records
from recon.core.events import EventList
from recon.lines.model import LineModel
from recon.projector.operator import Projector

AHEAD = 2


def prepared(
    model: LineModel,
    parts: Iterable[Records],
    *,
    threads: int = 1,
    weight: float = 1.0,
    watch: Callable[[int], None] = lambda records: None,
) -> Iterator[EventList]:
    """Yield each part's events with their addends, in the parts' order.

    Parameters
    ----------
    model : what the events' lines are expected to hold
    parts : (n,) ``COINCIDENCE`` records each
    threads : number of parts that are prepared at once
    weight : of every event; more than 1 if the parts are thinned
    watch : called with the number of records prepared; may raise to stop
    """
    models: SimpleQueue[LineModel] = SimpleQueue()
    for _ in range(threads):
        models.put(_own(model))

    def one_part(records: Records) -> EventList:
        mine = models.get()
        try:
            return mine.events(records, weight=weight)
        finally:
            models.put(mine)

    waiting: deque[tuple[int, Future[EventList]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for records in parts:
            waiting.append((len(records), pool.submit(one_part, records)))
            if len(waiting) >= threads + AHEAD:
                yield _next(waiting, watch)
        while waiting:
            yield _next(waiting, watch)


def _next(waiting: deque[tuple[int, Future[EventList]]], watch: Callable[[int], None]) -> EventList:
    records, future = waiting.popleft()
    events = future.result()
    watch(records)
    return events


def _own(model: LineModel) -> LineModel:
    """Return the model with its own projector, as scratch cannot be shared between threads."""
    if model.mu is None:
        return model
    projector, mu = model.mu
    return replace(model, mu=(Projector(projector.grid, lanes=1), mu))


def thinned(parts: Iterable[Records], every: int) -> Iterator[Records]:
    """Yield every ``every``-th record, counting across parts."""
    first = 0
    for part in parts:
        chosen = part[first::every]
        first = (first - len(part)) % every
        if len(chosen):
            yield np.ascontiguousarray(chosen)
