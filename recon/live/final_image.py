"""The last image of a run: offline OSEM of all events in the window, as far as time allows.

If every event of the window is still held, in memory or spooled on disk, the image is replaced by
OSEM from a uniform one, with the final corrections for all events. If some are gone for good (a
forgetting window, a full spool), if two iterations would take too long, or if the disk has no room
for prepared events, it is refined with passes over memory, keeping the frozen part of the
statistic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recon.core.events import EventList
from recon.core.noise_parts import PARTS
from recon.em.event_store import MEMORY_LIMIT_BYTES, EventStore, EventStoreError
from recon.em.list_mode_osem import osem
from recon.live.estimates import FinalNoise
from recon.live.final_resolution import FinalResolution
from recon.live.image import LiveImage
from recon.live.imager import LiveImager

THREADS_GAIN = 0.8
"""Speed of each of several threads, relative to a single one."""

MOST_THREADS = 8
LEAST_ITERATIONS = 2
PART_EVENTS = 100_000
"""Events prepared at a time, some 0.1 s, after which it can stop."""

ALL = 0.9999
"""Share of the events that counts as all of them: weights are rounded."""

STORED_BYTES = 36
PREPARATION_PASSES = 1.0
"""Cost of preparing, in EM passes over the same events by one thread."""


class _Stopped(Exception):
    """No time is left, or the process must leave."""


class _WatchedStore(EventStore):
    """An event store that checks between blocks, not only between subsets, whether to go on."""

    stopped: Callable[[], bool] = staticmethod(lambda: False)

    def subset(self, number: int) -> Iterator[EventList]:
        """Yield the blocks of one subset until stopped."""
        for block in super().subset(number):
            if self.stopped():
                raise _Stopped
            yield block


@dataclass(frozen=True)
class _Plan:
    """How the last image is made, with its stop and progress callbacks.

    iterations, fitting : OSEM iterations wanted, and those that time allows
    """

    iterations: int
    fitting: int
    subsets: int
    resolution: FinalResolution | None
    stopped: Callable[[], bool]
    too_late: Callable[[], bool]
    progress: Callable[[float], None]

    def passed(self, passes: float) -> None:
        """Report progress: preparing counts as one pass."""
        self.progress(min(1.0, passes / (self.fitting + 1)))


def finish(
    imager: LiveImager[Any],
    *,
    within_s: float,
    iterations: int = 4,
    subsets: int = 8,
    threads: int = 0,
    resolution: FinalResolution | None = None,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda share: None,
) -> LiveImage:
    """Use all remaining events, then make the best image possible in ``within_s``.

    Parameters
    ----------
    imager : of the run that has ended; its image is replaced
    within_s : time that this may take, s
    iterations, subsets : of the OSEM that makes the image anew
    threads : 0 for the number of cores, at most ``MOST_THREADS``
    resolution : model of an image that is made anew; a refined image has none
    stopped : polled about every tenth of a second; True keeps the current image
    progress : called with the share (0..1) of the work that is done
    """
    deadline = imager.clock() + within_s
    threads = threads or min(MOST_THREADS, len(os.sched_getaffinity(0)))

    def too_late() -> bool:
        return imager.clock() >= deadline or stopped()

    imager.use_the_rest(stopped)
    fitting = min(iterations, _fitting(imager, within_s, threads))
    plan = _Plan(iterations, fitting, subsets, resolution, stopped, too_late, progress)
    estimate = imager.estimate_of_all
    live = estimate.use_projector(estimate.new_projector(threads))
    try:
        how, modelled = _best(imager, plan)
    finally:
        estimate.use_projector(live).close()
    return replace(imager.shown(), how=how, resolution=modelled)


def _fitting(imager: LiveImager[Any], within_s: float, threads: int) -> int:
    """Return how many iterations over all held events fit."""
    speed, held = imager.estimate_of_all.speed, max(imager.memory.held, 1)
    left_s = within_s - PREPARATION_PASSES * held / speed
    return int(left_s * speed * THREADS_GAIN * threads / held)


def _best(imager: LiveImager[Any], plan: _Plan) -> tuple[str, FinalResolution | None]:
    """Make the best possible image; return how, in words, and its resolution model."""
    if not imager.memory.complete:
        why = "not all events are held"
    elif plan.fitting < LEAST_ITERATIONS:
        why = "OSEM would take too long"
    else:
        try:
            return _start_over(imager, plan), plan.resolution
        except _Stopped:
            return "live image at the time it was stopped", None
        except (EventStoreError, OSError) as error:
            why = str(error)
    _refine(imager, plan)
    return f"live image refined with OSEM passes ({why})", None


def _start_over(imager: LiveImager[Any], plan: _Plan) -> str:
    """Replace the image by offline OSEM; keep it if time is too short for two iterations."""
    estimate, memory = imager.estimate_of_all, imager.memory
    folder = memory.spool.folder if memory.spool is not None else None
    subsets = max(1, min(plan.subsets, memory.held))
    which = _which_events(imager)
    _check_room(imager)
    with _WatchedStore.build(_prepared(imager, plan), folder=folder, subsets=subsets) as store:
        if memory.spool is not None:
            memory.spool.clear()
        assert isinstance(store, _WatchedStore)
        store.stopped = plan.stopped
        made = osem(
            estimate.projector,
            store,
            estimate.sensitivity * imager.exposure_s,
            estimate.mask,
            iterations=plan.fitting,
            resolution=None if plan.resolution is None else plan.resolution.model,
            parts=PARTS,
            stopped=plan.too_late,
            progress=lambda done, total, value: plan.passed(1.0 + done / total * plan.fitting),
        )
    if made.iterations and not made.used:
        estimate.image = np.zeros_like(estimate.image)
        return "no event meets a voxel that can be seen: the image is 0"
    if made.iterations < LEAST_ITERATIONS:
        raise _Stopped
    estimate.image, imager.estimates.final_noise = made.image, FinalNoise(made.parts)
    how = f"OSEM of {which}, {made.iterations} iterations of {subsets} subsets"
    return how if plan.resolution is None else f"{how}, {plan.resolution.words}"


def _which_events(imager: LiveImager[Any]) -> str:
    """Return in words which of the window's events are held: all, or what share."""
    share = imager.memory.held / max(imager.books.seen, 1.0)
    return "all events" if share > ALL else f"{100 * share:.1f} % of the events"


def _prepared(imager: LiveImager[Any], plan: _Plan) -> Iterator[EventList]:
    done, held = 0, max(imager.memory.held, 1)
    for part in imager.memory.parts(PART_EVENTS):
        if plan.too_late():
            raise _Stopped
        yield part
        done += len(part)
        plan.passed(done / held)


def _check_room(imager: LiveImager[Any]) -> None:
    """Raise EventStoreError if prepared events would leave too little disk space."""
    spool, needed = imager.memory.spool, STORED_BYTES * imager.memory.held
    if spool is not None and needed > MEMORY_LIMIT_BYTES and spool.free_bytes() < needed:
        raise EventStoreError(f"no room for {needed / 1e6:.0f} MB of events in {spool.folder}")


def _refine(imager: LiveImager[Any], plan: _Plan) -> None:
    """Refine the image with whole passes over memory."""
    updates = plan.iterations * plan.subsets
    for update in range(updates):
        if plan.too_late() or not len(imager.memory):
            return
        imager.pass_over(1.0 / plan.subsets)
        plan.progress((update + 1) / updates)
