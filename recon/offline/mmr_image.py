"""A simple picture of an mMR list: MLEM on the lines, delayeds as uniform background.

No normalisation, attenuation or scatter correction: Siemens' norm file and µ map are not part of
the sample. It shows where activity is, not how much.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recon.core.display_filter import gaussian
from recon.core.events import EventList
from recon.core.grid import Image, ImageGrid
from recon.exchange.listmode.mmr import MmrEvents, all_addresses, line_count, lines
from recon.projector.operator import Projector

SAMPLED_LINES = 2_000_000
RADIUS_MM = 290.0
GRID = ImageGrid((144, 144, 64), (4.0625, 4.0625, 4.0625))


def mmr_image(
    events: MmrEvents,
    *,
    iterations: int = 4,
    fwhm_mm: float = 8.0,
    grid: ImageGrid = GRID,
    sampled_lines: int = SAMPLED_LINES,
    threads: int = 2,
    seed: int = 20170327,
    progress: Callable[[float], None] = lambda share: None,
) -> Image:
    """Return the activity in arbitrary units, smoothed by ``fwhm_mm``.

    The sensitivity is back-projected from lines drawn evenly from all; randoms are assumed equal on
    every line: delayeds / lines.

    Parameters
    ----------
    sampled_lines : number of lines drawn for the sensitivity, with ``seed``
    progress : called with the share of the work done
    """
    header, prompt = events.header, ~events.delayed
    projector = Projector(grid, threads=threads)
    try:
        drawn = lines(header, *all_addresses(header, sampled_lines, seed))
        n = line_count(header)
        flat = projector.back(np.ones(len(drawn), np.float32), drawn) * np.float32(n / len(drawn))
        inside = grid.cylinder(RADIUS_MM) & (flat > 1e-3 * flat.max())
        lors = lines(header, events.view[prompt], events.bin[prompt], events.sinogram[prompt])
        listed = EventList.plain(lors)
        background = np.full(len(lors), events.delayed.sum() / n, np.float32)
        image = np.where(inside, np.float32(len(lors) / flat[inside].sum()), np.float32(0))
        for step in range(iterations):
            expected = projector.forward(image, listed.lors) + background
            ratio = np.divide(1, expected, where=expected > 0, out=np.zeros_like(expected))
            update = projector.back(ratio.astype(np.float32), listed.lors)
            image = np.where(inside, image * update / np.where(inside, flat, 1), 0)
            image = image.astype(np.float32)
            progress((step + 1) / iterations)
    finally:
        projector.close()
    return gaussian(image, grid, fwhm_mm=fwhm_mm)
