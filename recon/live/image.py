"""The live image as published, its display filter, and the measurement of speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.messages.pictures import DynamicFrame
from recon.core.grid import Image, ImageGrid
from recon.core.noise_parts import NoiseParts
from recon.live.final_resolution import FinalResolution

DISPLAY_FWHM_MM = (4.0, 10.0)
FWHM_AT_A_MILLION_MM = 5.0
"""Post-filter of an image of 10⁶ prompts; it scales with prompts^(-1/6), within the bounds."""

SMALLEST_SAMPLE = 2000
"""Least number of events for an estimate, and to measure the speed."""


@dataclass(frozen=True)
class LiveImage:
    """A live image and its facts.

    image : emissions/s/mL [x, y, z] float32, post-filtered with ``fwhm_mm``
    grid : its voxels; the last one of a run may have others
    prompts_used, prompts_seen : of the run so far
    fraction_used : share of the window's prompts that was used, those lost included
    window_s : detector time in the image; the weighted sum if the window forgets
    prompts_in_window : prompts in the image, counted likewise
    how : for the last image of a run, how it was made, in words
    resolution : its resolution model
    chosen : what its algorithm was chosen to be, as metadata
    parts : of the image, filtered as it is, which tell its noise; None if not known
    """

    image: Image
    grid: ImageGrid
    prompts_used: int
    prompts_seen: int
    delayeds_used: int
    fraction_used: float
    detector_time_s: float
    noise: float
    fwhm_mm: float
    window: str = "grow"
    window_s: float = 0.0
    prompts_in_window: int = 0
    frames: list[DynamicFrame] = field(default_factory=list)
    how: str = ""
    resolution: FinalResolution | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    parts: NoiseParts | None = None


def display_fwhm_mm(prompts: int) -> float:
    """Return the post-filter's width for an image of this many prompts."""
    wanted = FWHM_AT_A_MILLION_MM * (1e6 / max(prompts, 1)) ** (1 / 6)
    return float(np.clip(wanted, *DISPLAY_FWHM_MM))


def smoothed_speed(speed: float, events: int, seconds: float) -> float:
    """Return a running mean of events per second, ignoring measurements of too few events."""
    if seconds <= 0 or events < SMALLEST_SAMPLE:
        return speed
    return speed + 0.2 * (events / seconds - speed)
