"""List-mode OSEM: the offline image from a whole list of events.

    λ ← λ / (f E_j) · Gᵀ Σ_{events of the subset} w a_ij / (A G λ + b)_i

over one of M subsets, with the share f ≈ 1/M of the events (H. M. Hudson and R. S. Larkin, IEEE
Trans. Med. Imaging 13 (1994) 601; list mode: L. Parra and H. H. Barrett, ibid. 17 (1998) 228).
M = 1 is MLEM. How events are dealt to subsets: :mod:`recon.em.event_store`; E, G and b:
:mod:`recon.em.problem`; b = (r + q) / m of the event's line: :mod:`recon.lines.model`.

Without background Σ_j E_j λ_j = N (the events that some voxel explains) after every full update,
and the log-likelihood Σ w ln(A G λ + b) - Σ E λ never falls with M = 1.

A subset of which the present image explains nothing leaves the image as it is; if that holds for
all of an iteration's subsets the image becomes 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from recon.core.events import EventList
from recon.core.grid import Image
from recon.core.noise_parts import (
    FEWEST_PARTS,
    NoiseParts,
    drawn_parts,
    fraction_of,
    halves,
    variance_share,
)
from recon.core.resolution import Resolution
from recon.em.event_store import EventStore
from recon.em.negml import Negml
from recon.em.penalised import Bsrem, RelativeDifference
from recon.em.problem import EmModel, OsemError, em_quotient, em_update, uniform_image
from recon.em.stopping import Made, Stopping, Watch
from recon.projector.operator import EmSums, Projector

__all__ = ["OsemError", "OsemResult", "Progress", "em_quotient", "osem", "uniform_image"]

Progress = Callable[[int, int, float], None]
"""Called with (updates done, updates in all, log-likelihood of the last pass)."""

DEFAULT_SUBSETS = 8


@dataclass(frozen=True)
class OsemResult:
    """The image, and the course of the iterations.

    image : emissions per second in each voxel (exposure = sensitivity · seconds)
    log_likelihood : per iteration, of the image before each of its subsets, subsets summed
    used, unexplained : weight of the last iteration's events that some voxel (or none) explains
    expected : per iteration, trues expected from its image, Σ E λ; without background equal to used
    iterations : whole iterations done, fewer than requested if it was stopped
    subsets : number of subsets
    left_out : events on lines without sensitivity (weight 0)
    change : per iteration, relative change of the image (root of the sum of squares)
    noise : per iteration, relative noise of the image; empty unless a stopping rule needs it
    stopped_by : what ended the iterations, in words
    parts : images of parts of the events, made alike; None unless wanted, or if there was no time
    """

    image: Image
    log_likelihood: list[float]
    iterations: int
    used: float
    unexplained: float
    subsets: int = 1
    left_out: int = 0
    expected: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    stopped_by: str = "iterations"
    parts: NoiseParts | None = None


def osem(
    projector: Projector,
    events: EventList | EventStore,
    exposure: Image,
    mask: npt.NDArray[np.bool_],
    *,
    iterations: int = 4,
    subsets: int | None = None,
    resolution: Resolution | None = None,
    prior: RelativeDifference | None = None,
    signed: bool = False,
    initial: Image | None = None,
    stopping: Stopping | None = None,
    parts: int = 0,
    progress: Progress = lambda done, total, log_likelihood: None,
    stopped: Callable[[], bool] = lambda: False,
) -> OsemResult:
    """Return the image after ``iterations`` passes over ``events`` in ``subsets`` subsets.

    Parameters
    ----------
    exposure : sensitivity times live seconds, on the projector's grid
    mask : voxels that may hold activity; the others stay 0
    subsets : of an event list, 8 unless given; a store has its own
    resolution : blur of the image between emission and line
    prior : maximise the penalised likelihood with BSREM instead (:mod:`recon.em.penalised`)
    signed : allow negative values with NEGML instead (:mod:`recon.em.negml`)
    initial : finite and not negative; voxels that are 0 stay 0. None for a uniform image
    stopping : rule that ends the iterations early
    parts : make images of so many parts of the events too, to tell the noise; of 8 twice as much
        work again as the image, less from 2 M events on
    stopped : polled before each update; True returns the current image, with those parts that are
        complete

    Raises
    ------
    OsemError
        if iterations or subsets are out of bounds, or exposure or initial image are not finite
    """
    check_plan(iterations, subsets)
    if signed and (prior is not None or (stopping is not None and stopping.counts)):
        raise OsemError("signed: takes no prior and no stopping rule by counts, which need λ ≥ 0")
    store = stored(events, subsets)
    model = EmModel.of(projector, store, exposure, mask, resolution)

    def made_of(one: EmModel) -> Made:
        if signed:
            return Made(one, Negml(one).step)
        if prior is None:
            return Made(one, partial(em_update, one))
        return Made(one, Bsrem(one, prior.penalty(one), warm=initial is not None).step)

    rule, start = stopping or Stopping(), model.start(initial)
    both = (
        [made_of(half) for half in _of(model, halves(_chunks(model)))] if rule.needs_halves else []
    )
    told = _Told(progress, iterations * model.subsets * (2 if parts else 1))
    made = _iterate(Watch(made_of(model), both, rule, start), iterations, told, stopped)
    if parts < FEWEST_PARTS or not made.used:
        return made
    one_of = fraction_of(len(store))
    updates = made.iterations * model.subsets
    images: list[Image] = []
    for number, part in enumerate(_of(model, drawn_parts(_chunks(model), parts, one_of))):
        image, step = start, made_of(part).step
        for update in range(updates):
            if stopped():
                return _with_parts(made, images, one_of)
            image = step(image, update)[0]
            told(updates + (number * updates + update + 1) // parts)
        images.append(image)
    return _with_parts(made, images, one_of)


def _with_parts(made: OsemResult, images: list[Image], one_of: int) -> OsemResult:
    """Return the result with its parts; one alone tells nothing."""
    if len(images) < FEWEST_PARTS:
        return made
    return replace(made, parts=NoiseParts(np.stack(images), variance_share(one_of)))


def _chunks(model: EmModel) -> Iterator[EventList]:
    """Return all events, subset by subset."""
    store = model.events
    return (chunk for subset in range(store.subsets) for chunk in store.subset(subset))


def _of(model: EmModel, parts: list[list[EventList]]) -> list[EmModel]:
    """Return the same model of parts of its events, see :mod:`recon.core.noise_parts`."""
    return [model.of_part(model.events.like(events)) for events in parts]


@dataclass
class _Told:
    """Passes progress on; the parts' updates know no likelihood."""

    progress: Progress
    total: int
    log_likelihood: float = 0.0

    def __call__(self, done: int, log_likelihood: float | None = None) -> None:
        if log_likelihood is not None:
            self.log_likelihood = log_likelihood
        self.progress(min(done, self.total), self.total, self.log_likelihood)


def check_plan(iterations: int, subsets: int | None) -> None:
    """Raise :class:`OsemError` if the number of iterations or subsets is out of bounds."""
    for name, value in (("iterations", iterations), ("subsets", subsets)):
        if value is not None and not 1 <= value <= 1000:
            raise OsemError(f"{name} = {value}: must lie in 1..1000")


def stored(events: EventList | EventStore, subsets: int | None) -> EventStore:
    """Return an event store; a list is dealt to subsets in memory."""
    if isinstance(events, EventStore):
        if subsets not in (None, events.subsets):
            raise OsemError(f"subsets = {subsets}, but the store was made for {events.subsets}")
        return events
    count = max(1, min(subsets or DEFAULT_SUBSETS, len(events)))
    return EventStore.build([events], subsets=count)


@dataclass
class _Pass:
    """Sums of one iteration."""

    used: float = 0.0
    unexplained: float = 0.0
    log_likelihood: float = 0.0

    def add(self, sums: EmSums, expected: float) -> None:
        self.used += sums.used
        self.unexplained += sums.unexplained
        self.log_likelihood += sums.log_likelihood - expected


def _iterate(
    watch: Watch,
    iterations: int,
    progress: _Told,
    stopped: Callable[[], bool],
) -> OsemResult:
    model = watch.whole.model
    likelihoods: list[float] = []
    counts: list[float] = []
    total = iterations * model.subsets
    one, reason = _Pass(), ""
    for update in range(total):
        if stopped():
            reason = "the caller"
            break
        subset = update % model.subsets
        one = _Pass() if subset == 0 else one
        expected = model.expected(watch.image) * model.events.share(subset)
        one.add(watch.update(update), expected)
        progress(update + 1, one.log_likelihood)
        if subset == model.subsets - 1:
            likelihoods.append(one.log_likelihood)
            counts.append(model.expected(watch.image))
            reason = watch.iteration_done(explained=one.used > 0)
            if reason:
                break
    made = OsemResult(watch.image, likelihoods, len(likelihoods), one.used, one.unexplained)
    return replace(
        made,
        subsets=model.subsets,
        left_out=model.events.left_out,
        expected=counts,
        change=watch.change,
        noise=watch.noise,
        stopped_by=reason or "iterations",
    )
