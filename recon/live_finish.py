"""The last image of a run: offline OSEM of what the buffer holds, as far as time allows.

Where the buffer holds every event of the window, the image is replaced by OSEM from a uniform one.
In a longer run it is refined with passes over the buffer, the frozen part of the statistic standing
beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from recon.live import LiveImager
from recon.live_image import SMALLEST_SAMPLE, LiveImage
from recon.osem import osem
from recon.projector import Projector

THREADS_GAIN = 0.8
"""Share of a thread's speed that each of several has."""


def finish(
    imager: LiveImager,
    *,
    within_s: float,
    iterations: int = 4,
    subsets: int = 8,
    threads: int = 2,
    stopped: Callable[[], bool] = lambda: False,
) -> LiveImage:
    """Use everything left, then make the best image of it that fits ``within_s``."""
    deadline = imager.clock() + within_s
    while imager.intake.count and not stopped():
        imager.use_pending(imager.memory.buffer.capacity, sample=SMALLEST_SAMPLE)
    imager.use_pending(1, sample=SMALLEST_SAMPLE)
    while imager.memory.restate():
        pass
    estimate = imager.estimate_of_all
    passes_s = estimate.speed * THREADS_GAIN * threads
    fitting = min(iterations, int(within_s * passes_s / max(len(imager.memory), 1)))
    live = estimate.use_projector(estimate.new_projector(threads))

    def too_late() -> bool:
        return imager.clock() >= deadline or stopped()

    try:
        if imager.frozen_counts == 0 and fitting >= 2:
            _start_over(imager, estimate.projector, (fitting, subsets), too_late)
        else:
            _refine(imager, max(fitting, 1) * subsets, subsets, too_late)
    finally:
        estimate.use_projector(live).close()
    return imager.shown()


def _start_over(
    imager: LiveImager, projector: Projector, plan: tuple[int, int], too_late: Callable[[], bool]
) -> None:
    """Replace the image by offline OSEM; keep it if time is too short for two iterations."""
    estimate = imager.estimate_of_all
    made = osem(
        projector,
        imager.memory.all_events(),
        estimate.sensitivity * imager.exposure_s,
        estimate.mask,
        iterations=plan[0],
        subsets=plan[1],
        stopped=too_late,
    )
    if made.iterations >= 2:
        estimate.image = made.image


def _refine(imager: LiveImager, updates: int, subsets: int, too_late: Callable[[], bool]) -> None:
    """Whole passes over the buffer."""
    for _ in range(updates):
        if too_late() or not len(imager.memory):
            return
        imager.pass_over(1.0 / subsets)
