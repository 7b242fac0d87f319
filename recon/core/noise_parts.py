"""The noise of an image, from images of parts of its events.

Parts of the events are drawn at random, and each is reconstructed as the whole was: with the same
updates, its events weighted to represent all (one of k is in a part, each weighs k). A part is
dealt to subsets anew: a random sample of each subset would have more noise from subset to subset
than the image has. Part images differ by what was drawn alone, whatever the algorithm, its filter,
and how neighbours hang together. They are drawn without regard to each other and share events; so
the variance over them is that of the drawing, (k - 1) times that of counting, and for the mean m of
any region (or one voxel)

    σ²(m) = variance over the parts of m(part) / (k - 1).

k is 4 where there is time, for an image is not linear in its counts: EM's positivity and a prior
that smooths great differences less treat a part of few events otherwise than the image. Parts of an
eighth told up to a quarter too little of live images and a third too much with a prior. Eight parts
give σ itself a relative error of 1 / √(2 · 7) = 27 %; over many voxels or regions it averages out.

σ holds what would differ if the same measurement were made again and only its prompts drawn anew.
It does not hold errors that all parts share: of randoms, normalisation, µ map, the scale of scatter
and of activity.

Where an image is cold, EM's positivity lifts the parts, which have fewer counts: their mean is up
to twice the image's, and their variance too great. It is lowered by the root of that ratio: between
nothing, which gave σ up to 1.4 times too large in a cold rod, and the ratio, which gave 0.8. Where
the parts have negative values nothing lifts them, and nothing is lowered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from hw.physics.constants import FWHM_PER_SIGMA
from recon.core.events import EventList
from recon.core.grid import Image

PARTS = 8
"""Parts of an image; more would be known better, but each has fewer counts and time."""

FEWEST_PARTS = 2
"""One alone does not vary."""

ONE_OF = 4
"""A part gets one of so many events, or fewer; a power of 2."""

PART_EVENTS = 500_000
"""A part of more events than this is not worth its time."""

OBJECT_SHARE = 0.25
OBJECT_FWHM_VOXELS = 3.0
"""The object: where the image, blurred, reaches this share of its maximum."""

_SEED = 20_240_229


def fraction_of(events: int) -> int:
    """Return of how many events a part gets one."""
    return max(ONE_OF, -(-events // PART_EVENTS))


def halves(chunks: Iterable[EventList]) -> list[list[EventList]]:
    """Return the events of two halves, dealt at random, weighted to represent all."""
    draw = np.random.default_rng(_SEED)
    found: list[list[EventList]] = [[], []]
    for chunk in chunks:
        to = draw.integers(2, size=len(chunk), dtype=np.int32)
        for number, held in enumerate(found):
            held.append(_weighted(chunk, to == number, 2))
    return found


def drawn_parts(chunks: Iterable[EventList], parts: int, one_of: int) -> list[list[EventList]]:
    """Return the events of each part, drawn without regard to the other parts, weighted to
    represent all.

    one_of : a part gets about one event of so many, at least 2
    """
    draw = np.random.default_rng(_SEED)
    found: list[list[EventList]] = [[] for _ in range(parts)]
    for chunk in chunks:
        for held in found:
            inside = draw.integers(one_of, size=len(chunk), dtype=np.int32) == 0
            held.append(_weighted(chunk, inside, one_of))
    return found


def _weighted(chunk: EventList, inside: npt.NDArray[np.bool_], one_of: int) -> EventList:
    part = chunk.take(np.flatnonzero(inside))
    return replace(part, weight=part.weight * np.float32(one_of))


def variance_share(one_of: int) -> float:
    """Return σ² over the variance of parts that were drawn without regard to each other."""
    return 1.0 / (one_of - 1)


@dataclass(frozen=True)
class NoiseParts:
    """Images of parts, (parts, x, y, z) float32, in the unit of the image of all events.

    fraction : σ² over the variance of the parts
    """

    images: npt.NDArray[np.float32]
    fraction: float

    def scaled(self, factor: float) -> NoiseParts:
        """Return the parts of the image times ``factor``."""
        return NoiseParts(self.images * np.float32(factor), self.fraction)

    def filtered(self, keep: Callable[[Image], Image]) -> NoiseParts:
        """Return the parts of the image after a linear filter."""
        return NoiseParts(np.stack([keep(one) for one in self.images]), self.fraction)

    def sigma_of_mean(
        self, block: tuple[slice, slice, slice], share: npt.NDArray[np.float64], mean: float
    ) -> float:
        """Return σ of the mean over a block of voxels, weighted with ``share``.

        mean : that of the image of all events; where the parts' is greater, by EM's positivity,
            the variance is lowered by the root of the ratio
        """
        total = max(float(share.sum()), 1e-30)
        means = [float((share * one[block]).sum(dtype=np.float64)) / total for one in self.images]
        level = float(np.mean(means))
        if any(float(one[block].min(initial=0.0)) < 0 for one in self.images):
            level = 0.0
        lowered = math.sqrt(min(1.0, max(mean, 0.0) / level)) if level > 0 else 1.0
        return math.sqrt(self.fraction * lowered * float(np.var(means, ddof=1)))

    def relative(self, image: npt.NDArray[np.floating[Any]] | None = None) -> float:
        """Return σ of a voxel over its mean, over the object; 0 if there is none.

        image : of all events, to tell the object and its mean; default: the parts' mean
        """
        whole: npt.NDArray[np.floating[Any]]
        whole = self.images.mean(axis=0, dtype=np.float32) if image is None else image
        smooth = gaussian_filter(whole, OBJECT_FWHM_VOXELS / FWHM_PER_SIGMA)
        inside = smooth > OBJECT_SHARE * smooth.max(initial=0.0)
        mean = float(whole[inside].mean(dtype=np.float64)) if inside.any() else 0.0
        if mean <= 0:
            return 0.0
        parts = np.stack([one[inside] for one in self.images])
        variance = float(parts.var(axis=0, ddof=1, dtype=np.float64).mean())
        return math.sqrt(self.fraction * variance) / mean
