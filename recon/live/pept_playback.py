"""Plays a list of lines through the live imager, in real time or faster."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from recon.core.events import Lors
from recon.core.grid import Image, ImageGrid
from recon.exchange.listmode.pept import PeptList
from recon.live.image import LiveImage
from recon.live.imager import LiveImager
from recon.live.lines import LorLines
from recon.projector.operator import Projector

STEP_S = 0.05
FINAL_PASSES = 4


def play(
    listed: PeptList,
    grid: ImageGrid,
    *,
    speed: float = 1.0,
    step_s: float = STEP_S,
    threads: int = 2,
    shown: Callable[[LiveImage, float], None] = lambda image, late_s: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Image, LiveImage]:
    """Play the whole list, then make ``FINAL_PASSES`` over all its events, as at the end of a live
    run.

    Returns the unfiltered estimate and the last image.

    Parameters
    ----------
    speed : seconds of the list per second; 0: as fast as possible
    shown : called with each image and its lag behind the list's own time
    """
    sensitivity = screens_sensitivity(listed, grid)
    imager = LiveImager(LorLines(grid), sensitivity, clock=clock, threads=threads)
    try:
        _load_kernels(imager, listed)
        began = clock()
        for end_s, events in listed.parts(step_s):
            if speed <= 0 and not len(events):
                continue
            due = began + (end_s / speed if speed > 0 else 0.0)
            if speed > 0:
                sleep(max(0.0, due - clock()))
            imager.receive_events(events, watermark_ps=round(end_s * 1e12))
            image = imager.update(budget_s=step_s / 2 / max(speed, 1.0))
            shown(image, clock() - due if speed > 0 else 0.0)
        for _ in range(FINAL_PASSES):
            imager.pass_over(1.0)
        return imager.estimate, imager.shown()
    finally:
        imager.close()


def _load_kernels(imager: LiveImager[LorLines], listed: PeptList) -> None:
    """Do a first update, which loads machine code, before the clock starts."""
    _, events = next(listed.parts(STEP_S))
    imager.receive_events(events, watermark_ps=1)
    imager.update(budget_s=STEP_S)
    imager.restart()


SAMPLED_LINES = 400_000


def screens_sensitivity(listed: PeptList, grid: ImageGrid, *, seed: int = 0) -> Image:
    """Return the screens' sensitivity in each voxel, 1 at best: back-projected from lines drawn
    evenly between the areas hit."""
    rng = np.random.default_rng(seed)
    z = np.full((SAMPLED_LINES, 1), listed.separation_mm / 2)
    ends = [
        np.hstack([rng.uniform(-listed.half_mm, listed.half_mm, (SAMPLED_LINES, 2)), side * z])
        for side in (-1, 1)
    ]
    start, end = (np.ascontiguousarray(one, dtype=np.float32) for one in ends)
    projector = Projector(grid)
    try:
        seen = projector.back(np.ones(SAMPLED_LINES, np.float32), Lors(start, end))
    finally:
        projector.close()
    return np.asarray(seen / seen.max(), dtype=np.float32)
