"""The last image of a run: an offline image of all events in the window, as far as time allows.

If every event of the window is still held, in memory or spooled on disk, the image is made anew
from a uniform one, with the final corrections for all events, by a :class:`FinalChoice`: on its
voxels, by OSEM or, with a prior, BSREM. If some are gone for good (a forgetting window, a full
spool), if two iterations would take too long, or if the disk has no room for prepared events, it
is refined with passes over memory, keeping the frozen part of the statistic.

The iterations come first, then the parts that tell the noise, twice as much work again. Where time
is over, the image has the iterations done by then, which it tells, and the parts done by then.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recon.core.events import EventList
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.noise_parts import PARTS
from recon.em.event_store import MEMORY_LIMIT_BYTES, EventStore, EventStoreError
from recon.em.list_mode_osem import osem
from recon.em.penalised import RelativeDifference
from recon.live.estimates import FinalEstimate
from recon.live.final_resolution import FinalResolution
from recon.live.image import LiveImage
from recon.live.imager import LiveImager
from recon.live.run_list import RunList

THREADS_GAIN = 0.8
"""Speed of each of several threads, relative to a single one."""

MOST_THREADS = 8
LEAST_ITERATIONS = 2
ENOUGH = 0.5
"""Share of the wanted iterations from which on all events are better than more iterations; they are
often done all the same, for the run's own speed is that of a machine with more to do."""

PART_EVENTS = 100_000
"""Events prepared at a time, some 0.1 s, after which it can stop."""

ALL = 0.9999
"""Share of the events that counts as all of them: weights are rounded."""

REFINED, REFINED_SUBSETS = 4, 8
"""Passes over memory that refine an image, and into how many each is divided."""

STOPPED = "live image at the time it was stopped"
"""How a last image was made that had no time to be: what was found for it is not in it."""

STORED_BYTES = 36
PREPARATION_PASSES = 1.0
"""Cost of preparing, in EM passes over the same events by one thread."""


def threads_here() -> int:
    """Return how many threads the last image may use: as many as processors that are ours."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


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
class FinalChoice:
    """What the last image is made with; by default plain OSEM on the live image's voxels.

    grid : its voxels, None for those of the live image
    sensitivity : on them; None: the live image's, brought onto them
    prior : makes it BSREM
    resolution : model of an image that is made anew; a refined image has none
    fwhm_mm : of the filter of the image that is shown; None: by its counts, as a live image's
    about : what was chosen, as metadata
    """

    iterations: int = 4
    subsets: int = 8
    grid: ImageGrid | None = None
    sensitivity: Image | None = None
    prior: RelativeDifference | None = None
    resolution: FinalResolution | None = None
    fwhm_mm: float | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def algorithm(self) -> str:
        """Its name."""
        return "OSEM" if self.prior is None else "BSREM"

    def words(self, which: str, iterations: int, subsets: int) -> str:
        """Return how an image was made, of which events and in how many iterations."""
        many = f"{iterations} iterations of {subsets} subsets"
        if iterations < self.iterations:
            many += f" (of {self.iterations}, then time was over)"
        words = [f"{self.algorithm} of {which}", many]
        if self.prior is not None:
            words.append(f"prior of strength {self.prior.beta:.2g}")
        if self.grid is not None:
            sizes = " x ".join(f"{size:g}" for size in sorted(set(self.grid.voxel_mm)))
            words.append(f"voxels of {sizes} mm")
        if self.resolution is not None:
            words.append(self.resolution.words)
        return ", ".join(words)


@dataclass(frozen=True)
class _Plan:
    """How the last image is made, with its stop and progress callbacks.

    within_s : time there was for it at first
    """

    choice: FinalChoice
    within_s: float
    threads: int
    stopped: Callable[[], bool]
    too_late: Callable[[], bool]
    progress: Callable[[float], None]

    def passed(self, passes: float) -> None:
        """Report progress: preparing counts as one pass."""
        self.progress(min(1.0, passes / (self.choice.iterations + 1)))


def finish(
    imager: LiveImager[Any],
    *,
    within_s: float,
    choice: FinalChoice | None = None,
    listed: RunList | None = None,
    threads: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda share: None,
) -> LiveImage:
    """Use all remaining events, then make the best image possible in ``within_s``.

    Parameters
    ----------
    imager : of the run that has ended; its image is replaced
    within_s : time that this may take, s
    choice : how the image is made anew
    listed : all events of the run, some of which were left out while they came
    threads : 0 for the number of cores, at most ``MOST_THREADS``
    stopped : polled about every tenth of a second; True keeps the current image
    progress : called with the share (0..1) of the work that is done
    """
    deadline = imager.clock() + within_s
    threads = threads or threads_here()
    choice = choice or FinalChoice()

    def too_late() -> bool:
        return imager.clock() >= deadline or stopped()

    imager.use_the_rest(stopped)
    plan = _Plan(choice, within_s, threads, stopped, too_late, progress)
    if listed is not None:
        _use_list(imager, listed, plan)
    estimate = imager.estimate_of_all
    live = estimate.use_projector(estimate.new_projector(threads))
    try:
        how, anew = _best(imager, plan)
    finally:
        estimate.use_projector(live).close()
    if not anew:
        imager.memory.listed = None
        return replace(imager.shown(), how=how)
    if imager.memory.listed is not None:
        imager.has_used_all()
    shown = imager.shown(fwhm_mm=choice.fwhm_mm)
    return replace(shown, how=how, resolution=choice.resolution, chosen=choice.about)


def _fitting(imager: LiveImager[Any], plan: _Plan) -> int:
    """Return how many iterations over all held events fit, by the speed in the run."""
    speed, held = imager.estimate_of_all.speed, max(imager.memory.held, 1)
    left_s = plan.within_s - PREPARATION_PASSES * held / speed
    fitting = int(left_s * speed * THREADS_GAIN * plan.threads / held)
    return min(plan.choice.iterations, fitting)


def _use_list(imager: LiveImager[Any], listed: RunList, plan: _Plan) -> None:
    """Have all events in place of those held, if there is time for enough iterations."""
    memory = imager.memory
    of_held = _fitting(imager, plan) if memory.complete else 0
    enough = min(of_held, math.ceil(ENOUGH * plan.choice.iterations))
    memory.listed = listed
    if _fitting(imager, plan) < max(enough, LEAST_ITERATIONS):
        memory.listed = None


def _best(imager: LiveImager[Any], plan: _Plan) -> tuple[str, bool]:
    """Make the best possible image; return how, in words, and whether it is made anew."""
    if not imager.memory.complete:
        why = "not all events are held"
    elif _fitting(imager, plan) < LEAST_ITERATIONS:
        why = f"{plan.choice.algorithm} would take too long"
    else:
        try:
            return _start_over(imager, plan), True
        except _Stopped:
            return STOPPED, False
        except (EventStoreError, OSError, ReconError) as error:
            why = str(error)
            if imager.memory.listed is not None:
                imager.memory.listed = None
                how, anew = _best(imager, plan)
                return f"{how} (not of the run's list: {why})", anew
    _refine(imager, plan)
    return f"live image refined with OSEM passes ({why})", False


def _start_over(imager: LiveImager[Any], plan: _Plan) -> str:
    """Replace the image by an offline one; keep it if time is too short for two iterations."""
    memory, choice = imager.memory, plan.choice
    folder = memory.spool.folder if memory.spool is not None else None
    subsets = max(1, min(choice.subsets, memory.held))
    which = _which_events(imager)
    _check_room(imager)
    estimate = imager.estimates.on(
        choice.grid or imager.grid, choice.sensitivity, threads=plan.threads
    )
    background = estimate.grid.voxel_volume_mm3 / imager.grid.voxel_volume_mm3
    events = _prepared(imager, plan, background=background)
    with _WatchedStore.build(events, folder=folder, subsets=subsets) as store:
        if memory.spool is not None:
            memory.spool.clear()
        assert isinstance(store, _WatchedStore)
        store.stopped = plan.stopped
        made = osem(
            estimate.projector,
            store,
            estimate.sensitivity * imager.exposure_s,
            estimate.mask,
            iterations=choice.iterations,
            resolution=None if choice.resolution is None else choice.resolution.model,
            prior=choice.prior,
            parts=PARTS,
            stopped=plan.too_late,
            progress=lambda done, total, value: plan.passed(1.0 + done / total * choice.iterations),
        )
    if made.iterations and not made.used:
        estimate.image = np.zeros_like(estimate.image)
        imager.estimates.final = FinalEstimate(estimate, None)
        return "no event meets a voxel that can be seen: the image is 0"
    if made.iterations < LEAST_ITERATIONS:
        raise _Stopped
    estimate.image, imager.estimates.final = made.image, FinalEstimate(estimate, made.parts)
    return choice.words(which, made.iterations, subsets)


def _which_events(imager: LiveImager[Any]) -> str:
    """Return in words which of the window's events are held: all, or what share."""
    share = imager.memory.held / max(imager.books.seen, 1.0)
    return "all events" if share > ALL else f"{100 * share:.1f} % of the events"


def _prepared(imager: LiveImager[Any], plan: _Plan, *, background: float) -> Iterator[EventList]:
    """Yield the events; ``background`` : voxel volume of the last image over the live one's, for
    gains go with 1 / voxel volume and the background is over them.
    """
    done, held = 0, max(imager.memory.held, 1)
    for part in imager.memory.parts(PART_EVENTS):
        if plan.too_late():
            raise _Stopped
        addend = part.addend if background == 1.0 else part.addend * np.float32(background)
        yield EventList(part.lors, part.weight, addend)
        done += len(part)
        plan.passed(done / held)


def _check_room(imager: LiveImager[Any]) -> None:
    """Raise EventStoreError if prepared events would leave too little disk space."""
    spool, needed = imager.memory.spool, STORED_BYTES * imager.memory.held
    if spool is not None and needed > MEMORY_LIMIT_BYTES and spool.free_bytes() < needed:
        raise EventStoreError(f"no room for {needed / 1e6:.0f} MB of events in {spool.folder}")


def _refine(imager: LiveImager[Any], plan: _Plan) -> None:
    """Refine the image with whole passes over memory."""
    updates = REFINED * REFINED_SUBSETS
    for update in range(updates):
        if plan.too_late() or not len(imager.memory):
            return
        imager.pass_over(1.0 / REFINED_SUBSETS)
        plan.progress((update + 1) / updates)
